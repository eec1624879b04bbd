"""What lies in a folder before and after a call: changes that no task declares are found in this way."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from casaprov.regular_files import entries_of, scan
from casaprov.stamps import ListFolder, Stamps, StatStamp, is_settled, stamp, stamp_file, stamp_folder
from casaprov.tables import is_table
from casaprov.time_steps import tells_new_names

__all__ = ["IGNORED", "MAX_ENTRIES", "Listings", "Walk", "walk"]

IGNORED = (".*", "*.ipynb", "casa-*.log", "*.last", "__pycache__", "node_modules")
"""Names that :func:`walk` does not look at: what programs keep for themselves, and what notebooks and CASA leave anyway."""

_PYTHON = ("pyvenv.cfg", "conda-meta")  # what a folder with a Python of its own holds

MAX_ENTRIES = 20_000
"""Files that :func:`walk` looks at before it stops."""

_NO_DEVICE = -1


@dataclass(frozen=True)
class Walk:
    """What lay in a folder at one time.

    Attributes
    ----------
    products
        Stamps by path relative to `folder`. A table is one product, and so is
        a folder of flag versions.
    complete
        False if there was more than :data:`MAX_ENTRIES` files.
    taken_ns
        When it began, in nanoseconds since 1970.
    """

    folder: Path
    products: Mapping[str, Stamps]
    complete: bool = True
    taken_ns: int = 0

    @property
    def problems(self) -> tuple[str, ...]:
        """What the walk could not do, as sentences."""
        if self.complete:
            return ()
        problem = (
            f"{self.folder} holds more than {MAX_ENTRIES} files: changes that no task declares were looked for "
            "among the first of them only."
        )
        return (problem,)

    def paths(self) -> tuple[Path, ...]:
        """Paths of all products, by name."""
        return tuple(self.folder / name for name in self.products)

    def at(self, path: Path) -> Stamps:
        """Stamps of one product: those of the walk, if it saw it."""
        below = path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else ""
        return self.products.get(below) or stamp(path)

    def changed_since(self, earlier: Walk) -> tuple[Path, ...]:
        """Paths of products that are new or different."""
        # Where a walk stopped depends on how many files came before: a product that
        # only one of two walks saw need not be new then.
        whole = self.complete and earlier.complete
        return tuple(
            self.folder / name
            for name, found in self.products.items()
            if (whole or name in earlier.products) and earlier.products.get(name) != found
        )


def walk(
    folder: Path,
    ignore: tuple[str, ...] = IGNORED,
    *,
    max_entries: int = MAX_ENTRIES,
    list_folder: ListFolder = entries_of,
) -> Walk:
    """Stamp everything in a folder; links to other folders are not followed.

    Parameters
    ----------
    list_folder
        Tells what is in a folder, in no order.
    """
    now_ns = time.time_ns()
    products: dict[str, Stamps] = {}
    left = max_entries
    for name, found in _products(folder, "", _any_of(ignore), list_folder):
        left -= max(1, len(found.files))
        if left < 0:
            return Walk(folder, products, complete=False, taken_ns=now_ns)
        products[name] = found
    return Walk(folder, products, taken_ns=now_ns)


def _products(
    folder: Path | str, prefix: str, ignored: re.Pattern[str], list_folder: ListFolder
) -> Iterator[tuple[str, Stamps]]:
    """Yield all products in a folder with their stamps, by name."""
    for entry in sorted(list_folder(folder), key=lambda entry: entry.name):
        if ignored.match(entry.name):
            continue
        name = prefix + entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield name, stamp(Path(entry.path)) if entry.is_symlink() else stamp_file(entry.path)
        elif entry.name.endswith(".flagversions") or is_table(entry):
            yield name, stamp_folder(entry.path, list_folder)
        elif not any(os.path.lexists(f"{entry.path}/{part}") for part in _PYTHON):
            yield from _products(entry.path, f"{name}/", ignored, list_folder)


@lru_cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Compile names with wildcards to one expression."""
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


class _Listing(NamedTuple):
    """What is kept of a folder: its device and its own stamp when it was listed."""

    facts: tuple[int, StatStamp]
    entries: tuple[os.DirEntry[str], ...]


class Listings:
    """Lists folders, those that have not changed since the last time from memory.

    The times of a folder tell that a name came or went, on file systems that keep them as POSIX
    demands. Where that is not known, folders are listed each time. Safe for threads.

    Parameters
    ----------
    scratch
        A folder to find that out in, once it is there; what holds for it holds for its file system.
    most
        Names that are kept, at most; beyond, all are forgotten.
    """

    def __init__(self, scratch: Path, *, most: int = MAX_ENTRIES) -> None:
        self._scratch = scratch
        self._most = most
        self._device: int | None = None
        self._kept: dict[str, _Listing] = {}
        self._names = 0

    def __call__(self, folder: Path | str) -> Sequence[os.DirEntry[str]]:
        """Entries of a folder, in no order; none if it vanished or may not be read."""
        path = os.fspath(folder)
        try:
            facts = _facts(path)
            kept = self._kept.get(path)
            if kept is not None and kept.facts == facts:
                return kept.entries
            now_ns = time.time_ns()
            listing = _Listing(facts, tuple(scan(path)))
        except OSError:
            return ()
        if self._may_keep(path, listing, now_ns):
            self._keep(path, listing)
        return listing.entries

    def _may_keep(self, path: str, listing: _Listing, began_ns: int) -> bool:
        device, own = listing.facts
        # A folder that changed a moment ago may get another name without its times moving.
        if device != self._trusted_device() or not is_settled(Stamps((("", own),), began_ns)):
            return False
        with suppress(OSError):
            return _facts(path) == listing.facts  # else something else was there meanwhile
        return False

    def _keep(self, path: str, listing: _Listing) -> None:
        names = 1 + len(listing.entries)
        if names > self._most:
            return
        if self._names + names > self._most:
            self._kept.clear()
            self._names = 0
        self._kept[path] = listing
        self._names += names

    def _trusted_device(self) -> int | None:
        """Device of the file system whose folders tell of new names; None as long as nothing is known."""
        if self._device is None:
            try:
                device = os.stat(self._scratch).st_dev  # noqa: PTH116 - as above
            except OSError:
                return None
            self._device = device if tells_new_names(self._scratch) else _NO_DEVICE
        return self._device


def _facts(path: str) -> tuple[int, StatStamp]:
    found = os.stat(path)  # noqa: PTH116 - for each folder, twice in each call
    return found.st_dev, StatStamp.of(found)
