"""Stamps of tables that are kept in memory until a file of the table changes.

A working folder may hold a hundred tables of a hundred and fifty files each, and
each call stamps all of them before and after. Linux reports writes (inotify(7)),
so that only tables with a write since the last time are stamped anew.
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
# ext, XFS, Btrfs, tmpfs, overlay and F2FS, by the numbers of statfs(2).
_LOCAL = frozenset((0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010))
_STATFS_BYTES = 256  # more than the structure has; the number of the file system comes first
_EXPORTED = Path("/var/lib/nfs/etab")  # lists the folders that this machine serves to others by NFS

_MOST_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")
_SHARE = 8  # one part in so many of a user's watches is taken: other programs need some too
_FEW = 1024  # an eighth of the 8192 watches that Linux before 5.11 gives a user

# From linux/inotify.h: events of files in a folder (MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE) or of its own
# name (MOVE_SELF); ONESHOT reports only the first of them, since a task writes a million times.
_FIRST_CHANGE = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x800 | 0x80000000
_EVENT = struct.Struct("iIII")
_ALL = -1  # the number of the watch in the event that reports a full queue: events were lost, of any folder

_libc: Any = ctypes.CDLL(None, use_errno=True)


class _Kept(NamedTuple):
    """A table whose stamps are kept: device and inode of its folder, and the stamps of its files."""

    place: tuple[int, int]
    files: tuple[tuple[str, StatStamp], ...]


class WatchedStamps:
    """Takes stamps as :mod:`casaprov.files.stamps` does; safe for threads.

    Where changes are not reported (another system than Linux, a file server, no watch left), and in tables with links,
    all files are stamped each time. A hard link that is made elsewhere is not reported, so one file of each table is
    looked at all the same: it shows when all files get one (``cp -al``). Writes through shared memory
    (``table.tsm.option: mmap`` in ``.casarc``) are not reported either, but casacore writes the table's description
    after them.

    Parameters
    ----------
    most
        Folders that are watched, at most; by default an eighth of the watches of all programs of a user.
    """

    def __init__(self, *, most: int | None = None) -> None:
        self._most = _share() if most is None else most
        self._lock = ExemptLock()
        self._busy = False  # whether a call holds the lock; in this thread, it is one that a signal interrupted
        self._kept: dict[str, _Kept] = {}
        self._tables: dict[int, set[str]] = {}  # tables that a watched folder belongs to, by the number of the watch
        self._linked: set[str] = set()  # tables that had links
        self._remote: set[int] = set()  # devices of file systems whose changes are not reported
        self._queue = _new_queue()
        if self._queue is not None:
            weakref.finalize(self, os.close, self._queue)

    def stamp(self, path: Path | str) -> Stamps:
        """Stamp a file, or all files below a directory."""
        name = os.fspath(path)
        now_ns = time.time_ns()
        try:
            about = os.stat(name)  # noqa: PTH116 - for each table, twice in each call
        except OSError:
            return stamp_file(name)
        if not stat.S_ISDIR(about.st_mode):
            return stamp_file(name)
        if self._queue is None or about.st_dev in self._remote:
            return stamp_folder(name)
        place = about.st_dev, about.st_ino
        with self._lock:
            if self._busy:  # a handler of a signal that interrupted this thread below: nothing is consistent now
                return stamp_folder(name)
            self._busy = True
            try:
                self._forget_changed(self._queue)
                kept = self._kept.get(name)
                if kept is None or kept.place != place or not _is_there(name, kept.files):
                    return self._stamp_anew(name, place, self._queue)
                return Stamps(kept.files, now_ns, linked=False)
            finally:
                self._busy = False

    def _stamp_anew(self, name: str, place: tuple[int, int], queue: int) -> Stamps:
        """Stamp a table, and keep its stamps if all its folders are watched."""
        self._kept.pop(name, None)
        if name in self._linked:
            found = stamp_folder(name)
            if found.linked:
                return found
            self._linked.discard(name)
        reported = self._is_local(os.fsencode(name), place[0])
        watched: list[int] = []

        def watch_and_list(folder: Path | str) -> list[os.DirEntry[str]]:
            nonlocal reported
            try:
                # Race: a write between listing and watching would be lost, so the folder is watched first.
                if reported and (watch := self._watch(os.fsencode(folder), place[0], queue)) is not None:
                    self._tables.setdefault(watch, set()).add(name)
                    watched.append(watch)
                else:
                    reported = False
                return scan(folder)
            except OSError:
                reported = False
                return []

        found = stamp_folder(name, watch_and_list)
        if found and reported and not found.linked:
            self._kept[name] = _Kept(place, found.files)
            return found
        if found.linked:
            self._linked.add(name)
        for watch in watched:
            self._unwatch(watch, name, queue)
        return found

    def _watch(self, folder: bytes, device: int, queue: int) -> int | None:
        """Watch a folder until its first event; return the number of the watch, None if no event will be reported."""
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
        self._remote.add(device)  # noted, since statfs() may ask a file server each time
        return False

    def _forget_changed(self, queue: int) -> None:
        """Drop the stamps of tables in whose folders something happened."""
        # An exception from a signal may end this anywhere; both are empty then, so that no stale stamp is kept.
        kept, self._kept = self._kept, {}
        tables, self._tables = self._tables, {}
        for watch in _changed(queue):
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
        # A server of NFS reaches files by their inodes: its writes are not always reported.
        if _EXPORTED.stat().st_size:
            return None
    except OSError:
        pass
    try:
        queue: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    except AttributeError:  # not Linux
        return None
    return queue if queue >= 0 else None


def _changed(queue: int) -> Iterator[int]:
    """Yield the numbers of the watches in whose folders something happened."""
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


def _is_there(folder: str, members: tuple[tuple[str, StatStamp], ...]) -> bool:
    """Return True if one of the files below a folder, no lock, has the stamp that it had."""
    name, facts = next(((name, facts) for name, facts in members if facts.inode), members[0])
    return stamp_file(f"{folder}/{name}").files == (("", facts),)
