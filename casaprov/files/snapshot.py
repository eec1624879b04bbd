"""Snapshots of a folder, before and after a call: they show the changes that no task declares."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from casaprov.files.kinds import is_table
from casaprov.files.regular import entries_of
from casaprov.files.stamps import Stamps, StatStamp, stamp_folder

__all__ = ["IGNORED", "MAX_ENTRIES", "Snapshot", "holds_python", "is_foreign", "is_ignored", "take_snapshot"]

IGNORED = (".*", "*.ipynb", "casa-*.log", "*.last", "__pycache__", "node_modules")
"""Names that a snapshot leaves out: what programs keep for themselves, notebooks, and the logs of CASA."""

MAX_ENTRIES = 20_000
"""Files after which a snapshot ends."""

_PYTHON = ("pyvenv.cfg", "conda-meta")
"""Names that a folder with a Python of its own holds: it has thousands of files, none of which a task makes."""


@dataclass(frozen=True)
class Snapshot:
    """The products in a folder at one time.

    Attributes
    ----------
    products
        Stamps by path relative to `folder`. A table is one product, and so is
        a folder of flag versions.
    complete
        False if there were more than :data:`MAX_ENTRIES` files.
    taken_ns
        Time at which it began, in nanoseconds since 1970.
    """

    folder: Path
    products: Mapping[str, Stamps]
    complete: bool = True
    taken_ns: int = 0

    def saw(self, path: Path) -> Stamps | None:
        """Return the stamps of one product; None if it is not in the snapshot."""
        return self.products.get(path.relative_to(self.folder).as_posix()) if path.is_relative_to(self.folder) else None

    def changed_since(self, earlier: Snapshot) -> tuple[Path, ...]:
        """Return the paths of products that are new or different."""
        # Where an incomplete snapshot ends depends on how many files come first in the folder: a product
        # that only one of the two holds need not be new then.
        whole = self.complete and earlier.complete
        return tuple(
            self.folder / name
            for name, found in self.products.items()
            if (whole or name in earlier.products) and earlier.products.get(name) != found
        )


def take_snapshot(
    folder: Path,
    ignore: tuple[str, ...] = IGNORED,
    *,
    logs: Container[str] = (),
    max_entries: int = MAX_ENTRIES,
    stamp_table: Callable[[str], Stamps] = stamp_folder,
) -> Snapshot:
    """Stamp all products in a folder, but none of another user, and without following links.

    Parameters
    ----------
    ignore
        Names that are left out, with wildcards.
    logs
        Paths of files that are left out.
    stamp_table
        Takes the stamps of tables and folders of flag versions.
    """
    now_ns = time.time_ns()  # before the first look: what changes later is newer than the snapshot
    products: dict[str, Stamps] = {}
    left = max_entries
    for name, found in _products(folder, "", _any_of(ignore), logs, stamp_table):
        left -= max(1, len(found.files))
        if left < 0:
            return Snapshot(folder, products, complete=False, taken_ns=now_ns)
        products[name] = found
    return Snapshot(folder, products, taken_ns=now_ns)


def _products(
    folder: Path | str,
    prefix: str,
    ignored: re.Pattern[str],
    logs: Container[str],
    stamp_table: Callable[[str], Stamps],
) -> Iterator[tuple[str, Stamps]]:
    """Yield all products below a folder with their stamps, by name."""
    for entry in sorted(entries_of(folder), key=lambda entry: entry.name):
        if ignored.match(entry.name) or entry.path in logs:
            continue
        name = prefix + entry.name
        if is_foreign(entry):
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield name, _stamp_of(entry)
        elif entry.name.endswith(".flagversions") or is_table(entry):
            yield name, stamp_table(entry.path)
        elif not holds_python(entry.path):
            yield from _products(entry.path, f"{name}/", ignored, logs, stamp_table)


def _stamp_of(entry: os.DirEntry[str]) -> Stamps:
    """Stamp a file, or a link itself."""
    now_ns = time.time_ns()
    facts = entry.stat(follow_symlinks=False)
    return Stamps((("", StatStamp.of(facts)),), now_ns, linked=False)


def is_foreign(entry: os.DirEntry[str]) -> bool:
    """Return True if a file or folder belongs to another user, or is gone."""
    try:
        return entry.stat(follow_symlinks=False).st_uid != os.geteuid()
    except OSError:
        return True


def is_ignored(name: str) -> bool:
    """Return True if a name is one that programs, notebooks and CASA keep for themselves (:data:`IGNORED`)."""
    return _any_of(IGNORED).match(name) is not None


def holds_python(folder: str) -> bool:
    """Return True if a folder holds a Python of its own."""
    return any(os.path.lexists(f"{folder}/{part}") for part in _PYTHON)


@lru_cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Compile names with wildcards to one expression."""
    return re.compile("|".join(map(translate, patterns)) or "(?!)")
