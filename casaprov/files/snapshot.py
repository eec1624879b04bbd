"""What lies in a folder before and after a call: changes that no task declares are found in this way."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from casaprov.files.kinds import is_table
from casaprov.files.regular import entries_of
from casaprov.files.stamps import Stamps, stamp, stamp_file, stamp_folder

__all__ = ["IGNORED", "MAX_ENTRIES", "Snapshot", "walk"]

IGNORED = (".*", "*.ipynb", "casa-*.log", "*.last", "__pycache__", "node_modules")
"""Names that :func:`walk` does not look at: what programs keep for themselves, and what notebooks and CASA leave anyway."""

_PYTHON = ("pyvenv.cfg", "conda-meta")  # what a folder with a Python of its own holds

MAX_ENTRIES = 20_000
"""Files that :func:`walk` looks at before it stops."""


@dataclass(frozen=True)
class Snapshot:
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

    def saw(self, path: Path) -> Stamps | None:
        """Stamps of one product, None if the walk did not see it."""
        return self.products.get(path.relative_to(self.folder).as_posix()) if path.is_relative_to(self.folder) else None

    def at(self, path: Path) -> Stamps:
        """Stamps of one product: those of the walk, if it saw it."""
        return self.saw(path) or stamp(path)

    def changed_since(self, earlier: Snapshot) -> tuple[Path, ...]:
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
    stamp_table: Callable[[str], Stamps] = stamp_folder,
) -> Snapshot:
    """Stamp everything in a folder; links to other folders are not followed.

    Parameters
    ----------
    stamp_table
        Takes the stamps of tables and folders of flag versions.
    """
    now_ns = time.time_ns()
    products: dict[str, Stamps] = {}
    left = max_entries
    for name, found in _products(folder, "", _any_of(ignore), stamp_table):
        left -= max(1, len(found.files))
        if left < 0:
            return Snapshot(folder, products, complete=False, taken_ns=now_ns)
        products[name] = found
    return Snapshot(folder, products, taken_ns=now_ns)


def _products(
    folder: Path | str, prefix: str, ignored: re.Pattern[str], stamp_table: Callable[[str], Stamps]
) -> Iterator[tuple[str, Stamps]]:
    """Yield all products in a folder with their stamps, by name."""
    for entry in sorted(entries_of(folder), key=lambda entry: entry.name):
        if ignored.match(entry.name):
            continue
        name = prefix + entry.name
        if not entry.is_dir(follow_symlinks=False):
            yield name, stamp(Path(entry.path)) if entry.is_symlink() else stamp_file(entry.path)
        elif entry.name.endswith(".flagversions") or is_table(entry):
            yield name, stamp_table(entry.path)
        elif not any(os.path.lexists(f"{entry.path}/{part}") for part in _PYTHON):
            yield from _products(entry.path, f"{name}/", ignored, stamp_table)


@lru_cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Compile names with wildcards to one expression."""
    return re.compile("|".join(map(translate, patterns)) or "(?!)")
