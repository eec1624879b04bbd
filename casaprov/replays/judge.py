"""The judge of a replay: compares a product with its record, and with the original where the crate ships it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from casaprov.comparison.products import Comparison, Tolerance, compare_trees
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import CrateError, DigestError
from casaprov.records.model import Document, Entity
from casaprov.untrusted.json_file import read_json

__all__ = ["Compare", "Judge", "Originals", "SameListing"]

Compare = Callable[[Path, Path, Tolerance], Comparison]
"""Compares an original with the product at a path; a product that cannot be read is not verifiable."""

SameListing = Callable[[Path, datetime, Path, datetime, Mapping[str, str]], bool]
"""Compares two texts but for folders and times (:func:`casaprov.comparison.listings.same_listing`)."""


class Originals(Protocol):
    """The crate, as far as it holds recorded products (:class:`casaprov.crate.OpenCrate`)."""

    @property
    def document(self) -> Document:
        """The records."""
        ...

    def tree(self, entity: Entity) -> Path | None:
        """Return the file with the digest tree of a state; None if the crate holds none."""
        ...

    def shipped(self, entity: Entity) -> Path | None:
        """Return the file or directory of a state; None if the crate does not hold it."""
        ...


class Judge:
    """Compares products with their records.

    Parameters
    ----------
    originals
        The records, digest trees and shipped products.
    measure, compare, same_listing
        Measure a product, and compare it with an original. A stranger's call
        may have left anything: products are read in no other way.
    work
        The work folder, where the recorded session's folder was.
    placed
        Places of the inputs now, by recorded path.
    """

    def __init__(
        self,
        originals: Originals,
        measure: Measure[Measurement],
        compare: Compare,
        same_listing: SameListing,
        work: Path,
        placed: Mapping[str, Path],
    ) -> None:
        self._originals = originals
        self._measure = measure
        self._compare = compare
        self._same_listing = same_listing
        self._calls = {activity.id: activity for activity in originals.document.activities}
        # Listings name folders: recorded ones, and those that stand in their place.
        self._moved = {path: place.as_posix() for path, place in placed.items() if Path(path).is_absolute()}
        self._moved |= {session.folder: work.as_posix() for session in originals.document.sessions}

    def compare(self, entity: Entity, path: Path, tolerance: Tolerance) -> Comparison:
        """Compare the product at `path` with the recorded state `entity`.

        An original that the crate ships is compared value by value, unless the
        digests are equal: sketches decide only where there is none.
        """
        tree = self._originals.tree(entity)
        try:
            recorded = read_json(tree) if tree is not None else None
            measured = self._measure(path, tier=entity.tier)
        except (CrateError, DigestError) as error:
            return Comparison("not-verifiable", (), error.message)
        found = compare_trees(recorded, entity.content_digest, entity.byte_digest, measured, tolerance)
        original = self._originals.shipped(entity)
        if original is None or _is_proved(found):
            return found
        if entity.kind == "File" and self._is_same_listing(entity, original, path):
            return Comparison("same-content", (), "the same text, but for folders and the time of writing")
        return self._compare(original, path, tolerance)

    def _is_same_listing(self, entity: Entity, original: Path, path: Path) -> bool:
        call = self._calls.get(entity.generated_by or "")
        if call is None:
            return False
        began = datetime.fromisoformat(call.started_at)
        return self._same_listing(original, began, path, datetime.now(UTC), self._moved)


def _is_proved(found: Comparison) -> bool:
    """Return True if digests of all bytes or all values are equal: any other verdict is left to the original."""
    return found.verdict in ("identical", "same-content") and found.tier == "full"
