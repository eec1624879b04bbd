"""Links of a notebook's inputs to archives, kept beside its journals in ``links.json``.

A link belongs to a content, not to a call: it can be stated after the notebook has run, and holds wherever the same content is
used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from casaprov.errors import JournalError
from casaprov.hashing import Digest
from casaprov.journal.folder import store_text
from casaprov.records.model import ArchiveQuery, Document, Entity, Identifier, Locator
from casaprov.records.serialise import structure, unstructure

__all__ = ["LINKS_FORMAT", "Link", "Links", "read_links", "store_links", "with_links"]

LINKS_FORMAT: Final = "casaprov/links/1"
_NAME = "links.json"


@dataclass(frozen=True, kw_only=True)
class Link:
    """The identifiers of a content in archives, and the questions that were asked."""

    content_digest: Digest
    identifiers: tuple[Identifier, ...] = ()
    archive_queries: tuple[ArchiveQuery, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Links:
    """All links of a notebook."""

    links: tuple[Link, ...] = ()
    format: Literal["casaprov/links/1"] = LINKS_FORMAT


def read_links(folder: Path) -> Links:
    """Return the links in a journal folder; none if there is no such file.

    Raises
    ------
    JournalError
        If the file cannot be read.
    """
    path = folder / _NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Links()
    except (OSError, ValueError) as error:
        raise JournalError(f"The links {path} cannot be read: {error}.") from error
    try:
        return structure(json.loads(text), Links)
    except ValueError as error:
        raise JournalError(
            f"The links {path} are damaged: {error}.", hint="Remove the file, and link again."
        ) from error


def store_links(folder: Path, added: Iterable[Link]) -> None:
    """Add links to those of a journal folder; a new statement replaces an older one of the same identifier."""
    links = {link.content_digest: link for link in read_links(folder).links}
    for link in added:
        before = links.get(link.content_digest, Link(content_digest=link.content_digest))
        found = {(i.scheme, i.value, i.service): i for i in (*before.identifiers, *link.identifiers)}
        asked = {(k.service, k.table, k.query, k.value): k for k in (*before.archive_queries, *link.archive_queries)}
        links[link.content_digest] = replace(
            before, identifiers=tuple(found.values()), archive_queries=tuple(asked.values())
        )
    text = json.dumps({**unstructure(Links(links=tuple(links.values()))), "format": LINKS_FORMAT}, indent=1)
    store_text(folder / _NAME, text)


def with_links(document: Document, links: Links) -> Document:
    """Return a Document whose states have the identifiers of their contents, and locators that lead to them."""
    by_digest = {link.content_digest: link for link in links.links}
    return replace(document, entities=tuple(_linked(entity, by_digest) for entity in document.entities))


def _linked(entity: Entity, links: dict[Digest, Link]) -> Entity:
    link = links.get(entity.content_digest) if entity.content_digest else None
    if link is None:
        return entity
    led = [Locator(scheme="vo", value=i.value) for i in link.identifiers if i.scheme == "ivoid"]
    locators = dict.fromkeys((*entity.locators, *led))
    return replace(entity, identifiers=link.identifiers, archive_queries=link.archive_queries, locators=tuple(locators))
