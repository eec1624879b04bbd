"""The citation of a version."""

from __future__ import annotations

from casaprov.archive.deposits import Deposit
from casaprov.archive.publication.metadata.addresses import persistent_url
from casaprov.archive.publication.metadata.datacite import UNKNOWN_CREATOR, creators
from casaprov.archive.settings import Settings

__all__ = ["citation"]


def citation(settings: Settings, deposit: Deposit) -> str:
    """Return a version as a list of references names it."""
    names = [creator["name"] for creator in creators(deposit) if creator["name"] != UNKNOWN_CREATOR]
    year = f" ({deposit.published_at.year})" if deposit.published_at else ""
    title = deposit.title or deposit.filename or deposit.name
    first = f"{'; '.join(names)}{year}: {title}" if names else f"{title}{year}"
    return f"{first}. Version {deposit.version}. {settings.publisher}. {persistent_url(settings, deposit)}"
