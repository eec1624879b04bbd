"""Copies of files: clones where the file system can make them, else copies of the bytes.

A clone shares its blocks with the original until one of the two is written, and takes no time (``ioctl_ficlone(2)``:
XFS, Btrfs, bcachefs). Hard links are never made: CASA writes in place, and would write into the other name as well.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Copier", "Stopped", "can_clone"]

_FICLONE = 0x40049409
_NO_CLONES = {errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EXDEV, errno.EINVAL}
# No copy_file_range between these two file systems, or for this kind of file.
_NO_RANGES = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}
_CHUNK_BYTES = 16 * 2**20
_START_BYTES_PER_S = 250e6  # a virtual disk with ext4; replaced by what is measured
_FILE_S = 0.0002  # opening and making one file
_MEASURED_BYTES = 64 * 2**20  # shorter copies end in memory


class Stopped(Exception):
    """A copy was stopped because other code waits for it."""


def _never() -> bool:
    return False


class Copier:
    """Copies files, and learns which file systems can clone and how fast the others copy. Safe for threads.

    Parameters
    ----------
    on_notice
        Called once, with a sentence for the user, when files have to be copied.
    """

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        self._on_notice = on_notice
        self._lock = threading.Lock()
        self._without_clones: set[tuple[int, int]] = set()
        self._with_clones: set[tuple[int, int]] = set()
        self._bytes_per_s = _START_BYTES_PER_S

    def copy(self, source: int, target: Path | str, mode: int, stop: Callable[[], bool] = _never) -> bool:
        """Make the file `target` with the bytes of an open file; return True if it is a clone.

        Parameters
        ----------
        source
            Descriptor of the original.
        stop
            Asked between pieces of a copy.

        Raises
        ------
        Stopped
            If `stop` returned True; a part of the copy is left.
        OSError
            If the copy cannot be made; a part of it may be left.
        """
        # The owner may write until the bytes are there.
        made = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            cloned = self._clone(source, made, target)
            if not cloned:
                self._copy_bytes(source, made, stop)
            os.fchmod(made, mode)
        finally:
            os.close(made)
        return cloned

    def clones(self, source_device: int, target_device: int) -> bool:
        """Return False if it is known that files of these devices cannot be cloned."""
        return (source_device, target_device) not in self._without_clones

    def clones_into(self, source: Path, folder: Path) -> bool:
        """Return True if files in a folder `source` can be cloned into another one; each file system is tried once."""
        pair = (source.stat().st_dev, folder.stat().st_dev)
        if pair in self._without_clones:
            return False
        if pair not in self._with_clones:
            if pair[0] != pair[1] or not can_clone(folder):
                self._note_copies(pair, folder)
                return False
            self._with_clones.add(pair)
        return True

    def seconds_for(self, size_bytes: int, files: int, *, cloned: bool) -> float:
        """Return how long a copy of so many files is expected to take; clones count for nothing."""
        return 0.0 if cloned else files * _FILE_S + size_bytes / self._bytes_per_s

    def _clone(self, source: int, made: int, target: Path | str) -> bool:
        pair = (os.fstat(source).st_dev, os.fstat(made).st_dev)
        if pair in self._without_clones:
            return False
        try:
            fcntl.ioctl(made, _FICLONE, source)
        except OSError as error:
            if error.errno not in _NO_CLONES:
                raise
            # EINVAL may be a matter of this one file: Btrfs does not mix files with and without checksums.
            if error.errno != errno.EINVAL:
                self._note_copies(pair, Path(target).parent)
            return False
        return True

    def _note_copies(self, pair: tuple[int, int], folder: Path) -> None:
        with self._lock:
            first = not self._without_clones
            self._without_clones.add(pair)
        if first:
            between = (
                "between the file systems of the data and the store" if pair[0] != pair[1] else "by the file system"
            )
            self._on_notice(
                f"Files cannot be cloned {between} ({folder}): results are copied, which takes time and space, "
                "and what is computed faster than copied is not kept. XFS and Btrfs clone files in no time."
            )

    def _copy_bytes(self, source: int, made: int, stop: Callable[[], bool]) -> None:
        began, size = time.monotonic(), os.fstat(source).st_size
        copied = 0
        os.lseek(source, 0, os.SEEK_SET)
        while copied < size:
            if stop():
                raise Stopped
            wrote = _copy_piece(source, made, copied, min(_CHUNK_BYTES, size - copied))
            if not wrote:  # the original became shorter: its stamp shows that
                break
            copied += wrote
        if copied >= _MEASURED_BYTES:
            with self._lock:
                self._bytes_per_s = copied / max(time.monotonic() - began, 1e-6)


def _copy_piece(source: int, made: int, start: int, length: int) -> int:
    try:
        return os.copy_file_range(source, made, length, start, start)
    except OSError as error:
        if error.errno not in _NO_RANGES:
            raise
    data = memoryview(os.pread(source, length, start))
    wrote = 0
    while wrote < len(data):
        wrote += os.pwrite(made, data[wrote:], start + wrote)
    return wrote


def can_clone(folder: Path) -> bool:
    """Try to clone a file without a name in a folder; return False if its file system cannot clone.

    Raises
    ------
    OSError
        If no file can be made there.
    """
    flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
    original = os.open(folder, flags, 0o600)
    try:
        os.write(original, b"casaprov")
        clone = os.open(folder, flags, 0o600)
        try:
            fcntl.ioctl(clone, _FICLONE, original)
        except OSError as error:
            if error.errno not in _NO_CLONES:
                raise
            return False
        finally:
            os.close(clone)
    finally:
        os.close(original)
    return True
