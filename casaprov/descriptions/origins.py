"""Origins of a crate: the data that it started from, and the identifiers that lead to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Entity

__all__ = ["Origin", "origins"]

_TYPES = {"doi": "DOI", "bibcode": "bibcode", "url": "URL"}
"""DataCite's type of an identifier, by the scheme of the records. It has none for identifiers of the VO."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """An input from outside.

    Attributes
    ----------
    identifiers
        Type in DataCite's words (``DOI``, ``bibcode``, ``URL``) and value of each identifier.
    others
        Identifiers that DataCite has no type for: publisher DIDs, and an archive's own.
    """

    entity: Entity
    identifiers: tuple[tuple[str, str], ...]
    others: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the file or table."""
        return PurePosixPath(self.entity.path).name or self.entity.path


def origins(document: Document) -> tuple[Origin, ...]:
    """Return the inputs of a Document that are known elsewhere, in the order of the records."""
    found = (_origin(entity) for entity in Lineage(document).inputs())
    return tuple(origin for origin in found if origin.identifiers or origin.others)


def _origin(entity: Entity) -> Origin:
    typed = [(_TYPES[known.scheme], known.value) for known in entity.identifiers if known.scheme in _TYPES]
    typed += [("URL", locator.value) for locator in entity.locators if locator.scheme == "https"]
    others = [known.value for known in entity.identifiers if known.scheme not in _TYPES]
    others += [locator.value for locator in entity.locators if locator.scheme == "vo"]
    return Origin(entity=entity, identifiers=tuple(dict.fromkeys(typed)), others=tuple(dict.fromkeys(others)))
