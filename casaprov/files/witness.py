"""Reports of changes in folders, by this process or by others (fanotify(7)).

Since Linux 5.13 an ordinary user may ask for events of files in folders that are marked. An event names the folder, the
file, and the process: its number is that of this process for changes by any of its threads, and 0 for others, children
included (the superuser sees their numbers). What is written through shared memory is not reported.
"""

from __future__ import annotations

import ctypes
import os
import struct
import weakref
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["FolderEvent", "Witness"]

# From linux/fanotify.h.
_INIT = 0x1 | 0x2 | 0x400 | 0x800  # CLOEXEC, NONBLOCK, REPORT_DIR_FID, REPORT_NAME
_ADD = 0x1 | 0x4 | 0x8  # MARK_ADD, MARK_DONT_FOLLOW, MARK_ONLYDIR
_APPEARED = 0x80 | 0x100  # MOVED_TO, CREATE
_VANISHED = 0x40 | 0x200  # MOVED_FROM, DELETE
_IS_FOLDER, _ON_CHILD, _OVERFLOW = 0x40000000, 0x08000000, 0x4000
_EVENTS = 0x2 | _APPEARED | _VANISHED | _IS_FOLDER | _ON_CHILD  # with MODIFY
_HEAD = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH8xIi")  # kind, padding, length; the file system; length and kind of the handle of the folder
_FOLDER_AND_NAME = 2
_HANDLE_BYTES = 128
_HERE = -100  # AT_FDCWD
_HANDLE_FLAGS = (0, 0x200)  # AT_HANDLE_FID, for file systems whose files cannot be opened by a handle

_libc: Any = ctypes.CDLL(None, use_errno=True)

Handle = tuple[int, bytes]
"""Identifier of a folder in events."""


class FolderEvent(NamedTuple):
    """A change of a file or folder in a marked folder.

    Attributes
    ----------
    by_this
        True if a thread of this process made it.
    is_folder
        True if what changed is a folder.
    appeared, vanished
        True if the name came into the folder or left it; both, if several events were put together.
    """

    folder: Handle
    name: str
    by_this: bool
    is_folder: bool
    appeared: bool
    vanished: bool


class _FileHandle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * _HANDLE_BYTES)]  # type: ignore[mutable-override]


class Witness:
    """A queue of the events of marked folders.

    Raises
    ------
    OSError
        If the system gives none.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        try:
            self._queue: int = _libc.fanotify_init(_INIT, os.O_RDONLY)
        except AttributeError as error:  # not Linux
            raise OSError("This system has no fanotify.") from error
        if self._queue < 0:
            raise _last_error()
        self.close = weakref.finalize(self, os.close, self._queue)

    def mark(self, folder: Path | str) -> Handle:
        """Have the changes in a folder reported from now on; return its name in events.

        Raises
        ------
        OSError
            If they cannot be reported.
        """
        path = os.fsencode(folder)
        if _libc.fanotify_mark(self._queue, _ADD, ctypes.c_uint64(_EVENTS), _HERE, path) != 0:
            raise _last_error()
        handle, mount = _FileHandle(), ctypes.c_int()
        for flags in _HANDLE_FLAGS:
            handle.size = _HANDLE_BYTES
            if _libc.name_to_handle_at(_HERE, path, ctypes.byref(handle), ctypes.byref(mount), flags) == 0:
                return handle.kind, bytes(handle.data[: handle.size])
        raise _last_error()

    def read(self) -> list[FolderEvent] | None:
        """Return the events since the last time; None if some were lost."""
        found: list[FolderEvent] = []
        whole = True
        while True:
            try:
                data = os.read(self._queue, 1 << 16)
            except BlockingIOError:
                return found if whole else None
            except OSError:
                return None
            place = 0
            while place < len(data):
                length, _version, _, head, mask, _, process = _HEAD.unpack_from(data, place)
                whole = whole and not mask & _OVERFLOW
                by_this = process == self._process
                if not mask & _OVERFLOW and (named := _named(data[place + head : place + length])):
                    is_folder, appeared, vanished = (bool(mask & part) for part in (_IS_FOLDER, _APPEARED, _VANISHED))
                    found.append(FolderEvent(*named, by_this, is_folder, appeared, vanished))
                place += length


def _named(records: bytes) -> tuple[Handle, str] | None:
    """Return the folder and the name of an event; None if it is about the folder itself."""
    place = 0
    while place + _INFO.size <= len(records):
        kind, _, length, size, type_ = _INFO.unpack_from(records, place)
        if kind == _FOLDER_AND_NAME:
            start = place + _INFO.size
            name = records[start + size : place + length].partition(b"\0")[0]
            handle = records[start : start + size]
            return None if name in (b"", b".") else ((type_, handle), os.fsdecode(name))
        place += max(length, 1)
    return None


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
