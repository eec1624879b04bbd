"""Finding the inputs of a replay: locators in order, and every candidate verified."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from casaprov.checksum import Measure, Measurement
from casaprov.digest import Digest
from casaprov.errors import DigestError, InputMissing
from casaprov.model import Entity, Tier

__all__ = ["InputFinder"]

_log = logging.getLogger(__name__)


class InputFinder:
    """Finds files by locator and accepts only the recorded content.

    Parameters
    ----------
    resolvers
        By locator scheme, what turns a locator's value into a path, or None.
    folders
        Folders to search by name, then by digest (``--data``).
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

    def find(self, entity: Entity) -> Path:
        """Return a path that holds the content of `entity`.

        Raises
        ------
        InputMissing
            If there is none; says where it was looked for and what was there instead.
        """
        refused: list[str] = []
        seen: set[Path] = set()
        for candidate in self._candidates(entity):
            if candidate in seen or not candidate.exists():
                continue
            seen.add(candidate)
            found = self._content(candidate, entity.tier)
            if found == entity.content_digest:
                return candidate
            if candidate.name == Path(entity.path).name:
                refused.append(f"{candidate} has other content ({_short(found)})")
        name = Path(entity.path).name
        tried = "; ".join(refused) or "no file of this name was found"
        raise InputMissing(
            f"The input {name} ({_short(entity.content_digest)}, {entity.size_bytes} bytes) cannot be found: {tried}."
            + (f" The record says: {entity.note}" if entity.note else ""),
            hint=f"Give the folder that holds the right {name} with --data FOLDER.",
        )

    def _candidates(self, entity: Entity) -> Iterator[Path]:
        inside = self._shipped(entity)
        if inside is not None:
            yield inside
        for locator in entity.locators:
            resolve = self._resolvers.get(locator.scheme)
            path = resolve(locator.value) if resolve else None
            if path is not None:
                yield path
        name = Path(entity.path).name
        for folder in self._folders:
            yield from sorted(folder.rglob(name))
        if entity.kind in ("FITS", "File"):
            for folder in self._folders:  # renamed: same size, any name
                yield from (
                    p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size == entity.size_bytes
                )

    def _content(self, path: Path, tier: Tier) -> Digest | None:
        try:
            return self._measure(path, tier=tier).content_digest
        except DigestError as error:
            _log.info("%s", error)
            return None


def _short(digest: Digest | None) -> str:
    return digest[:19] + "…" if digest else "unreadable"
