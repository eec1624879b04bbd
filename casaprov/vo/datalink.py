"""Files of an observation by DataLink: listed, and fetched."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from pyvo.dal.adhoc import DatalinkResults

from casaprov.errors import UsageError, VoError
from casaprov.vo.tap import first_line

__all__ = ["LinkedFile", "fetch", "linked_files"]

_READ_BYTES = 2**16  # a piece that a broken connection cuts is lost


@dataclass(frozen=True, kw_only=True)
class LinkedFile:
    """A row of DataLink that leads to a file.

    Attributes
    ----------
    semantics
        ``#this`` for the data themselves.
    size_bytes
        Stated size; None if there is none.
    """

    url: str
    semantics: str
    description: str = ""
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        """Name of the file, from its address; empty if there is none."""
        name = PurePosixPath(unquote(urlsplit(self.url).path)).name
        return "" if name in (".", "..") or "/" in name or "\0" in name else name


def linked_files(url: str, session: requests.Session) -> tuple[LinkedFile, ...]:
    """Return the rows of a DataLink answer that lead to files: no services, no errors, no empty addresses.

    Raises
    ------
    VoError
        If there is no such answer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = DatalinkResults.from_result_url(url, session=session)
            found = [_file(row) for row in rows if not _text(row, "service_def") and not _text(row, "error_message")]
    except Exception as error:  # pyvo passes on all errors of requests and astropy
        raise VoError(f"{url} gives no list of files: {first_line(error)}", hint="Check the address.") from error
    return tuple(file for file in found if file.url.startswith(("http://", "https://")))


def _file(row: Any) -> LinkedFile:
    size = _text(row, "content_length")
    return LinkedFile(
        url=_text(row, "access_url"),
        semantics=_text(row, "semantics"),
        description=_text(row, "description"),
        size_bytes=int(size) if size.isdecimal() and int(size) > 0 else None,
    )


def _text(row: Any, name: str) -> str:
    try:
        value = row[name]
    except KeyError:
        return ""
    if value is None or getattr(value, "mask", False) is True:
        return ""
    text = value.decode() if isinstance(value, bytes) else str(value)
    return "" if text in ("--", "None") else text


def fetch(
    file: LinkedFile,
    folder: Path,
    session: requests.Session,
    *,
    max_bytes: int,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Path:
    """Fetch a file into a folder; go on where an earlier try ended. An existing file is never replaced.

    Parameters
    ----------
    max_bytes
        Largest file that is fetched.
    on_bytes
        Called with the number of bytes of each piece.

    Raises
    ------
    VoError
        If it is proprietary, too large, incomplete, or cannot be reached.
    UsageError
        If its name is taken.
    """
    if not file.name:
        raise VoError(f"{file.url} has no name to be stored by.")
    target = folder / file.name
    if target.exists():
        raise UsageError(f"{target} is there already.", hint="Move it away, or give another folder.")
    _refuse_large(file, file.size_bytes, max_bytes)
    part = folder / f".{file.name}.part"
    have = part.stat().st_size if part.exists() else 0
    try:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with session.get(file.url, stream=True, headers=headers) as answer:
            if answer.status_code in (401, 403):
                raise VoError(f"{file.url} is proprietary: the archive refuses it ({answer.status_code}).", hint="Log in there, and give the folder with --data.")  # fmt: skip
            if answer.status_code == 416:  # the part is longer than the file: begin anew
                part.unlink()
                raise VoError(f"{file.url} has changed since an earlier try.", hint="Try again.")
            answer.raise_for_status()
            resumed = answer.status_code == 206
            stated = answer.headers.get("Content-Length", "")
            whole = int(stated) + (have if resumed else 0) if stated.isdecimal() else None
            _refuse_large(file, whole, max_bytes)
            total = have if resumed else 0
            with part.open("ab" if resumed else "wb") as out:
                for piece in answer.iter_content(_READ_BYTES):
                    total += len(piece)
                    _refuse_large(file, total, max_bytes)
                    out.write(piece)
                    on_bytes(len(piece))
    except requests.RequestException as error:
        raise VoError(f"{file.url} cannot be fetched: {error}", hint="Try again: it goes on where it ended.") from error
    expected = file.size_bytes if file.size_bytes is not None else whole
    if expected is not None and total != expected:
        raise VoError(f"{file.url} has {total} bytes and not {expected}.", hint="Try again: it goes on where it ended.")
    part.replace(target)
    return target


def _refuse_large(file: LinkedFile, size: int | None, max_bytes: int) -> None:
    if size is not None and size > max_bytes:
        raise VoError(f"{file.url} has {size} bytes, more than {max_bytes}.", hint="Allow more with --max-size.")
