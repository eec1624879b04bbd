"""Stamps of tables, from memory of those in which nobody has written since the last time.

A working folder may hold a hundred tables of a hundred and fifty files each, and
a call looks at all of them before and after. Linux tells of writes (inotify(7)),
so that only those are looked at again in which somebody wrote.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from casaprov.own_work import OwnLock
from casaprov.regular_files import scan
from casaprov.stamps import Stamps, StatStamp, stamp, stamp_file, stamp_folder

__all__ = ["MAX_FOLDERS", "Watches"]

MAX_FOLDERS = 2048
"""Folders that are watched, a table has about fifteen: a quarter of what Linux before 5.11 lets all programs of a user watch."""

# File systems that only this machine's kernel writes to: ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS, bcachefs, as
# statfs(2) numbers them. What another machine writes on a file server is told to nobody.
_LOCAL = frozenset((0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0x2FC12FC1, 0xF2F52010, 0xCA451A4E))
_STATFS_BYTES = 256  # more than the structure has; the number of the file system comes first

# From linux/inotify.h: what happens to files in a folder (MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE), and only
# the first of it (ONESHOT), for a task writes a million times.
_FIRST_CHANGE = 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x80000000
_EVENT = struct.Struct("iIII")
_ALL = -1  # the watch that is named where events were lost

_libc: Any = ctypes.CDLL(None, use_errno=True)


class Watches:
    """Takes stamps as :mod:`casaprov.stamps` does; safe for threads.

    Where nobody tells of changes (another system than Linux, a file server, no watch left), and in tables with links,
    all files are looked at each time. Of two changes nobody tells anywhere. Hard links that are made of a whole table
    (``cp -al``) give its files other times: one file of each table is looked at all the same. What is written through
    shared memory (``table.tsm.option: mmap`` in ``.casarc``) shows when casacore writes the table's description after it.

    Parameters
    ----------
    most
        Folders that are watched, at most.
    """

    def __init__(self, *, most: int = MAX_FOLDERS) -> None:
        self._most = most
        self._lock = OwnLock()
        self._kept: dict[str, tuple[tuple[str, StatStamp], ...]] = {}
        self._tables: dict[int, set[str]] = {}  # tables that a watched folder belongs to, by the number of the watch
        self._elsewhere: set[int] = set()  # devices of other file systems than local ones
        self._queue = _new_queue()
        if self._queue is not None:
            weakref.finalize(self, os.close, self._queue)

    def stamp(self, path: Path | str) -> Stamps:
        """Stamp a file, or all files below a directory except ``table.lock``."""
        if self._queue is None:
            return stamp(Path(path))
        name = os.fspath(path)
        now_ns = time.time_ns()
        with self._lock:
            self._forget_changed(self._queue)
            files = self._kept.get(name)
            if files is None or not _is_there(name, files[0]):
                return self._looked_at(name, self._queue)
            return Stamps(files, now_ns, linked=False)

    def _looked_at(self, name: str, queue: int) -> Stamps:
        self._kept.pop(name, None)
        if not os.path.isdir(name):  # noqa: PTH112 - Path's raises
            return stamp_file(name)
        told = True

        def watch_and_list(folder: Path | str) -> list[os.DirEntry[str]]:
            nonlocal told
            try:
                # Watched first, so that what happens from now on is told of.
                told = told and self._watch(os.fsencode(folder), name, queue)
                return scan(folder)
            except OSError:
                told = False
                return []

        found = stamp_folder(name, watch_and_list)
        if found and told and not found.linked:
            self._kept[name] = found.files
        return found

    def _watch(self, folder: bytes, table: str, queue: int) -> bool:
        """Watch a folder until something happens in it; tell whether that will be told of."""
        if not self._is_local(folder):
            return False
        watch = _libc.inotify_add_watch(queue, folder, _FIRST_CHANGE)
        if watch < 0:
            return False
        if len(self._tables) >= self._most and watch not in self._tables:
            _libc.inotify_rm_watch(queue, watch)
            return False
        self._tables.setdefault(watch, set()).add(table)
        return True

    def _is_local(self, folder: bytes) -> bool:
        device = os.stat(folder).st_dev  # noqa: PTH116 - for each folder of a table
        if device in self._elsewhere:  # a file server would be asked each time
            return False
        about = ctypes.create_string_buffer(_STATFS_BYTES)
        if _libc.statfs(folder, about) != 0:
            return False
        if ctypes.c_long.from_buffer(about).value in _LOCAL:
            return True
        self._elsewhere.add(device)
        return False

    def _forget_changed(self, queue: int) -> None:
        kept, self._kept = self._kept, {}  # whatever interrupts this, nothing is kept then
        for watch in _told(queue):
            if watch == _ALL:
                kept.clear()
            for table in self._tables.pop(watch, ()):
                kept.pop(table, None)
        self._kept = kept


def _new_queue() -> int | None:
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
        place = 0
        while place < len(events):
            watch, _what, _with, name_bytes = _EVENT.unpack_from(events, place)
            place += _EVENT.size + name_bytes
            yield watch


def _is_there(folder: str, member: tuple[str, StatStamp]) -> bool:
    """Tell whether a file below a folder has the stamp that it had."""
    name, facts = member
    return stamp_file(f"{folder}/{name}").files == (("", facts),)
