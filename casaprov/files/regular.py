"""Regular files and folders, the only things that have content: nothing else is ever opened.

Opening a pipe waits for a writer, perhaps for ever; a device may never end, or
do something when it is opened. Such things can lie where a product is expected:
in a folder from elsewhere, behind a link, or in the place of an output.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from casaprov.errors import DigestError
from casaprov.hashing import Digest

__all__ = [
    "TYPE_ENDS",
    "digest_file",
    "entries_of",
    "open_regular",
    "refuse_special",
    "scan",
    "special_kind",
    "tables_opened_with",
]

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
TYPE_ENDS = 48
"""Byte of a ``table.dat`` at which the type of the table has ended, and no name has begun yet."""

_HEAD_BYTES = 2**20
"""The names of the tables that a table refers to come first in its ``table.dat``: this much of it is searched for them."""


def special_kind(path: Path) -> str:
    """Name the kind of a pipe, socket or device, links followed; return an empty text for a file, a folder or nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")
    except (OSError, ValueError):
        return ""


def entries_of(folder: Path | str | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """List the entries of a folder, in no order; none if it vanished or may not be read."""
    try:
        return scan(folder)
    except OSError:
        return []


def scan(folder: Path | str | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """List the entries of a folder, in no order; raise OSError if it vanished or may not be read."""
    with os.scandir(folder) as entries:
        return list(entries)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file to read its bytes; an error of reading names the file.

    Raises
    ------
    DigestError
        If it is a pipe, a socket or a device.
    OSError
        If it cannot be opened.
    """
    _refuse(path)
    # Race: a pipe may have taken the place of the file since. O_NONBLOCK opens one without a writer, and
    # O_NOCTTY keeps a terminal from becoming this process's own.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind in _KINDS:
            raise _special(path, _KINDS[kind])
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return io.BufferedReader(_NamedFile(descriptor, path))
    except BaseException:
        os.close(descriptor)
        raise


def digest_file(path: Path) -> Digest:
    """Digest the bytes of a regular file, read in pieces; raise the errors of :func:`open_regular`."""
    with open_regular(path) as stream:
        return Digest("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())


def refuse_special(table: Path) -> None:
    """Refuse a table one of whose files is a pipe, a socket or a device: a library would wait for it.

    The tables that a selection or a concatenation refers to are opened with
    it, wherever they lie, and are examined as well.

    Raises
    ------
    DigestError
        If there is such a file; the message names it.
    """
    for folder in tables_opened_with(table):
        _refuse_below(folder)


def tables_opened_with(table: Path) -> Iterator[Path]:
    """Yield the resolved path of a table, and of the tables that casacore opens with it to reach its rows."""
    seen: set[Path] = set()
    waiting = [table]
    while waiting:
        folder = waiting.pop().resolve()
        if folder in seen:
            continue
        seen.add(folder)
        yield folder
        waiting += _referred_to(folder)


def _refuse_below(folder: Path) -> None:
    waiting: list[Path | os.DirEntry[str]] = [folder]
    while waiting:
        for entry in entries_of(waiting.pop()):
            # The listing tells files and folders without a call of stat() for each: a MeasurementSet has hundreds.
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry)
            elif not entry.is_file(follow_symlinks=False):
                _refuse(Path(entry.path))


def _refuse(path: Path) -> None:
    if kind := special_kind(path):
        raise _special(path, kind)


def _special(path: Path, kind: str) -> DigestError:
    return DigestError(f"{path} is {kind}.", hint="Only files and folders have content that can be read.")


def _referred_to(table: Path) -> Iterator[Path]:
    """Yield the tables that casacore opens with this one to reach its rows, and perhaps others."""
    try:
        with open_regular(table / "table.dat") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError:
        return
    if b"PlainTable" in head[:TYPE_ENDS] and b"ForwardColumn" not in head:
        return
    # A string follows its length, four bytes of which the first two are zero for any name. The look-ahead finds
    # lengths that overlap. Bytes that look like a length and a string, and name no table, do no harm.
    for found in re.finditer(rb"(?=\0\0([\0-\x10][\0-\xff]))", head):
        start = found.start() + 4
        text = head[start : start + int.from_bytes(found[1], "big")]
        if text and b"\0" not in text:
            path = _resolved(os.fsdecode(text), table)
            if os.path.isfile(path / "table.dat"):  # noqa: PTH113 - Path's raises for long names
                yield path


def _resolved(name: str, table: Path) -> Path:
    """Return the path that casacore opens: ``././`` is in the table, ``./`` beside it, ``x/.`` the folder that holds `x`."""
    if name.startswith("././"):
        return table / name[4:]
    if name.endswith("/.") and str(table).endswith(f"/{name[:-2]}"):
        return Path(str(table)[: -len(name) + 1])
    return table.parent / os.path.expandvars(os.path.expanduser(name))  # noqa: PTH111 - Path's raises


class _NamedFile(io.FileIO):
    """A file whose errors name it; those of the system do not where reading fails."""

    def __init__(self, descriptor: int, path: Path) -> None:
        super().__init__(descriptor)
        self._path = path

    def readinto(self, buffer: Any, /) -> int:
        try:
            return super().readinto(buffer) or 0
        except OSError as error:
            raise self._named(error) from error

    def readall(self) -> bytes:
        try:
            return super().readall() or b""
        except OSError as error:
            raise self._named(error) from error

    def _named(self, error: OSError) -> OSError:
        return type(error)(error.errno, error.strerror, str(self._path))
