"""Open tables: descriptors of this process, and locks of others.

A table that is replaced while a tool has it open gives wrong results: casacore goes on with what it read before. And a
task that reads a table sees what a tool of the same process has written to it and not yet to the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["held_reason", "writers_reason"]

_DESCRIPTORS = Path("/proc/self/fd")
_MAPS = Path("/proc/self/maps")
_LOCK = "table.lock"
_DESCRIPTION = "table.dat"  # of a table
_PATH_FIELD = 5  # of a line of maps: address, permissions, offset, device, inode, path

# struct flock of 64-bit Linux: type, whence, start, length, process; a length of zero is the whole file.
_FLOCK = "hhqqi4x"


def held_reason(paths: Sequence[Path]) -> str:
    """Return a sentence if something has a file at or below one of the paths open; an empty text otherwise.

    Descriptors and maps of this process count, and locks that other processes hold on a ``table.lock``: casacore holds
    one as long as a table is open.
    """
    for place, file in _open_below(paths):
        return f"This session has {file} open, of {place}."
    # Only now: closing a file ends all locks that this process holds on it, and it holds none below these paths.
    for path in paths:
        for lock in _locks_of(path):
            if process := _locker(lock):
                return f"Process {process} has {lock.parent} open."
    return ""


def writers_reason(paths: Sequence[Path]) -> str:
    """Return a sentence if this process has a file below one of the paths open to write, ``table.lock`` aside."""
    # Not maps of tables: casacore keeps the descriptor of what it maps, and the list of all maps takes as long as a short
    # task, in each look-up.
    mapped = any(not (path / _DESCRIPTION).exists() for path in paths)
    for place, file in _open_below(paths, to_write=True, mapped=mapped):
        if file.name != _LOCK:
            return f"This session has {file} open to write, of {place}."
    return ""


def _open_below(paths: Sequence[Path], *, to_write: bool = False, mapped: bool = True) -> Iterator[tuple[Path, Path]]:
    """Yield a path and the open file at or below it."""
    places = {os.path.realpath(path): path for path in paths}
    if not places:
        return
    maps = _mapped(to_write=to_write) if mapped else ()
    for file in (*_descriptors(to_write=to_write), *maps):
        for real, path in places.items():
            if file == real or file.startswith(f"{real}/"):
                yield path, Path(file)


def _descriptors(*, to_write: bool) -> Iterator[str]:
    for number in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - names, of which there may be thousands
        with suppress(OSError, ValueError):  # closed since
            if not to_write or fcntl.fcntl(int(number), fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
                yield (_DESCRIPTORS / number).readlink().as_posix()


def _mapped(*, to_write: bool) -> Iterator[str]:
    with _MAPS.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=_PATH_FIELD)
            if len(fields) > _PATH_FIELD and fields[_PATH_FIELD].startswith("/") and (not to_write or "w" in fields[1]):
                yield fields[_PATH_FIELD]


def _locks_of(path: Path) -> Iterator[Path]:
    for folder, _, files in os.walk(path):
        if _LOCK in files:
            yield Path(folder, _LOCK)


def _locker(lock: Path) -> int:
    """Return the number of a process that holds a lock on a file; 0 if there is none."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, process = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
    except OSError as error:
        if error.errno in {errno.ENOLCK, errno.EINVAL, errno.EOPNOTSUPP}:  # a file system without locks
            return 0
        raise
    finally:
        os.close(descriptor)
    return 0 if kind == fcntl.F_UNLCK else process or -1
