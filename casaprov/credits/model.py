"""Credits of a crate: the statements of its author about it as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from casaprov.credits.people import Organization, Person

__all__ = ["Credits"]


@dataclass(frozen=True, kw_only=True)
class Credits:
    """People, rights and description of a crate; an empty field is not known.

    Attributes
    ----------
    license
        SPDX identifier, or address of a licence.
    citations
        DOIs of papers and data to cite, as URLs.
    conditions_of_access
        A sentence, such as the date until which data are proprietary.
    """

    authors: tuple[Person, ...] = ()
    publisher: Organization | None = None
    license: str = ""
    description: str = ""
    keywords: tuple[str, ...] = ()
    funders: tuple[Organization, ...] = ()
    citations: tuple[str, ...] = ()
    conditions_of_access: str = ""
