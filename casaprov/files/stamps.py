"""Stat stamps, which show cheaply that files have not changed since they were read.

A stamp is size, times and inode, never a hash. Of a ``table.lock``, which changes
when a table is merely opened for writing, only the number of rows counts: casacore
takes it from there where it has not written the table's description anew.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from casaprov.errors import DigestError
from casaprov.files.regular import TYPE_ENDS, entries_of, open_regular
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.hashing import Digest, digest_record

__all__ = [
    "ListFolder",
    "Stamps",
    "StatStamp",
    "is_self_contained",
    "is_settled",
    "settle",
    "stamp",
    "stamp_file",
    "stamp_folder",
]

ListFolder = Callable[[Path | str], Sequence[os.DirEntry[str]]]
"""A function that lists a folder, as :func:`casaprov.files.regular.entries_of` does."""

_LOCK = "table.lock"
# casacore's LockFile: requests of 33 pairs of numbers, four bytes with the length of the rest, and in this the number of
# rows, as AipsIO writes it (TableSyncData): a magic number, a length, the word "sync", a version, the rows.
_SYNC_AT, _SYNC_BYTES = 264, 28
_SYNC = struct.Struct(">4s4xI4sI")
_MAGIC = b"\xbe\xbe\xbe\xbe"
_SECOND_NS = 1_000_000_000
_COARSE_NS = 2 * _SECOND_NS + LONGEST_NS  # FAT counts in steps of two seconds; a tick of the clock may lie before each


class StatStamp(NamedTuple):
    """The facts of one file, from ``stat``, that change when the file does."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> StatStamp:
        """Take the facts from a result of ``stat``."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Stamps of a file, or of all files below a directory, by relative POSIX path.

    That of a ``table.lock`` has the number of rows in the place of a time. The stamp of a single file has the empty path. No files, and therefore
    false, if there is nothing at the path.

    Attributes
    ----------
    taken_ns
        Time before they were taken, in nanoseconds since 1970; it does not count when stamps are compared.
    linked
        Whether a file or folder below the directory may be a link, or have another name elsewhere.
    """

    files: tuple[tuple[str, StatStamp], ...] = ()
    taken_ns: int = field(default=0, compare=False)
    linked: bool = field(default=True, compare=False)

    def __bool__(self) -> bool:
        return bool(self.files)

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(found.size for _, found in self.files)

    @property
    def newest_ns(self) -> int:
        """Time of the latest change of a file; 0 if there is none.

        The change time counts, not the modification time: tar and rsync set
        the latter to the past, and no program can set the former.
        """
        return max((found.ctime_ns for _, found in self.files), default=0)

    @property
    def digest(self) -> Digest:
        """Digest of the names, sizes and modification times, which a copy that keeps times has as well."""
        return digest_record("casaprov/stamps/1", [[name, s.size, s.mtime_ns] for name, s in self.files])

    def changed_since(self, earlier: Stamps) -> tuple[str, ...]:
        """Return the relative paths of files that are new, gone or different."""
        return tuple(sorted({name for name, _ in set(self.files) ^ set(earlier.files)}))


def stamp(path: Path) -> Stamps:
    """Stamp a file, or all files below a directory; one that may not be read has no files."""
    return stamp_folder(path) if os.path.isdir(path) else stamp_file(path)  # noqa: PTH112 - Path's raises


def stamp_file(path: Path | str) -> Stamps:
    """Stamp a single file."""
    now_ns = time.time_ns()
    facts = _stat(path)
    return Stamps((("", StatStamp.of(facts)),) if facts else (), now_ns, linked=False)


def stamp_folder(folder: Path | str, list_folder: ListFolder = entries_of) -> Stamps:
    """Stamp all files below a directory.

    Parameters
    ----------
    list_folder
        Lists each folder.
    """
    now_ns = time.time_ns()
    found: list[tuple[str, StatStamp]] = []
    linked = _add_below(folder, "", list_folder, found)
    return Stamps(tuple(sorted(found)), now_ns, linked)


def _add_below(folder: Path | str, prefix: str, list_folder: ListFolder, found: list[tuple[str, StatStamp]]) -> bool:
    """Add the stamps of all files below a folder; return True if there are links among them, symbolic or hard."""
    linked = False
    for entry in list_folder(folder):
        if entry.is_dir(follow_symlinks=False):
            linked |= _add_below(entry.path, f"{prefix}{entry.name}/", list_folder, found)
        elif entry.name == _LOCK:
            if (rows := _rows_in_lock(entry.path)) is not None:
                found.append((prefix + _LOCK, StatStamp(0, rows, 0, 0)))
        elif facts := _stat(entry.path):
            linked |= facts.st_nlink > 1 or entry.is_symlink()
            found.append((prefix + entry.name, StatStamp.of(facts)))
    return linked


def _rows_in_lock(path: str) -> int | None:
    """Return the number of rows that a ``table.lock`` holds; None if it holds none."""
    try:
        # Whatever lies there: a pipe is opened without waiting, and has no place to read from.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, _SYNC_BYTES, _SYNC_AT)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    if len(data) < _SYNC_BYTES:
        return None
    magic, _, word, version = _SYNC.unpack_from(data)
    if (magic, word) != (_MAGIC, b"sync"):
        return None
    return int.from_bytes(data[_SYNC.size : _SYNC.size + (4 if version == 1 else 8)])


def _stat(path: Path | str) -> os.stat_result | None:
    """Return the facts of a file, of the target of a link, or of a link itself that leads nowhere."""
    try:
        return os.stat(path)  # noqa: PTH116 - thousands of times in a session
    except OSError:
        try:
            return os.lstat(path)  # a link that leads nowhere
        except OSError:
            return None


def is_self_contained(path: Path, stamps: Stamps) -> bool:
    """Return True if `stamps` cover all files of the product at `path`.

    A reference table (a selection) or a concatenation holds none of its rows;
    they change with the tables it refers to. The same goes for links to folders.
    """
    for name, facts in stamps.files:
        member = f"{path}/{name}"
        if stamps.linked and os.path.islink(member) and os.path.isdir(member):  # noqa: PTH112, PTH114 - thousands of times in a session
            return False
        if name.rpartition("/")[2] == "table.dat" and not _is_plain_table(Path(member), facts):
            return False
    return True


@lru_cache(maxsize=4096)
def _is_plain_table(description: Path, _facts: StatStamp) -> bool:
    """Return True if a ``table.dat`` describes a table with rows of its own; it is read once for each stamp."""
    try:
        with open_regular(description) as stream:
            return b"PlainTable" in stream.read(TYPE_ENDS)
    except (OSError, DigestError):
        return False


def is_settled(stamps: Stamps, step_ns: int = LONGEST_NS) -> bool:
    """Return True if a write after the stamps were taken would show in them.

    File systems write times in steps. A file that is written twice within one step, and read in
    between, keeps its stamp though its content is not what was read.

    Parameters
    ----------
    step_ns
        Step of the file system (:class:`casaprov.files.time_resolution.TimeSteps`); one of whole seconds is recognised.
    """
    return stamps.taken_ns - stamps.newest_ns > _step_ns(stamps, step_ns)


def _step_ns(stamps: Stamps, step_ns: int) -> int:
    newest = stamps.newest_ns
    # Times of whole seconds are those of a file system that has no others; by chance, one in 10**9 is.
    if newest and newest % _SECOND_NS == 0:
        return _COARSE_NS
    return LONGEST_NS if stamps.linked else step_ns  # a link may lead to another file system


def settle(
    path: Path,
    step_ns: int = LONGEST_NS,
    *,
    sleep: Callable[[float], None] = time.sleep,
    timeout_s: float = 0.1,
) -> Stamps | None:
    """Stamp `path` once its stamps can be trusted, waiting a few milliseconds if need be.

    Parameters
    ----------
    step_ns
        As for :func:`is_settled`.

    Returns
    -------
    Stamps or None
        None if the files kept changing, or their times lie in the future, for
        `timeout_s`: stamps say nothing about them then.
    """
    until_ns = time.time_ns() + timeout_s * 1e9
    while True:
        found = stamp(path)
        if is_settled(found, step_ns):
            return found
        settled_ns = found.newest_ns + _step_ns(found, step_ns) + 1
        if settled_ns > until_ns:
            return None
        sleep((settled_ns - found.taken_ns) / 1e9)
