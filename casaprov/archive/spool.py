"""The spool: files that have arrived and are not kept yet.

A file is written under a name of its own, made durable, and then gets the name of its deposit, before the deposit's row
is written: a receipt never names a file that a power cut could take.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from casaprov.archive.storage import fsync_folder
from casaprov.errors import CasaprovError

__all__ = ["Arriving", "Spool", "SpoolFull"]

_PART = ".part"


class SpoolFull(CasaprovError):
    """The disk has no room for a file."""

    def __init__(self) -> None:
        super().__init__("The archive has no room for this file at present.", hint="Try again later.")


class Arriving:
    """A file that is arriving, with its digest."""

    def __init__(self, spool: Spool, name: str) -> None:
        self._spool = spool
        self._path = spool.folder / f"{name}{_PART}"
        self._file: BinaryIO | None = self._path.open("xb")
        self._digest = hashlib.sha256()
        self._unchecked = 0
        self.name = name
        self.size_bytes = 0
        self.head = b""

    @property
    def sha256(self) -> str:
        """Digest of the bytes so far."""
        return f"sha256:{self._digest.hexdigest()}"

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises
        ------
        SpoolFull
            If there is no room for them.
        """
        assert self._file is not None
        self._unchecked += len(data)
        if self._unchecked > 16 * 2**20:
            self._spool.check_room(0)
            self._unchecked = 0
        try:
            self._file.write(data)
        except OSError as error:
            raise full_or(error) from error
        self._digest.update(data)
        self.size_bytes += len(data)
        if len(self.head) < 512:
            self.head += bytes(data[: 512 - len(self.head)])

    def finish(self) -> Path:
        """Make the file durable under its name, and return its path."""
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise full_or(error) from error
        self._file.close()
        self._file = None
        path = self._spool.path(self.name)
        self._path.rename(path)
        fsync_folder(self._spool.folder)
        return path

    def discard(self) -> None:
        """Remove the file, finished or not."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)
        self._spool.remove(self.name)


class Spool:
    """A folder of files that have arrived; `keep_free` bytes of its disk are left to others."""

    def __init__(self, folder: Path, keep_free: int) -> None:
        self.folder = folder
        self._keep_free = keep_free
        (folder / "uploads").mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return the path of a file that has arrived."""
        return self.folder / name

    def upload_path(self, name: str) -> Path:
        """Return the path of an upload in pieces."""
        return self.folder / "uploads" / name

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self.path(name).unlink(missing_ok=True)

    def adopt(self, path: Path, name: str) -> None:
        """Give a file of the same disk a second name in the spool."""
        os.link(path, self.path(name))
        fsync_folder(self.folder)

    def check_room(self, size_bytes: int) -> None:
        """Raise SpoolFull if the disk has no room for `size_bytes` more."""
        if shutil.disk_usage(self.folder).free - size_bytes < self._keep_free:
            raise SpoolFull

    def sweep(self, wanted: Collection[str], uploads: Collection[str], *, older_s: float = 0.0) -> list[str]:
        """Remove files that no deposit and no upload needs; return their names.

        Parameters
        ----------
        older_s
            Leave files alone that came or changed in the last seconds: while the archive runs, their row may come yet.
        """
        swept = []
        for folder, names in ((self.folder, wanted), (self.folder / "uploads", uploads)):
            for path in folder.iterdir():
                if path.name not in names and _is_left(path, older_s):
                    path.unlink(missing_ok=True)
                    swept.append(path.name)
        return swept


def _is_left(path: Path, older_s: float) -> bool:
    """Return True for a file that nothing arrives in any longer."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    # The time of a change of the inode: a second name for an upload that ended long ago is new.
    return not older_s or (path.suffix != _PART and found.st_ctime < time.time() - older_s)


def full_or(error: OSError) -> Exception:
    """Return SpoolFull for a full disk or an exhausted quota of the system, else the error itself."""
    return SpoolFull() if error.errno in (errno.ENOSPC, errno.EDQUOT) else error
