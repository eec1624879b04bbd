"""Uploads in pieces: tus 1.0.0 with creation, expiration, termination and checksum (https://tus.io)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import threading
from datetime import timedelta
from email.utils import format_datetime
from functools import partial
from io import FileIO
from typing import Any

from tornado.web import RequestHandler, stream_request_body

from casaprov.archive.deposits import Person
from casaprov.archive.spool import full_or
from casaprov.archive.tables.uploads import Upload
from casaprov.archive.web.archive import Archive
from casaprov.archive.web.handler import ArchiveHandler
from casaprov.archive.web.problems import Problem, problem_of
from casaprov.errors import CasaprovError

__all__ = ["busy_uploads", "routes"]

VERSION = "1.0.0"
_ALGORITHMS = ("sha256", "sha1", "md5")

busy_uploads: set[str] = set()
"""Uploads that a request is writing to at this moment: two at once would mix their bytes."""


class _TusHandler(ArchiveHandler):
    """Base: the version that both sides must agree on."""

    def set_default_headers(self) -> None:
        """Name the version in every answer."""
        super().set_default_headers()
        self.set_header("Tus-Resumable", VERSION)

    async def prepare(self) -> None:
        """Refuse clients of another version; a method that is not there is refused as such."""
        name = (self.request.method or "").lower()
        if getattr(type(self), name, None) is getattr(RequestHandler, name, None):
            return
        if self.request.method != "OPTIONS" and self.request.headers.get("Tus-Resumable") != VERSION:
            raise Problem(412, f"This is tus {VERSION}.", headers={"Tus-Version": VERSION, "Tus-Resumable": VERSION})

    def _expires(self, upload: Upload) -> None:
        self.set_header("Upload-Expires", format_datetime(upload.expires_at, usegmt=True))

    def _number(self, name: str) -> int:
        text = self.request.headers.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise Problem(400, f"The header {name} must be a number.")
        return int(text)


class UploadsHandler(_TusHandler):
    """``/api/uploads``."""

    async def options(self) -> None:
        """Name the extensions of this server."""
        self.set_header("Tus-Version", VERSION)
        self.set_header("Tus-Extension", "creation,expiration,termination,checksum")
        self.set_header("Tus-Max-Size", str(self.archive.settings.limits.max_upload))
        self.set_header("Tus-Checksum-Algorithm", ",".join(_ALGORITHMS))
        self.set_status(204)

    async def post(self) -> None:
        """Begin an upload."""
        person = await self.person()
        length = self._number("Upload-Length")
        limits = self.archive.settings.limits
        if length > limits.max_upload:
            raise Problem(413, f"The archive takes files of up to {limits.max_upload} bytes.")
        metadata = self.request.headers.get("Upload-Metadata", "")
        if len(metadata) > 4000 or not _is_metadata(metadata):
            raise Problem(400, "The header Upload-Metadata must hold keys and values in base64.")
        upload = await self.in_thread(partial(self._begin, person, length, metadata))
        self._expires(upload)
        self.set_header("Location", f"{self.archive.settings.url}/api/uploads/{upload.id}")
        self.set_status(201)

    def _begin(self, person: Person, length: int, metadata: str) -> Upload:
        archive, limits = self.archive, self.archive.settings.limits
        archive.spool.check_room(length)
        if archive.uploads.bytes_of(person) + length > limits.quota:
            raise Problem(
                429, f"Your uploads would take more than {limits.quota} bytes. Finish or delete others first."
            )
        upload = Upload(
            id=secrets.token_hex(12),
            iss=person.iss,
            sub=person.sub,
            length=length,
            metadata=metadata,
            expires_at=_expiry(archive),
        )
        archive.spool.upload_path(upload.id).touch(exist_ok=False)
        archive.uploads.add(upload)
        return upload


def _expiry(archive: Archive) -> Any:
    return archive.repository.clock().replace(microsecond=0) + timedelta(days=archive.settings.limits.upload_days)


def _is_metadata(text: str) -> bool:
    for pair in text.split(",") if text else ():
        key, _, value = pair.strip().partition(" ")
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return False
        if not key.isascii() or not key.isprintable() or not key:
            return False
    return True


@stream_request_body
class UploadHandler(_TusHandler):
    """``/api/uploads/{id}``."""

    _upload: Upload | None = None
    _file: FileIO | None = None
    _offset = 0
    _received = 0
    _algorithm = ""
    _expected = b""

    def initialize(self, archive: Archive) -> None:
        """Take the archive from the route."""
        super().initialize(archive)
        self._writing = threading.Lock()

    async def prepare(self) -> None:
        """Find the upload; for PATCH, open its file before the body arrives."""
        await super().prepare()
        upload_id = self.path_args[0]
        person = await self.person()
        self._upload = await self.in_thread(self.archive.uploads.of, upload_id, person)
        if self._upload is None or self._upload.expires_at < self.archive.repository.clock():
            raise Problem(404, "There is no such upload, or it has expired.")
        if self.request.method == "PATCH":
            await self._begin(self._upload)

    async def _begin(self, upload: Upload) -> None:
        if self.request.headers.get("Content-Type", "") != "application/offset+octet-stream":
            raise Problem(415, "The archive takes application/offset+octet-stream here.")
        offset = self._number("Upload-Offset")
        checksum = self.request.headers.get("Upload-Checksum", "")
        if checksum:
            self._algorithm, _, value = checksum.partition(" ")
            if self._algorithm not in _ALGORITHMS:
                raise Problem(400, f"The checksum must be one of {', '.join(_ALGORITHMS)}.")
            try:
                self._expected = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise Problem(400, "The checksum must be written in base64.") from None
            self._digest = hashlib.new(self._algorithm, usedforsecurity=False)
        announced = self.request.headers.get("Content-Length", "")
        if announced.isdigit() and offset + int(announced) > upload.length:
            raise Problem(413, "This is more than the upload was announced with.")
        if upload.id in busy_uploads:
            raise Problem(409, "Another request is writing to this upload.")
        busy_uploads.add(upload.id)
        try:
            path = self.archive.spool.upload_path(upload.id)
            if offset != path.stat().st_size:
                raise Problem(409, f"The upload is at {path.stat().st_size}, not at {offset}.")
            self._offset = offset
            self._file = path.open("r+b", buffering=0)
            self._file.seek(offset)
        except OSError:
            busy_uploads.discard(upload.id)
            raise Problem(404, "There is no such upload, or it has expired.") from None
        except BaseException:
            busy_uploads.discard(upload.id)
            raise
        connection: Any = self.request.connection
        connection.set_max_body_size(upload.length + 1)

    async def data_received(self, chunk: bytes) -> None:
        """Write a piece; all bytes before the client went stay."""
        if self._file is None or self._finished:
            return
        assert self._upload is not None
        try:
            if self._offset + self._received + len(chunk) > self._upload.length:
                raise Problem(413, "This is more than the upload was announced with.")
            await self.in_thread(self._write, chunk)
        except (Problem, CasaprovError, OSError) as error:
            self._end()
            problem = problem_of(error) if isinstance(error, CasaprovError) else error
            status = problem.status if isinstance(problem, Problem) else 500
            self.send_error(status, exc_info=(type(problem), problem, None))

    def _write(self, chunk: bytes) -> None:
        with self._writing:  # the client may go meanwhile, and the file is closed then
            if self._file is not None:
                self._write_to(self._file, chunk)

    def _write_to(self, file: FileIO, chunk: bytes) -> None:
        try:
            left = memoryview(chunk)
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise full_or(error) from error
        if self._algorithm:
            self._digest.update(chunk)
        self._received += len(chunk)
        if self._received % (64 * 2**20) < len(chunk):
            self.archive.spool.check_room(0)

    def _end(self, *, keep: bool = True) -> None:
        """Close the file; a piece with a checksum stays only if it is whole."""
        with self._writing:
            file, self._file = self._file, None
        if file is None or self._upload is None:
            return
        try:
            with file:
                if not keep:
                    file.truncate(self._offset)
                os.fsync(file.fileno())
        finally:
            busy_uploads.discard(self._upload.id)

    def on_connection_close(self) -> None:
        """Keep the bytes of a client that has gone, unless they came with a checksum."""
        super().on_connection_close()
        self.archive.threads.submit(self._end, keep=not self._algorithm)

    def on_finish(self) -> None:
        """Close the file, however the request ended."""
        if self._file is not None:
            self._end(keep=not self._algorithm)

    async def head(self, upload_id: str) -> None:
        """Say how much has arrived."""
        upload = self._upload
        assert upload is not None
        size = await self.in_thread(lambda: self.archive.spool.upload_path(upload.id).stat().st_size)
        self.set_header("Upload-Offset", str(size))
        self.set_header("Upload-Length", str(upload.length))
        if upload.metadata:
            self.set_header("Upload-Metadata", upload.metadata)
        self.set_header("Cache-Control", "no-store")
        self._expires(upload)
        self.set_status(200)

    async def patch(self, upload_id: str) -> None:
        """End a piece that has arrived."""
        upload = self._upload
        assert upload is not None
        good = not self._algorithm or self._digest.digest() == self._expected
        await self.in_thread(partial(self._end, keep=good))
        if not good:
            raise Problem(460, "The piece does not have its checksum; it was not kept. Send it again.")
        until = _expiry(self.archive)
        await self.in_thread(self.archive.uploads.prolong, upload.id, until)
        self.set_header("Upload-Offset", str(self._offset + self._received))
        self.set_header("Upload-Expires", format_datetime(until, usegmt=True))
        self.set_status(204)

    async def delete(self, upload_id: str) -> None:
        """Give an upload up."""
        upload = self._upload
        assert upload is not None
        if upload.id in busy_uploads:
            raise Problem(409, "Another request is writing to this upload.")
        await self.in_thread(self.archive.uploads.remove, upload.id)
        await self.in_thread(partial(self.archive.spool.upload_path(upload.id).unlink, missing_ok=True))
        self.set_status(204)


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them."""
    context = {"archive": archive}
    return [(r"/api/uploads", UploadsHandler, context), (r"/api/uploads/([0-9a-f]{1,64})", UploadHandler, context)]
