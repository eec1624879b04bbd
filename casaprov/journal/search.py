"""Search for records in folders: the journal folders beside a product, and those below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from casaprov.journal.folder import journals

__all__ = ["crates_below", "journal_folders_above", "journal_folders_below"]

_JOURNALS = ".casaprov"
_MOST_FOLDERS = 20_000


def journal_folders_above(path: Path) -> Iterator[Path]:
    """Yield the journal folders beside `path` and in the folders above it, the nearest first."""
    for folder in path.absolute().parents:
        yield from _journal_folders(folder)


def journal_folders_below(folder: Path) -> Iterator[Path]:
    """Yield the journal folders in a folder and below it; links are not followed, tables not entered."""
    for place in _folders_below(folder):
        yield from _journal_folders(place)


def crates_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it that are named as crates usually are: ``*.zip``."""
    for place in _folders_below(folder):
        yield from sorted(path for path in _listed(place) if path.suffix == ".zip" and path.is_file())


def _journal_folders(folder: Path) -> Iterator[Path]:
    found = folder / _JOURNALS
    yield from (path for path in sorted(_listed(found)) if path.is_dir() and journals(path))


def _folders_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and those below it, at most 20,000, without tables and hidden ones."""
    todo = [folder]
    for _ in range(_MOST_FOLDERS):
        if not todo:
            return
        here = todo.pop()
        yield here
        inner = _listed(here)
        if not any(path.name == "table.dat" for path in inner):
            todo += sorted((p for p in inner if not p.name.startswith(".") and _is_folder(p)), reverse=True)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _listed(folder: Path) -> list[Path]:
    """List the paths in a folder; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except OSError:
        return []
