"""Signposting: the links of a landing page, for HTTP ``Link`` headers and as a link set (RFC 9264, FAIR Signposting)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.publication.metadata.addresses import (
    CRATE_TYPE,
    NOTEBOOK_TYPE,
    crate_url,
    file_url,
    license_url,
    page_url,
    persistent_url,
)
from casaprov.archive.publication.metadata.datacite import orcid_url
from casaprov.archive.settings import Settings

__all__ = ["Link", "back_link", "link_header", "links_of", "linkset"]

DATACITE_TYPE = "application/vnd.datacite.datacite+json"
METADATA_TYPE = "application/ld+json"
_PROFILE = "https://w3id.org/ro/crate/1.1"


@dataclass(frozen=True)
class Link:
    """One link of a page: its relation and target, with the media type and profile where they are known."""

    relation: str
    href: str
    type: str = ""
    profile: str = ""

    def header(self) -> str:
        """Return the link as a value of the header ``Link``."""
        more = [("rel", self.relation), ("type", self.type), ("profile", self.profile)]
        return f"<{self.href}>" + "".join(f'; {name}="{value}"' for name, value in more if value)


def links_of(settings: Settings, deposit: Deposit) -> tuple[Link, ...]:
    """Return the links of a landing page."""
    crate = deposit.kind is Kind.CRATE
    authors = [Link("author", url) for url in map(orcid_url, deposit.creators) if url]
    found = [
        Link("cite-as", persistent_url(settings, deposit)),
        *authors,
        Link("item", crate_url(settings, deposit), CRATE_TYPE if crate else NOTEBOOK_TYPE, _PROFILE if crate else ""),
        Link("describedby", file_url(settings, deposit, "datacite.json"), DATACITE_TYPE),
    ]
    if crate:
        metadata = file_url(settings, deposit, "ro-crate-metadata.json")
        found.append(Link("describedby", metadata, METADATA_TYPE, _PROFILE))
    if deposit.license:
        found.append(Link("license", license_url(deposit.license)))
    found += [
        Link("type", "https://schema.org/AboutPage"),
        Link("type", "https://schema.org/Dataset" if crate else "https://schema.org/SoftwareSourceCode"),
        Link("linkset", file_url(settings, deposit, "linkset.json"), "application/linkset+json"),
    ]
    return tuple(found)


def back_link(settings: Settings, deposit: Deposit, relation: str) -> Link:
    """Return the link from a file to its landing page: ``collection`` for content, ``describes`` for descriptions."""
    return Link(relation, page_url(settings, deposit), "text/html")


def link_header(links: Iterable[Link]) -> str:
    """Return the value of the header ``Link``."""
    return ", ".join(link.header() for link in links)


def linkset(settings: Settings, deposit: Deposit) -> dict[str, Any]:
    """Return all links of a landing page, and those back to it, as a link set."""
    page: dict[str, Any] = {"anchor": page_url(settings, deposit)}
    contexts = [page]
    for link in links_of(settings, deposit):
        if link.relation == "linkset":
            continue
        page.setdefault(link.relation, []).append(_target(link))
        if link.relation in ("item", "describedby"):
            relation = "collection" if link.relation == "item" else "describes"
            back = _target(back_link(settings, deposit, relation))
            contexts.append({"anchor": link.href, relation: [back]})
    return {"linkset": contexts}


def _target(link: Link) -> dict[str, Any]:
    found: dict[str, Any] = {"href": link.href}
    if link.type:
        found["type"] = link.type
    if link.profile:
        found["profile"] = link.profile  # a string, as FAIR Signposting writes it
    return found
