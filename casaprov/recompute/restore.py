"""Restoring a result: every product of a call appears as the call left it, or nothing changes.

A product is refused while something has it open: CASA keeps what it read of a table, and would go on with that. The
products are built beside the files that they replace, these are looked at once more, and all are exchanged
(:mod:`casaprov.recompute.exchange`).

Files that are there already are not written again. Where the file system clones files, a product is built whole: that
writes nothing. Elsewhere only the files that differ are built and exchanged, if that saves a copy that takes time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from casaprov.errors import NotRestored
from casaprov.files.regular import digest_file
from casaprov.files.stamps import Stamps, settle
from casaprov.files.time_resolution import TimeSteps
from casaprov.hashing import Digest
from casaprov.recompute.exchange import Exchange, recover
from casaprov.recompute.store.manifest import Manifest, Member, StoredProduct
from casaprov.recompute.store.product_files import Irregular, ProductFile, file_text, list_product
from casaprov.recompute.store.results import Store

__all__ = ["Restored", "recover", "restore"]

_SAVED_BYTES = 64 * 2**20
"""Size of equal files from which a product is not copied whole."""

_SMALL_BYTES = 64 * 1024  # a file up to this size is read to see whether it is equal
_FILE_MODE = 0o777
_FOLDER_MODE = 0o3777  # not those that give a program the rights of its owner: a store may be shared


@dataclass(frozen=True)
class _Part:
    """A product, or a part of one, that is built and exchanged as one.

    Attributes
    ----------
    members
        Its folders and files; none if the call leaves nothing there.
    """

    target: Path
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Restored:
    """Products that are in place.

    Attributes
    ----------
    seconds
        Duration of the restore.
    stamps
        Stamps of each product as it was restored, by the name of the output. They would show a later write; a product
        without such stamps is left out.
    written_bytes
        Size of the files that were cloned or copied.
    """

    seconds: float
    stamps: Mapping[str, Stamps]
    written_bytes: int


def restore(
    store: Store,
    manifest: Manifest,
    targets: Mapping[str, Path],
    *,
    intents: Path,
    held: Callable[[Sequence[Path]], str] = lambda _paths: "",
    changed: Callable[[], str] = lambda: "",
) -> Restored:
    """Put the products of a result in place.

    Parameters
    ----------
    store
        The store that found the manifest.
    targets
        Path of each product, by the name of the output.
    intents
        Folder of intent records, on any file system; :func:`recover` reads them.
    held
        Returns a sentence if a process has something open at or below one of the paths.
    changed
        Returns a sentence if an input of the call changed; called right before the products are exchanged.

    Raises
    ------
    NotRestored
        If it is not possible; every file is as it was.
    HalfRestored
        If a failure left some products restored and others not.
    """
    began = time.monotonic()
    try:
        recover(intents)
        places = {product.name: _place(targets[product.name]) for product in manifest.products}
        _refuse_nested(tuple(places.values()))
        found = {name: list_product(place) for name, place in places.items()}
        _refuse(held([place for name, place in places.items() if found[name]]))
        work = [p for p in manifest.products if not _is_there(store, p, places[p.name], found[p.name])]
        written = _exchanged(store, work, places, found, intents, held=held, changed=changed)
    except Irregular as error:
        raise NotRestored(str(error)) from error
    except OSError as error:
        raise NotRestored(f"Its products cannot be written ({error.strerror or error}: {error.filename}).") from error
    stamps = _stamped(store, manifest, places)
    return Restored(time.monotonic() - began, stamps, written)


def _exchanged(
    store: Store,
    work: Sequence[StoredProduct],
    places: Mapping[str, Path],
    found: Mapping[str, tuple[ProductFile, ...]],
    intents: Path,
    *,
    held: Callable[[Sequence[Path]], str],
    changed: Callable[[], str],
) -> int:
    """Build products and exchange them; return how many bytes were written."""
    _refuse(changed())
    parts = [part for p in work for part in _parts(store, p, places[p.name], found[p.name])]
    if not parts:
        return 0
    exchange = Exchange(intents, [part.target for part in parts])
    with exchange.building():
        written = sum(
            _build(store, part.members, change.beside) for part, change in zip(parts, exchange.changes, strict=True)
        )
        # Building takes time: what has changed since the first look must not be lost.
        _refuse(held([place for name, place in places.items() if found[name]]))
        _refuse(changed())
        for product in work:
            there = list_product(places[product.name])
            if _without_new(there, exchange) != _without_new(found[product.name], exchange):
                raise NotRestored(f"{places[product.name]} changed meanwhile.")
    return written


def _without_new(files: Sequence[ProductFile], exchange: Exchange) -> list[ProductFile]:
    """Leave out the files that are being built inside of a product."""
    names = {change.beside.name for change in exchange.changes}
    return [file for file in files if names.isdisjoint(file.path.split("/"))]


def _parts(store: Store, product: StoredProduct, place: Path, found: Sequence[ProductFile]) -> Sequence[_Part]:
    """Return what of a product is built: all of it, or the files that differ from those that are there."""
    whole = _Part(place, product.members)
    if product.size_bytes < _SAVED_BYTES:
        return [whole]
    there = {file.path: file for file in found}
    wanted = {member.path: member for member in product.members}
    equal = {
        path
        for path, member in wanted.items()
        if path in there and _is_equal(member, there[path], store.known.get(file_text(place, path), there[path].stamp))
    }
    saved = sum(wanted[path].size_bytes for path in equal)
    if "" not in equal or saved < _SAVED_BYTES or store.copier.clones_into(store.folder.path, place.parent):
        return [whole]
    folders = {member.path for member in product.members if member.digest is None}
    if any(path in there and path not in equal for path in folders):  # permissions of a folder, or a file in its place
        return [whole]
    different = [path for path in (*wanted, *there) if path not in equal and _parent(path) in equal]
    return [_Part(place / path, _below(product.members, path)) for path in dict.fromkeys(different)]


def _is_equal(member: Member, file: ProductFile, known: Digest | None) -> bool:
    """Return True if a file that is there is known to be that of a product, or a folder has its permissions."""
    same = (member.mode, member.size_bytes) == (file.mode, file.size_bytes)
    return same and (file.stamp is None if member.digest is None else known == member.digest)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _below(members: Sequence[Member], path: str) -> tuple[Member, ...]:
    """Return a member and all below it, with paths relative to it."""
    found = [member for member in members if member.path == path or member.path.startswith(f"{path}/")]
    return tuple(replace(member, path=member.path[len(path) + 1 :]) for member in found)


def _build(store: Store, members: Sequence[Member], beside: Path) -> int:
    """Build a product or a part of one at a path; return the size of its files."""
    for member in members:
        path = file_text(beside, member.path)
        if member.digest is None:
            Path(path).mkdir(mode=0o700)
            continue
        source = store.open_object(member)
        try:
            store.copier.copy(source, path, member.mode & _FILE_MODE)
        finally:
            os.close(source)
        if os.lstat(path).st_size != member.size_bytes:
            raise NotRestored(f"{member.path} was not copied as a whole.")
    for member in reversed(members):  # a folder may be closed to writers: when all below it is there
        if member.digest is None:
            (beside / member.path).chmod(member.mode & _FOLDER_MODE)
    return sum(member.size_bytes for member in members)


def _is_there(store: Store, product: StoredProduct, place: Path, found: Sequence[ProductFile]) -> bool:
    """Return True if all files at a path are known to be those of a product."""
    if [(m.path, m.mode, m.size_bytes, m.digest is None) for m in product.members] != [
        (file.path, file.mode, file.size_bytes, file.stamp is None) for file in found
    ]:
        return False
    pairs = [
        (member, place / file.path, store.known.get(file_text(place, file.path), file.stamp))
        for member, file in zip(product.members, found, strict=True)
        if file.stamp is not None
    ]
    if any(known != member.digest and (known or not _is_small(member)) for member, _, known in pairs):
        return False
    return all(known or digest_file(path) == member.digest for member, path, known in pairs)


def _is_small(member: Member) -> bool:
    return member.size_bytes <= _SMALL_BYTES


def _stamped(store: Store, manifest: Manifest, places: Mapping[str, Path]) -> dict[str, Stamps]:
    """Return the stamps of the restored products, and remember the digests of their files."""
    steps = TimeSteps()
    stamps: dict[str, Stamps] = {}
    for product in manifest.products:
        place = places[product.name]
        settled = settle(place, steps.at(place))
        if settled is None:
            continue
        stamps[product.name] = settled
        digests = {member.path: member.digest for member in product.members}
        store.known.put(
            (file_text(place, path), facts, digest)
            for path, facts in settled.files
            if (digest := digests.get(path)) is not None
        )
    return stamps


def _place(target: Path) -> Path:
    place = target.resolve()  # a link stays, and leads to the new product
    if not place.parent.is_dir():
        raise NotRestored(f"There is no folder {place.parent}.")
    return place


def _refuse(reason: str) -> None:
    if reason:
        raise NotRestored(reason)


def _refuse_nested(places: Sequence[Path]) -> None:
    for place in places:
        if places.count(place) > 1 or any(place in other.parents for other in places):
            raise NotRestored(f"One of its products is inside another, {place}.")
