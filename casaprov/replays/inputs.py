"""Finding the inputs of a replay: locators in order, and every candidate verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import DigestError, InputMissing
from casaprov.files.kinds import is_table
from casaprov.files.stamps import stamp
from casaprov.hashing import Digest
from casaprov.records.model import Entity

__all__ = ["InputFinder"]

_FILES = ("FITS", "File")
_TABLES = ("MeasurementSet", "CalibrationTable", "Image", "Table")

# What a copy with the same content may have more or less: desktops leave files in folders, of links to folders the size is
# another, and programs add to the history of FITS files.
_SLACK_BYTES = {"Directory": 2**20, "FITS": 2**20}

# More than tables of the same content differ by: tiles, and what flags and padding take.
_MOST_TIMES = 4
_MOST_MORE_BYTES = 64 * 2**20

_MOST_TOLD = 5


class InputFinder:
    """Finds files by locator and accepts only the recorded content.

    A crate may come from anybody, and its locators lead anywhere: what cannot
    be the input by its kind or size is not read.

    Parameters
    ----------
    resolvers
        By locator scheme, what turns a locator's value into a path, or None.
    folders
        Folders to search by name, then by size and digest (``--data``).
    measure
        Measures a candidate.
    shipped
        Path inside the crate of an Entity's files, or None.
    """

    def __init__(
        self,
        *,
        resolvers: Mapping[str, Callable[[str], Path | None]],
        folders: Sequence[Path],
        measure: Measure[Measurement],
        shipped: Callable[[Entity], Path | None],
    ) -> None:
        self._resolvers = resolvers
        self._folders = folders
        self._measure = measure
        self._shipped = shipped
        self._listings: dict[Path, list[Path]] = {}
        self._sizes: dict[Path, int] = {}

    def find(self, entity: Entity) -> Path:
        """Return the absolute path of what holds the content of `entity`.

        Raises
        ------
        InputMissing
            If there is none; says where it was looked for and what was there instead.
        """
        refused: list[str] = []
        seen: set[Path] = set()
        for candidate in self._named(entity, refused):
            if candidate not in seen:
                seen.add(candidate)
                if not (problem := self._problem(candidate, entity)):
                    return candidate
                refused.append(f"{candidate} {problem}")
        for candidate in self._of_its_size(entity):
            if candidate not in seen and not self._problem(candidate, entity):
                return candidate
        raise self._missing(entity, refused)

    def _missing(self, entity: Entity, refused: Sequence[str]) -> InputMissing:
        name = Path(entity.path).name
        tried = [*refused[:_MOST_TOLD]]
        tried += [f"and {len(refused) - _MOST_TOLD} more"] if len(refused) > _MOST_TOLD else []
        anyhow = "" if entity.kind == "Directory" else " or content"
        tried += [f"nothing else of this name{anyhow} is below {folder}" for folder in self._folders]
        right = f"the right {name}" + (", under this or another name," if anyhow else "")
        return InputMissing(
            f"The input {name} ({entity.kind}, {_short(entity.content_digest)}, {entity.size_bytes} bytes)"
            f" cannot be found: {'; '.join(tried) or 'no file of this name was found'}."
            + (f" The record says: {entity.note}" if entity.note else ""),
            hint=f"Give the folder that holds {right} with --data FOLDER.",
        )

    def _named(self, entity: Entity, refused: list[str]) -> Iterator[Path]:
        """Yield where the crate, its locators and the name lead to; say in `refused` what leads nowhere."""
        inside = self._shipped(entity)
        if inside is not None:
            yield inside.absolute()
        for locator in entity.locators:
            if resolve := self._resolvers.get(locator.scheme):
                path = resolve(locator.value)
                if path is not None and os.path.exists(path):  # noqa: PTH110 - Path's raises where one may not look
                    yield path.absolute()
                else:
                    refused.append(f"{locator.scheme}:{locator.value} is not there")
        name = Path(entity.path).name
        for folder in self._folders:
            yield from (path for path in self._below(folder) if path.name == name)

    def _of_its_size(self, entity: Entity) -> Iterator[Path]:
        """Yield what may have been renamed: files and tables of the same size in the given folders."""
        fits: Callable[[Path], bool] | None = (
            os.path.isfile if entity.kind in _FILES else is_table if entity.kind in _TABLES else None
        )
        if fits is None:
            return
        for folder in self._folders:
            yield from (p for p in self._below(folder) if fits(p) and self._size(p) == entity.size_bytes)

    def _problem(self, path: Path, entity: Entity) -> str:
        """Say why something is not the input; it is read only if its kind and size do not say so."""
        if problem := self._unfit(path, entity):
            return problem
        try:
            found = self._measure(path, tier=entity.tier).content_digest
        except DigestError as error:
            return f"is unreadable{self._other_size(path, entity)} ({error.message.rstrip('.')})"
        if found != entity.content_digest:
            return f"has other content ({_short(found)}{self._other_size(path, entity)})"
        return ""

    def _unfit(self, path: Path, entity: Entity) -> str:
        is_folder, is_file = os.path.isdir(path), os.path.isfile(path)  # noqa: PTH112, PTH113 - Path's raise
        if entity.kind in _TABLES:
            if not is_table(path):
                return "is no table"
            # One that was written anew may have another size and the same content.
            differs = self._size(path) > _MOST_TIMES * entity.size_bytes + _MOST_MORE_BYTES
            return f"is too large{self._other_size(path, entity)}" if differs else ""
        if entity.kind == "Directory" and not is_folder:
            return "is no folder"
        if entity.kind != "Directory" and not is_file:
            return "is a folder" if is_folder else "is no file"
        differs = abs(self._size(path) - entity.size_bytes) > _SLACK_BYTES.get(entity.kind, 0)
        return f"has other content{self._other_size(path, entity)}" if differs else ""

    def _other_size(self, path: Path, entity: Entity) -> str:
        size = self._size(path)
        return "" if size == entity.size_bytes else f", {size} bytes and not {entity.size_bytes}"

    def _below(self, folder: Path) -> list[Path]:
        if folder not in self._listings:
            self._listings[folder] = sorted(folder.absolute().rglob("*"))
        return self._listings[folder]

    def _size(self, path: Path) -> int:
        if path not in self._sizes:
            self._sizes[path] = stamp(path).size_bytes
        return self._sizes[path]


def _short(digest: Digest | None) -> str:
    return digest[:19] + "…" if digest else "not recorded"
