"""Inputs of a replay: found by their locators in order, by name, or by size, and verified before they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import DigestError, InputMissing
from casaprov.files.kinds import is_table
from casaprov.files.stamps import stamp
from casaprov.hashing import Digest
from casaprov.records.model import Document, Entity

__all__ = ["InputFinder", "NotFollowed", "Resolver", "find_foreign", "find_inputs"]

Resolver = Callable[[str], Path | None]
"""Turns the value of a locator into the absolute path of a file or table; None if it is not there.

It raises :class:`NotFollowed` if the locator of a stranger may not be followed.
"""

_FILES = ("FITS", "File")
_TABLES = ("MeasurementSet", "CalibrationTable", "Image", "Table")

# Bytes by which a copy with the same content may differ: desktops leave files in folders, links to folders count with
# another size, and programs add to the history of FITS files.
_SLACK_BYTES = {"Directory": 2**20, "FITS": 2**20}

# Tables of the same content differ in size by less than this: by tiles, flags and padding.
_MOST_TIMES = 4
_MOST_MORE_BYTES = 64 * 2**20

_MOST_REFUSED = 5  # candidates that a message names


class NotFollowed(ValueError):
    """A locator is not followed; the text says why, after the words ``file:/path``."""


class InputFinder:
    """Finds files by locator and accepts only the recorded content.

    The locators of a stranger's crate lead anywhere: a candidate that cannot
    be the input by its kind or size is not read, and a message tells neither size
    nor digest of what was found.

    Parameters
    ----------
    resolvers
        Resolvers of locators, by scheme.
    folders
        Folders to search by name, then by size and digest (``--data``).
    measure
        Measures a candidate.
    shipped
        Returns the path of an Entity's files in the crate, or None.
    """

    def __init__(
        self,
        *,
        resolvers: Mapping[str, Resolver],
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
        """Return the absolute path of a file or table with the content of `entity`.

        Raises
        ------
        InputMissing
            If there is none; the message names the places and what was there instead.
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
        tried = [*refused[:_MOST_REFUSED]]
        tried += [f"and {len(refused) - _MOST_REFUSED} more"] if len(refused) > _MOST_REFUSED else []
        searched = "name" if entity.kind == "Directory" else "name or content"
        tried += [f"nothing else of this {searched} is below {folder}" for folder in self._folders]
        right = f"the right {name}" + (", under this or another name," if entity.kind != "Directory" else "")
        return InputMissing(
            f"The input {name} ({entity.kind}, {_short(entity.content_digest)}, {entity.size_bytes} bytes)"
            f" cannot be found: {'; '.join(tried) or 'no file of this name was found'}."
            + (f" The record says: {entity.note}" if entity.note else ""),
            hint=f"Give the folder that holds {right} with --data FOLDER.",
        )

    def _named(self, entity: Entity, refused: list[str]) -> Iterator[Path]:
        """Yield the candidates of the crate, the locators and the name; add locators that lead nowhere to `refused`."""
        inside = self._shipped(entity)
        if inside is not None:
            yield inside.absolute()
        for locator in entity.locators:
            if resolve := self._resolvers.get(locator.scheme):
                try:
                    path = resolve(locator.value)
                except NotFollowed as reason:
                    refused.append(f"{locator.scheme}:{locator.value} {reason}")
                    continue
                if path is not None and os.path.exists(path):  # noqa: PTH110 - Path's raises where one may not look
                    yield path.absolute()
                else:
                    refused.append(f"{locator.scheme}:{locator.value} is not there")
        name = Path(entity.path).name
        for folder in self._folders:
            yield from (path for path in self._below(folder) if path.name == name)

    def _of_its_size(self, entity: Entity) -> Iterator[Path]:
        """Yield candidates that may have been renamed: files and tables of the same size in the given folders."""
        fits: Callable[[Path], bool] | None = (
            os.path.isfile if entity.kind in _FILES else is_table if entity.kind in _TABLES else None
        )
        if fits is None:
            return
        for folder in self._folders:
            yield from (p for p in self._below(folder) if fits(p) and self._size(p) == entity.size_bytes)

    def _problem(self, path: Path, entity: Entity) -> str:
        """Say why a candidate is not the input, empty if it is; its content is read only if kind and size fit."""
        if problem := self._unfit(path, entity):
            return problem
        try:
            found = self._measure(path, tier=entity.tier).content_digest
        except DigestError as error:
            return f"is unreadable ({error.message.rstrip('.')})"
        return "" if found == entity.content_digest else "has other content"

    def _unfit(self, path: Path, entity: Entity) -> str:
        """Say why a candidate cannot be the input by its kind or size; empty if it can."""
        is_folder, is_file = os.path.isdir(path), os.path.isfile(path)  # noqa: PTH112, PTH113 - Path's raise
        if entity.kind in _TABLES:
            if not is_table(path):
                return "is no table"
            # A table that was written anew may have another size and the same content.
            differs = self._size(path) > _MOST_TIMES * entity.size_bytes + _MOST_MORE_BYTES
            return "is too large" if differs else ""
        if entity.kind == "Directory" and not is_folder:
            return "is no folder"
        if entity.kind != "Directory" and not is_file:
            return "is a folder" if is_folder else "is no file"
        differs = abs(self._size(path) - entity.size_bytes) > _SLACK_BYTES.get(entity.kind, 0)
        return "has other content" if differs else ""

    def _below(self, folder: Path) -> list[Path]:
        if folder not in self._listings:
            self._listings[folder] = sorted(folder.absolute().rglob("*"))
        return self._listings[folder]

    def _size(self, path: Path) -> int:
        if path not in self._sizes:
            self._sizes[path] = stamp(path).size_bytes
        return self._sizes[path]


def find_inputs(inputs: Iterable[Entity], document: Document, finder: InputFinder) -> dict[str, Path]:
    """Find every input; return their paths by Entity id.

    Raises
    ------
    InputMissing
        If one is not found; the message says so if a call of the Document changed it in place.
    """
    calls = {activity.id: activity for activity in document.activities}
    changed = {e.revision_of: calls[e.generated_by] for e in document.entities if e.generated_by in calls}
    found: dict[str, Path] = {}
    for entity in inputs:
        try:
            found[entity.id] = finder.find(entity)
        except InputMissing as error:
            if entity.id not in changed:
                raise
            call = changed[entity.id]
            number = document.call_numbers[call.id]
            raise InputMissing(
                f"{error.message} Call {number} ({call.task}) of the notebook itself changed it in place.",
                hint="Give a folder that holds the original, or what it was copied from, with --data FOLDER.",
            ) from error
    return found


def find_foreign(states: Iterable[Entity], finder: InputFinder) -> dict[str, Path]:
    """Find the files of those states that no task made and that are in the crate or the given folders, by Entity id."""
    found: dict[str, Path] = {}
    for entity in states:
        if entity.content_digest is not None:
            with suppress(InputMissing):
                found[entity.id] = finder.find(entity)
    return found


def _short(digest: Digest | None) -> str:
    return digest[:19] + "…" if digest else "not recorded"
