"""Stamps of tables, from memory of those in which nobody has written since the last time.

A working folder may hold a hundred tables of a hundred and fifty files each, and
a call looks at all of them before and after. Linux tells of writes (inotify(7)),
so that only those are looked at again in which somebody wrote.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from casaprov.files.regular import scan
from casaprov.files.stamps import Stamps, StatStamp, stamp_file, stamp_folder
from casaprov.processes.exempt import ExemptLock

__all__ = ["WatchedStamps"]

# File systems that only this machine's kernel writes to, and in which no snapshot takes the place of what is there:
# ext, XFS, Btrfs, tmpfs, overlay and F2FS, as statfs(2) numbers them.
_LOCAL = frozenset((0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010))
_STATFS_BYTES = 256  # more than the structure has; the number of the file system comes first
_EXPORTED = Path("/var/lib/nfs/etab")  # what this machine serves to others

_MOST_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_SHARE = 8
_FEW = 1024  # an eighth of what Linux before 5.11 gives a user

# From linux/inotify.h: what happens to files in a folder (MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE) or to its
# name (MOVE_SELF), and only the first of it (ONESHOT), for a task writes a million times.
_FIRST_CHANGE = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x800 | 0x80000000
_EVENT = struct.Struct("iIII")
_ALL = -1  # the watch that is named where events were lost

_libc: Any = ctypes.CDLL(None, use_errno=True)


class _Kept(NamedTuple):
    """What is kept of a table: device and inode of its folder, and the stamps of its files."""

    place: tuple[int, int]
    files: tuple[tuple[str, StatStamp], ...]


class WatchedStamps:
    """Takes stamps as :mod:`casaprov.files.stamps` does; safe for threads.

    Where nobody tells of changes (another system than Linux, a file server, no watch left), and in tables with links,
    all files are looked at each time. A hard link that is made elsewhere is told to nobody, so one file of each table is
    looked at all the same: it shows when all get one (``cp -al``). Nor is told what is written through shared memory
    (``table.tsm.option: mmap`` in ``.casarc``), but casacore writes the table's description after it.

    Parameters
    ----------
    most
        Folders that are watched, at most; by default an eighth of what all programs of a user may.
    """

    def __init__(self, *, most: int | None = None) -> None:
        self._most = _share() if most is None else most
        self._lock = ExemptLock()
        self._busy = False
        self._kept: dict[str, _Kept] = {}
        self._tables: dict[int, set[str]] = {}  # tables that a watched folder belongs to, by the number of the watch
        self._linked: set[str] = set()  # tables that had links
        self._elsewhere: set[int] = set()  # devices of other file systems than local ones
        self._queue = _new_queue()
        if self._queue is not None:
            weakref.finalize(self, os.close, self._queue)

    def stamp(self, path: Path | str) -> Stamps:
        """Stamp a file, or all files below a directory except ``table.lock``."""
        name = os.fspath(path)
        now_ns = time.time_ns()
        try:
            about = os.stat(name)  # noqa: PTH116 - for each table, twice in each call
        except OSError:
            return stamp_file(name)
        if not stat.S_ISDIR(about.st_mode):
            return stamp_file(name)
        if self._queue is None or about.st_dev in self._elsewhere:
            return stamp_folder(name)
        place = about.st_dev, about.st_ino
        with self._lock:
            if self._busy:  # a signal's handler, while this thread is below
                return stamp_folder(name)
            self._busy = True
            try:
                self._forget_changed(self._queue)
                kept = self._kept.get(name)
                if kept is None or kept.place != place or not _is_there(name, kept.files[0]):
                    return self._looked_at(name, place, self._queue)
                return Stamps(kept.files, now_ns, linked=False)
            finally:
                self._busy = False

    def _looked_at(self, name: str, place: tuple[int, int], queue: int) -> Stamps:
        self._kept.pop(name, None)
        if name in self._linked:
            found = stamp_folder(name)
            if found.linked:
                return found
            self._linked.discard(name)
        told = self._is_local(os.fsencode(name), place[0])
        watched: list[int] = []

        def watch_and_list(folder: Path | str) -> list[os.DirEntry[str]]:
            nonlocal told
            try:
                # Watched first, so that what happens from now on is told of.
                if told and (watch := self._watch(os.fsencode(folder), place[0], queue)) is not None:
                    self._tables.setdefault(watch, set()).add(name)
                    watched.append(watch)
                else:
                    told = False
                return scan(folder)
            except OSError:
                told = False
                return []

        found = stamp_folder(name, watch_and_list)
        if found and told and not found.linked:
            self._kept[name] = _Kept(place, found.files)
            return found
        if found.linked:
            self._linked.add(name)
        for watch in watched:
            self._unwatch(watch, name, queue)
        return found

    def _watch(self, folder: bytes, device: int, queue: int) -> int | None:
        """Watch a folder until something happens in it; return the watch, None if that will not be told of."""
        if os.stat(folder).st_dev != device:  # noqa: PTH116 - as above
            return None
        watch: int = _libc.inotify_add_watch(queue, folder, _FIRST_CHANGE)
        if watch < 0:
            return None
        if len(self._tables) >= self._most and watch not in self._tables:
            _libc.inotify_rm_watch(queue, watch)
            return None
        return watch

    def _unwatch(self, watch: int, table: str, queue: int) -> None:
        tables = self._tables.get(watch, set())
        tables.discard(table)
        if not tables:
            self._tables.pop(watch, None)
            _libc.inotify_rm_watch(queue, watch)

    def _is_local(self, folder: bytes, device: int) -> bool:
        about = ctypes.create_string_buffer(_STATFS_BYTES)
        if _libc.statfs(folder, about) != 0:
            return False
        if ctypes.c_long.from_buffer(about).value in _LOCAL:
            return True
        self._elsewhere.add(device)  # a file server would be asked each time
        return False

    def _forget_changed(self, queue: int) -> None:
        # Whatever interrupts this, nothing is kept then.
        kept, self._kept = self._kept, {}
        tables, self._tables = self._tables, {}
        for watch in _told(queue):
            if watch == _ALL:
                kept.clear()
                tables.clear()
            for table in tables.pop(watch, ()):
                kept.pop(table, None)
        self._kept, self._tables = kept, tables


def _share() -> int:
    try:
        return int(_MOST_WATCHES.read_text()) // _SHARE
    except (OSError, ValueError):
        return _FEW


def _new_queue() -> int | None:
    try:
        # A server of NFS reaches files by their inodes: what it writes is not always told of.
        if _EXPORTED.stat().st_size:
            return None
    except OSError:
        pass
    try:
        queue: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    except AttributeError:  # not Linux
        return None
    return queue if queue >= 0 else None


def _told(queue: int) -> Iterator[int]:
    """Yield the watches in whose folders something happened."""
    while True:
        try:
            events = os.read(queue, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            yield _ALL
            return
        place = 0
        while place < len(events):
            watch, _what, _with, name_bytes = _EVENT.unpack_from(events, place)
            place += _EVENT.size + name_bytes
            yield watch


def _is_there(folder: str, member: tuple[str, StatStamp]) -> bool:
    """Tell whether a file below a folder has the stamp that it had."""
    name, facts = member
    return stamp_file(f"{folder}/{name}").files == (("", facts),)
