"""The files of deposits, kept for ever in an OCFL storage root (https://ocfl.io/1.1/spec/).

One OCFL object for each deposit, named by its DID. ocfl-py writes content before inventories and both in place: killed
in between, an object is invalid for ever. Here an object is built beside the root and renamed into it as a whole; a
later version is built in the same way, its folder is renamed into the object, and then the root inventory is replaced.
Killed in between, the newest version's own inventory is the truth, and :meth:`Storage.repair` copies it to the root.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ocfl

from casaprov.errors import CasaprovError

__all__ = ["Storage", "StorageError", "fsync_folder"]

_INVENTORY = "inventory.json"
_ALGORITHM = "sha256"
_SIDECAR = f"{_INVENTORY}.{_ALGORITHM}"
_LAYOUT = "0003-hash-and-id-n-tuple-storage-layout"

_log = logging.getLogger(__name__)


class StorageError(CasaprovError):
    """A file cannot be kept, or a kept one is not as it was."""


class Storage:
    """The OCFL storage root in a folder; `scratch` is on the same file system."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        with self._locked("root"):
            if not root.exists():
                self._initialise()
        self._store = ocfl.StorageRoot(root=str(root))
        self._store.open_root_fs()
        self._store.check_root_structure()

    def _initialise(self) -> None:
        """Make the storage root beside its place, and rename it there."""
        beside = Path(tempfile.mkdtemp(prefix="root-", dir=self._scratch)) / "ocfl"
        ocfl.StorageRoot(root=str(beside), layout_name=_LAYOUT).initialize(spec_version="1.1")
        _fsync_tree(beside)
        beside.rename(self.root)
        fsync_folder(self.root.parent)
        beside.parent.rmdir()

    def has(self, did: str) -> bool:
        """Return True if something is kept under an identifier."""
        return self._object(did).is_dir()

    def keep(self, did: str, files: Mapping[str, Path | bytes], message: str) -> None:
        """Keep files under an identifier: as its first version, or as a next one beside those of the version before.

        It does nothing if the newest version holds these files already, so that it can be repeated after a crash.
        """
        with self._locked(did):
            place = self._object(did)
            if place.is_dir():
                self._mend(place)
            with tempfile.TemporaryDirectory(prefix="keep-", dir=self._scratch) as folder:
                if not place.is_dir():
                    self._keep_first(place, did, files, message, Path(folder))
                elif not self._holds(place, files):
                    self._keep_next(place, files, message, Path(folder))

    def _keep_first(self, place: Path, did: str, files: Mapping[str, Path | bytes], message: str, folder: Path) -> None:
        _fill(folder / "source", files)
        ocfl.Object(identifier=did, digest_algorithm=_ALGORITHM, spec_version="1.1").create(
            srcdir=str(folder / "source"), metadata=_metadata(message), objdir=str(folder / "object")
        )
        _fsync_tree(folder / "object")
        place.parent.mkdir(parents=True, exist_ok=True)
        (folder / "object").rename(place)
        for above in (place.parent, *place.parent.parents):
            fsync_folder(above)
            if above == self.root:
                break

    def _keep_next(self, place: Path, files: Mapping[str, Path | bytes], message: str, folder: Path) -> None:
        _fill(folder / "source", files)
        new = ocfl.Object().start_new_version(
            objdir=str(place), srcdir=str(folder / "source"), metadata=_metadata(message), carry_content_forward=True
        )
        for name in files:
            if name in _state(new.inventory.data, new.inventory.head):
                new.delete(name)
            new.add(name, name)
        head = new.inventory.head
        beside = ocfl.Object(path=str(folder / "object"), create=True, digest_algorithm=_ALGORITHM)
        (folder / "object" / head).mkdir()
        for source, target in new.files_to_copy.items():
            path = folder / "object" / target
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "source" / source, path)
        beside.write_inventory_and_sidecar(new.inventory, head)
        _fsync_tree(folder / "object" / head)
        (folder / "object" / head).rename(place / head)
        fsync_folder(place)
        _copy_inventory(place / head, place)

    def path(self, did: str, name: str) -> Path:
        """Return the path of a kept file, read-only.

        Raises
        ------
        StorageError
            If there is none.
        """
        place = self._object(did)
        try:
            inventory = _inventory(place)
            state = _state(inventory, inventory["head"])
            return place / str(inventory["manifest"][state[name]][0])
        except (OSError, ValueError, KeyError) as error:
            raise StorageError(f"No file {name} is kept for {did}.") from error

    def names(self, did: str) -> tuple[str, ...]:
        """Return the names of the files that are kept under an identifier."""
        if not self.has(did):
            return ()
        inventory = _inventory(self._object(did))
        return tuple(sorted(_state(inventory, inventory["head"])))

    def repair(self) -> list[str]:
        """Mend every object that a kill left half written, and empty the scratch folder; return their names.

        Nothing may be writing meanwhile: it is for the start of the archive.
        """
        for left in self._scratch.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
        for above, _, _ in os.walk(self.root, topdown=False):  # folders made for an object that never came
            with suppress(OSError):
                Path(above).rmdir()
        mended = [str(place.name) for place in self._objects() if self._mend(place)]
        for name in mended:
            _log.warning("The OCFL object %s was mended: a version had been added, but not to its inventory.", name)
        return mended

    def validate(self) -> list[str]:
        """Return the errors that ocfl-py finds in the whole storage root, with every digest."""
        store = ocfl.StorageRoot(root=str(self.root))
        valid = store.validate(log_errors=False)
        errors = [str(message) for _, message in store.errors]
        return errors if valid and store.num_objects == store.good_objects else [*errors, "The root is not valid."]

    def _object(self, did: str) -> Path:
        return self.root / str(self._store.object_path(did))

    def _objects(self) -> Iterator[Path]:
        yield from (path.parent for path in sorted(self.root.rglob("0=ocfl_object_*")))

    @staticmethod
    def _holds(place: Path, files: Mapping[str, Path | bytes]) -> bool:
        inventory = _inventory(place)
        state = _state(inventory, inventory["head"])
        return all(state.get(name) == _digest(source) for name, source in files.items())

    @staticmethod
    def _mend(place: Path) -> bool:
        """Copy the newest version's inventory to the root of an object, if it is another one there."""
        versions = sorted((p for p in place.glob("v*") if p.name[1:].isdigit()), key=lambda p: int(p.name[1:]))
        newest = versions[-1]
        if all(_same(newest / name, place / name) for name in (_INVENTORY, _SIDECAR)):
            return False
        _copy_inventory(newest, place)
        return True

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Let one process at a time write an object."""
        path = self._scratch / f"{hashlib.sha256(name.encode()).hexdigest()[:2]}.lock"
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _metadata(message: str) -> ocfl.VersionMetadata:
    return ocfl.VersionMetadata(message=message, name="casaprov archive", address="https://ocfl.io/1.1/spec/#version")


def _fill(folder: Path, files: Mapping[str, Path | bytes]) -> None:
    """Put the files of a version into a folder; those on the same file system are linked, which copies nothing."""
    folder.mkdir(parents=True)
    for name, source in files.items():
        if isinstance(source, bytes):
            (folder / name).write_bytes(source)
            continue
        try:
            os.link(source, folder / name)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
            shutil.copyfile(source, folder / name)


def _inventory(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / _INVENTORY).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def _state(inventory: Mapping[str, Any], version: str) -> dict[str, str]:
    """Return the digest of each file of a version, by its name."""
    state = inventory["versions"][version]["state"]
    return {name: digest for digest, names in state.items() for name in names}


def _digest(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, _ALGORITHM).hexdigest()


def _same(first: Path, second: Path) -> bool:
    try:
        return first.read_bytes() == second.read_bytes()
    except FileNotFoundError:
        return False


def _copy_inventory(version: Path, root: Path) -> None:
    """Replace the inventory of an object by that of a version; each of the two files at once, the sidecar last."""
    for name in (_INVENTORY, _SIDECAR):
        beside = root / f"{name}.new"
        shutil.copyfile(version / name, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.rename(root / name)
    fsync_folder(root)


def fsync_folder(folder: Path) -> None:
    """Write the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_tree(folder: Path) -> None:
    for above, _, names in os.walk(folder):
        for name in names:
            with Path(above, name).open("rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(above))
