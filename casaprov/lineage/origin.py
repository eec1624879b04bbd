"""The origin of a product at hand: the recorded state that has its content, and the calls which that state came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from casaprov.errors import UsageError
from casaprov.hashing import Digest
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Entity, Tier

__all__ = ["Origin", "Record", "find_origins"]


@dataclass(frozen=True)
class Record:
    """A Document and the place where it is kept: a journal folder or a crate."""

    document: Document
    place: Path


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A recorded state with the content of a product.

    Attributes
    ----------
    record
        The record that names the state.
    state
        The last such state of that record, at best one of the same name.
    document
        The part of the record with the calls that the state came from; none if it was an input.
    """

    record: Record
    state: Entity
    document: Document


def find_origins(
    product: Path, records: Iterable[Record], digest: Callable[[Tier], Digest | None]
) -> tuple[Origin, ...]:
    """Find a product in records by its content, wherever it lies and whatever its name is now.

    Parameters
    ----------
    digest
        Returns the content digest of the product, of all of it or of samples.

    Returns
    -------
    tuple of Origin
        One for each record that knows the content: first those in which a
        call left it, the one with the fewest calls before the others.

    Raises
    ------
    UsageError
        If no record knows the content.
    """
    records = tuple(records)
    tiers: tuple[Tier, ...] = ("full", "fast")
    known = {entity.tier for record in records for entity in record.document.entities if entity.content_digest}
    digests = {tier: digest(tier) for tier in tiers if tier in known}
    found = [origin for record in records if (origin := _origin(product, record, digests)) is not None]
    if not found:
        raise _unknown(product, records)
    return tuple(sorted(found, key=lambda origin: (not origin.document.activities, len(origin.document.activities))))


def _origin(product: Path, record: Record, digests: dict[Tier, Digest | None]) -> Origin | None:
    alike = [e for e in record.document.entities if e.content_digest and digests.get(e.tier) == e.content_digest]
    if not alike:
        return None
    lineage = Lineage(record.document)
    state = max(
        enumerate(alike), key=lambda place: (_is_left(place[1], lineage), _is_named(place[1], product), place[0])
    )[1]
    return Origin(record=record, state=state, document=lineage.part(lineage.upstream([state])))


def _is_left(state: Entity, lineage: Lineage) -> bool:
    """Return True if a call left this state, or the one that it was copied from."""
    return lineage.maker(state) is not None


def _is_named(state: Entity, product: Path) -> bool:
    return Path(state.path).name == product.name


def _unknown(product: Path, records: tuple[Record, ...]) -> UsageError:
    if not records:
        hint = "Name the folder or the crate to search: --in FOLDER."
        return UsageError(f"There is no record beside {product}, nor in a folder above it.", hint=hint)
    named = sorted({str(record.place) for record in records for e in record.document.entities if _is_named(e, product)})
    places = ", ".join(sorted({str(record.place) for record in records}))
    if named:
        hint = "It was changed since, or is another file of that name. Name further places to search: --in FOLDER."
        return UsageError(f"{', '.join(named)}: a {product.name} is recorded there, with another content.", hint=hint)
    hint = "Name further places to search: --in FOLDER."
    return UsageError(f"No record names the content of {product}. Searched: {places}.", hint=hint)
