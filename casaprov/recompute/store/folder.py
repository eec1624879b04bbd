"""Folder of a store: its places, permissions and lock.

::

    format              version of the layout
    lock                held shared by writers, alone by what removes
    objects/ab/cdef…    bytes of files, named by their sha256; read-only
    results/ab/cdef…    manifests, named by the key of the call; their time is that of the last use
    aliases/ab/cdef…    further keys of calls; each file holds the key that the manifest is named by
    pins/abcdef…        keys of the calls that are never dropped
    part/…              files of writers at work, one folder each, and beside it a file that its writer has locked

Files are as open to others as the folder itself is: a store of one user is closed to others, a folder that a group may
write is a store of the group.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from casaprov.errors import StoreError
from casaprov.files.regular import scan
from casaprov.hashing import Digest

__all__ = ["PartFolder", "StoreFolder", "default_folder"]

_FORMAT = "casaprov/store/1\n"
_OWN_MODE = 0o700
_KEY = re.compile("sha256:[0-9a-f]{64}")


def default_folder(folder: Path) -> Path:
    """Return the store of a folder with notebooks, beside their journals."""
    return folder / ".casaprov" / "store"


@dataclass(frozen=True)
class PartFolder:
    """Folder of one writer at work, and the descriptor of its lock file."""

    path: Path
    lock: int

    def remove(self) -> None:
        """Remove the folder and everything below it."""
        # The lock file is there before the folder and after it: a folder without one is left over.
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            _lock_of(self.path).unlink()
        with suppress(OSError):
            os.close(self.lock)


class StoreFolder:
    """Places in a store; nothing is made before it is needed.

    Parameters
    ----------
    path
        The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._text = str(self.path)

    def object(self, digest: Digest) -> Path:
        """Return the place of an object."""
        return self._place("objects", digest)

    def object_text(self, digest: Digest) -> str:
        """Return the place of an object as text: a product has hundreds, and paths are slow to make."""
        return self._place_text("objects", digest)

    def result(self, key: Digest) -> Path:
        """Return the place of the manifest of a call."""
        return self._place("results", key)

    def alias(self, key: Digest) -> Path:
        """Return the place of a further key of a call."""
        return self._place("aliases", key)

    def key_of(self, alias: Digest) -> Digest:
        """Return the key that a further key of a call stands for; raise FileNotFoundError if there is none."""
        key = self.alias(alias).read_text(encoding="utf-8", errors="replace")
        if not _KEY.fullmatch(key):
            raise StoreError(f"{self.alias(alias)} holds no key.")
        return Digest(key)

    def pin(self, key: Digest) -> Path:
        """Return the place of the pin of a call."""
        return self.path / "pins" / key.removeprefix("sha256:")

    def objects(self) -> Iterator[os.DirEntry[str]]:
        """List all objects."""
        return self._listed("objects")

    def results(self) -> Iterator[os.DirEntry[str]]:
        """List all manifests."""
        return self._listed("results")

    def aliases(self) -> Iterator[os.DirEntry[str]]:
        """List all further keys of calls."""
        return self._listed("aliases")

    def pins(self) -> frozenset[Digest]:
        """Return the keys of all pins."""
        try:
            return frozenset(Digest(f"sha256:{place.name}") for place in (self.path / "pins").iterdir())
        except OSError:
            return frozenset()

    def check_format(self) -> bool:
        """Return False if there is no store yet; raise :class:`StoreError` if another version wrote it."""
        try:
            found = (self.path / "format").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(f"The store {self.path} cannot be read: {error.strerror}.") from error
        if found != _FORMAT:
            raise StoreError(
                f"The store {self.path} has the format {found.strip()[:60]!r}, which this version of casaprov does not know.",
                hint="Choose another folder with CASAPROV_STORE.",
            )
        return True

    def create(self) -> None:
        """Make the store, unless it is there.

        Raises
        ------
        StoreError
            If it is there, and another version of casaprov wrote it.
        OSError
            If it cannot be made.
        """
        if self.check_format():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.path.mkdir(mode=_OWN_MODE)
        for name in ("objects", "results", "aliases", "pins", "part"):
            self.folder(self.path / name)
        # The name appears when the content is complete. Two writers write the same.
        part = self.path / f"format.{secrets.token_hex(8)}"
        part.write_text(_FORMAT, encoding="utf-8")
        part.chmod(self._mode(0o644))
        part.replace(self.path / "format")

    def folder(self, path: Path) -> None:
        """Make a folder of the store, as open as the store is."""
        try:
            path.mkdir()
        except FileExistsError:
            return
        path.chmod(stat.S_IMODE(self.path.stat().st_mode))

    def part_folder(self) -> PartFolder:
        """Make a folder for one writer; it is removed by others once this process is gone."""
        self.create()
        path = self.path / "part" / secrets.token_hex(8)
        lock = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.folder(path)
        except BaseException:
            os.close(lock)
            raise
        return PartFolder(path, lock)

    def remove_dead_parts(self) -> None:
        """Remove the folders of writers that are gone."""
        with suppress(OSError):
            for name in {Path(entry.name).stem for entry in scan(self.path / "part")}:
                _remove_if_dead(self.path / "part" / name)

    @contextmanager
    def locked(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the lock of the store: many writers at a time, or one remover alone.

        Race: an object that is about to be named by a manifest must not be removed before the manifest is there.
        """
        self.create()
        mode = self._mode(0o666)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        try:
            with suppress(OSError):  # made by another user, or already so; the umask takes bits away
                if stat.S_IMODE(os.fstat(lock).st_mode) != mode:
                    os.fchmod(lock, mode)
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(lock)

    def object_mode(self) -> int:
        """Return the permissions of objects, which are read-only."""
        return self._mode(0o444)

    def result_mode(self) -> int:
        """Return the permissions of manifests, whose time is set at each use."""
        return self._mode(0o666)

    def _mode(self, wanted: int) -> int:
        mode = stat.S_IMODE(self.path.stat().st_mode)
        return wanted & (0o700 | (mode & 0o070) | (mode & 0o007))

    def _place(self, kind: str, digest: Digest) -> Path:
        return Path(self._place_text(kind, digest))

    def _place_text(self, kind: str, digest: Digest) -> str:
        name = digest.removeprefix("sha256:")
        return f"{self._text}/{kind}/{name[:2]}/{name[2:]}"

    def _listed(self, kind: str) -> Iterator[os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self.path / kind) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
                    with os.scandir(folder.path) as entries:
                        yield from entries


def _lock_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.lock")


def _remove_if_dead(part: Path) -> None:
    with suppress(OSError):
        try:
            lock = os.open(_lock_of(part), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            shutil.rmtree(part, ignore_errors=True)
            return
        try:
            # Fails while the writer lives. One that has made the file and not yet locked it goes on in a folder that the
            # next look takes for one that is left over: it keeps nothing then.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(part, ignore_errors=True)
            _lock_of(part).unlink()
        finally:
            os.close(lock)
