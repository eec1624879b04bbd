"""Files of a version: the deposited file itself, its members, and the descriptions beside it.

Everything is an attachment: a browser saves it and never shows it as a page of the archive.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar
from urllib.parse import quote

from tornado.iostream import StreamClosedError

from casaprov.archive.deposits import Deposit, Kind, State
from casaprov.archive.pages.published import PublicHandler
from casaprov.archive.pages.ranges import Unsatisfiable, part
from casaprov.archive.publication.metadata.addresses import CRATE_TYPE, NOTEBOOK_TYPE
from casaprov.archive.publication.metadata.datacite import datacite_record
from casaprov.archive.publication.metadata.linkset import DATACITE_TYPE, METADATA_TYPE, back_link, link_header, linkset
from casaprov.archive.storage import StorageError
from casaprov.archive.web.problems import Problem

__all__ = ["Content", "Description", "Member", "MemberMetadata", "Report"]

_CHUNK = 2**18
_METADATA = "ro-crate-metadata.json"
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".json": "application/json"}
_NO_FILE = "There is no such file in this version."


class _Download(PublicHandler):
    """Base: headers of attachments, and bodies in pieces."""

    def attach(self, name: str, content_type: str) -> None:
        """Describe the body as a file to be saved."""
        plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in name)
        self.set_header("Content-Type", content_type)
        self.set_header(
            "Content-Disposition", f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        )
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")

    def link_back(self, deposit: Deposit, relation: str) -> None:
        """Add the link to the landing page."""
        self.set_header("Link", link_header([back_link(self.archive.settings, deposit, relation)]))

    async def send_bytes(self, body: bytes, name: str, content_type: str) -> None:
        """Answer with a small body."""
        self.attach(name, content_type)
        self.set_header("Repr-Digest", repr_digest(hashlib.sha256(body).hexdigest()))
        _ = self.finish(body)

    async def send_pieces(self, length: int, pieces: Iterator[bytes]) -> None:
        """Answer with a large body, read in a thread; a reader that goes away ends it."""
        self.set_header("Content-Length", str(length))
        if self.request.method != "HEAD":
            try:
                while piece := await self.in_thread(next, pieces, b""):
                    self.write(piece)
                    await self.flush()
            except StreamClosedError:
                return
        _ = self.finish()


class Content(_Download):
    """``crate.zip`` or ``notebook.ipynb``: the deposited file, byte for byte."""

    async def get(self, obs_id: str, number: str, version: str, name: str) -> None:
        """Answer with the file, or a part of it."""
        deposit = await self.readable_version(obs_id, number, version)
        if name != deposit.content_name:
            raise Problem(404, _NO_FILE)
        digest = deposit.sha256.removeprefix("sha256:")
        self.attach(f"{deposit.name}-v{deposit.version}-{name}", _content_type(deposit))
        self.link_back(deposit, "collection")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("ETag", f'"{digest}"')
        self.set_header("Repr-Digest", repr_digest(digest))
        self.set_header("Last-Modified", deposit.published_at or deposit.received_at)
        if self.check_etag_header():
            self.set_status(304)
            return
        await self._send(await self.in_thread(self._path, deposit))

    head = get

    def compute_etag(self) -> None:
        """Leave the ETag to the handler: it is the digest of the whole file."""

    def _path(self, deposit: Deposit) -> tuple[Path, int]:
        path = self.archive.storage.path(deposit.did, deposit.content_name)
        return path, path.stat().st_size

    async def _send(self, found: tuple[Path, int]) -> None:
        path, size = found
        asked = self.request.headers.get("Range", "")
        same = self.request.headers.get("If-Range", "")
        if same and same != self._headers["ETag"]:
            asked = ""
        try:
            chosen = part(asked, size)
        except Unsatisfiable:
            raise Problem(416, f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"}) from None
        first, length = chosen or (0, size)
        if chosen:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {first}-{first + length - 1}/{size}")
        await self.send_pieces(length, _pieces_of_file(path, first, length))


class Member(_Download):
    """``files/{path}``: one file of a crate."""

    async def get(self, obs_id: str, number: str, version: str, path: str) -> None:
        """Answer with the file."""
        deposit = await self.readable_version(obs_id, number, version)
        await self.send_member(
            deposit, path, _TYPES.get(posixpath.splitext(path)[1].lower(), "application/octet-stream")
        )

    head = get

    async def send_member(self, deposit: Deposit, path: str, content_type: str) -> None:
        """Answer with a file of the zip."""
        if deposit.kind is not Kind.CRATE:
            raise Problem(404, _NO_FILE)
        archive = await self.in_thread(lambda: self.archive.storage.path(deposit.did, deposit.content_name))
        size = await self.in_thread(_member_size, archive, path)
        self.attach(posixpath.basename(path), content_type)
        await self.send_pieces(size, _pieces_of_member(archive, path))


class MemberMetadata(Member):
    """``ro-crate-metadata.json``."""

    async def get(self, obs_id: str, number: str, version: str) -> None:  # type: ignore[override]  # no path in the URL
        """Answer with the description in the crate."""
        deposit = await self.readable_version(obs_id, number, version)
        self.link_back(deposit, "describes")
        await self.send_member(deposit, _METADATA, METADATA_TYPE)

    head = get  # type: ignore[assignment]


class Report(_Download):
    """``report.json``: the newest replay by the archive."""

    async def get(self, obs_id: str, number: str, version: str) -> None:
        """Answer with the report; 404 if it was not replayed."""
        deposit = await self.readable_version(obs_id, number, version)
        try:
            path = await self.in_thread(lambda: self.archive.storage.path(deposit.did, "report.json"))
        except StorageError:
            raise Problem(404, "This version was not replayed, so there is no report.") from None
        self.attach(f"{deposit.name}-v{deposit.version}-report.json", "application/json")
        self.link_back(deposit, "describes")
        size = (await self.in_thread(path.stat)).st_size
        await self.send_pieces(size, _pieces_of_file(path, 0, size))

    head = get


class Description(_Download):
    """``datacite.json`` and ``linkset.json``."""

    _types: ClassVar[dict[str, str]] = {"datacite": DATACITE_TYPE, "linkset": "application/linkset+json"}

    async def get(self, obs_id: str, number: str, version: str, which: str) -> None:
        """Answer with the description."""
        deposit = await self.readable_version(obs_id, number, version)
        settings = self.archive.settings
        body: dict[str, Any]
        if which == "datacite":
            public = await self.public_versions(obs_id, number)
            body = datacite_record(settings, deposit, tuple(d for d in public if d.state is State.PUBLISHED))
            self.link_back(deposit, "describes")
        else:
            body = linkset(settings, deposit)
        text = json.dumps(body, ensure_ascii=False, indent=1).encode()
        await self.send_bytes(text, f"{deposit.name}-v{deposit.version}-{which}.json", self._types[which])

    head = get


def repr_digest(digest_hex: str) -> str:
    """Return the value of ``Repr-Digest`` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(binascii.unhexlify(digest_hex)).decode()}:"


def _content_type(deposit: Deposit) -> str:
    return CRATE_TYPE if deposit.kind is Kind.CRATE else NOTEBOOK_TYPE


def _member_size(archive: Path, name: str) -> int:
    try:
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo(name)
    except KeyError:
        raise Problem(404, _NO_FILE) from None
    if info.is_dir():
        raise Problem(404, _NO_FILE)
    return info.file_size


def _pieces_of_file(path: Path, first: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        yield from _pieces(file, length)


def _pieces_of_member(archive: Path, name: str) -> Iterator[bytes]:
    with zipfile.ZipFile(archive) as opened, opened.open(name) as file:
        yield from _pieces(file, opened.getinfo(name).file_size)


def _pieces(file: IO[bytes], length: int) -> Iterator[bytes]:
    while length and (piece := file.read(min(_CHUNK, length))):
        length -= len(piece)
        yield piece
