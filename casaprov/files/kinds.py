"""Kinds of paths, recognised by names and first bytes: a casacore table, a FITS file, a folder of members."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from casaprov.files.regular import open_regular

__all__ = ["is_fits", "is_table", "members_of"]

_NO_CONTENT = (".DS_Store", "._*", "table.lock")


def is_table(path: Path | os.DirEntry[str]) -> bool:
    """Return True if `path` is a casacore table: a folder with a ``table.dat``."""
    return os.path.isfile(os.path.join(path, "table.dat"))  # noqa: PTH113, PTH118 - for each folder, twice in each call


def is_fits(path: Path) -> bool:
    """Return True if a file begins as FITS files do."""
    with open_regular(path) as stream:
        return stream.read(9) == b"SIMPLE  ="


def members_of(folder: Path) -> Iterator[Path]:
    """Yield the files, tables and links below a folder that belong to its content, sorted by name in each folder."""
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in _NO_CONTENT):
            continue
        # A link to a folder could lead back here: it is a member by itself.
        if path.is_dir() and not path.is_symlink() and not is_table(path):
            yield from members_of(path)
        else:
            yield path
