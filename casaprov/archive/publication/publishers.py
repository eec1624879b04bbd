"""The places where an archive publishes, in the order in which they are prepared."""

from __future__ import annotations

from casaprov.archive.publishing import Publication
from casaprov.archive.settings import Settings

__all__ = ["publishers"]


def publishers(settings: Settings) -> tuple[Publication, ...]:
    """Return the places that the settings turn on."""
    del settings
    return ()
