"""Disk that the files of a folder take, and files that were removed and that a process still holds."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from casaprov.confinement.group_use import process_state

__all__ = ["BLOCK_BYTES", "DiskUse", "disk_use", "stored_bytes", "used_of_file_system"]

BLOCK_BYTES = 512
"""Unit of ``st_blocks``; see stat(2)."""

_LEAST_BYTES = 4096  # of a file or folder: what a file system keeps about an empty one has a limit, too
_MOST_PROCESSES = 200
_MAPPED = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ (\S+) (\d+) +(/.*) \(deleted\)$", re.MULTILINE)
_NO_FILES = ("/dev/zero", "/SYSV", "/memfd:")  # memory that has the name of a file


@dataclass
class DiskUse:
    """The disk that is taken at one moment.

    Attributes
    ----------
    total, largest
        Bytes of all files and folders, and of the largest file.
    hidden
        A folder or process whose files cannot be looked at; empty if there is none.
    """

    total: int = 0
    largest: int = 0
    hidden: str = ""

    def add(self, size: int) -> None:
        """Count a file."""
        self.total += max(size, _LEAST_BYTES)
        self.largest = max(self.largest, size)


def disk_use(folder: Path, pids: tuple[int, ...]) -> DiskUse:
    """Return the bytes of the files below a folder, links not followed, and of removed files that these processes hold."""
    use = DiskUse()
    waiting = [str(folder)]
    while waiting:
        path = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # it was removed meanwhile
                        use.add(entry.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
        except OSError as error:
            # A call can make folders that nobody may list, or whose path is too long for the system.
            if error.errno in (errno.EACCES, errno.ENAMETOOLONG):
                use.hidden = path
    for size in _removed_files(pids[:_MOST_PROCESSES], use):
        use.add(size)
    return use


def stored_bytes(folder: Path) -> int:
    """Return the bytes that the files below a folder take on the disk, links not followed; holes take nothing."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(above, name)).st_blocks * BLOCK_BYTES  # noqa: PTH118 - many files
    return total


def used_of_file_system(folder: Path) -> int:
    """Return the bytes that are taken of a folder's file system, by anybody; each file counts as in :func:`disk_use`."""
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize + (found.f_files - found.f_ffree) * _LEAST_BYTES


def _removed_files(pids: tuple[int, ...], use: DiskUse) -> Iterator[int]:
    seen: set[tuple[int, int]] = set()
    for pid in pids:
        try:
            found = list(_open_files(pid))
            mapped = _MAPPED.findall(Path(f"/proc/{pid}/maps").read_text(errors="replace"))
        except PermissionError:
            # A process can forbid others to look at it. One that has ended forbids it as well.
            if process_state(pid) not in ("", "Z", "X"):
                use.hidden = f"/proc/{pid}"
            continue
        except OSError:  # it ended
            continue
        for file in found:
            if stat.S_ISREG(file.st_mode) and not file.st_nlink and (file.st_dev, file.st_ino) not in seen:
                seen.add((file.st_dev, file.st_ino))
                yield file.st_blocks * BLOCK_BYTES
        for begin, end, device, inode, path in mapped:
            key = (os.makedev(*(int(part, 16) for part in device.split(":"))), int(inode))
            if key not in seen and not path.startswith(_NO_FILES):
                seen.add(key)
                yield int(end, 16) - int(begin, 16)


def _open_files(pid: int) -> Iterator[os.stat_result]:
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):  # it was closed
                yield entry.stat()
