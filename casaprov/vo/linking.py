"""Links of inputs to archives: looked up, for a notebook's record."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import PurePosixPath

import requests

from casaprov.errors import UsageError, VoError
from casaprov.journal.links import Link
from casaprov.lineage.graph import Lineage
from casaprov.lineage.observed import observed_inputs
from casaprov.records.model import ArchiveQuery, Document, Entity, Identifier
from casaprov.records.wording import now
from casaprov.vo.archives import Archive, archives_for, fact_of
from casaprov.vo.datalink import linked_files
from casaprov.vo.matching import File, identifiers_of
from casaprov.vo.tap import Row, ask

__all__ = ["look_up", "look_up_inputs", "stated"]

_DOI_PREFIX = re.compile(r"^(doi:|https?://(dx\.)?doi\.org/)", re.IGNORECASE)
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_BIBCODE = re.compile(r"\d{4}[A-Za-z&][\w.&]{13}[A-Z:.]")
_COLUMN = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_MOST_LISTS = 20  # rows of one answer whose files are asked for


def look_up_inputs(
    document: Document, session: requests.Session, service: str | None = None
) -> tuple[tuple[Entity, Link], ...]:
    """Ask archives for all inputs with observations; see :func:`look_up`."""
    inputs = [entity for entity in observed_inputs(document) if entity.content_digest]
    return tuple((entity, look_up(entity, session, service)) for entity in inputs)


def stated(document: Document, path: str, text: str, service: str | None = None) -> tuple[Entity, Link]:
    """Return the link of an input to an identifier that a user states.

    Parameters
    ----------
    path
        The input, as the record or the user names it.
    text
        ``ivo://…``, a DOI, a bibcode, an address, or ``NAME=VALUE`` with the archive's name for an identifier.
    service
        TAP service that knows it.

    Raises
    ------
    UsageError
        If the record has no such input, or this is no identifier.
    """
    lineage = Lineage(document)
    external = {entity.id for entity in lineage.inputs()}
    entity = next((state for state in lineage.states(path) if state.id in external), None)
    if entity is None or entity.content_digest is None:
        raise UsageError(
            f"{path} is no input of this notebook, or was not digested.", hint="Link what it started from."
        )
    scheme, value = _scheme(text.strip())
    identifier = Identifier(
        scheme=scheme, value=value, confidence="stated", time=now(), service=service or "", matched_by="the user"
    )
    return entity, Link(content_digest=entity.content_digest, identifiers=(identifier,))


def _scheme(text: str) -> tuple[str, str]:
    """Return the scheme and the value of an identifier."""
    bare = _DOI_PREFIX.sub("", text)
    name, equals, value = text.partition("=")
    if text.startswith("ivo://") and len(text) > len("ivo://"):
        return "ivoid", text
    if _DOI.fullmatch(bare):
        return "doi", bare
    if _BIBCODE.fullmatch(text):
        return "bibcode", text
    if text.startswith(("https://", "http://")):
        return "url", text
    if equals and _COLUMN.fullmatch(name) and value.strip():
        return name, value.strip()
    hint = "Give ivo://…, a DOI, a bibcode, an address, or NAME=VALUE: asdm_uid=uid://A002/Xca5b1c/X5707."
    raise UsageError(f"{text!r} is no identifier that casaprov knows.", hint=hint)


def look_up(entity: Entity, session: requests.Session, service: str | None = None) -> Link:
    """Ask the archives of its telescopes for an input.

    Parameters
    ----------
    service
        TAP service to ask instead.

    Returns
    -------
    Link
        With a lookup for each question, also where nothing was found. No archive may know its telescope.

    Raises
    ------
    VoError
        If an archive does not answer.
    """
    assert entity.content_digest is not None
    identifiers: list[Identifier] = []
    archive_queries: list[ArchiveQuery] = []
    for archive, value in _questions(entity, service):
        observation = next(row for row in entity.observations if fact_of(archive, entity, row) == value)
        time = now()
        answer = ask(archive, value, observation, session)
        found = identifiers_of(
            entity, archive, [(row, _files(row, n, session)) for n, row in enumerate(answer.rows)], time
        )
        identifiers += found
        archive_queries.append(
            ArchiveQuery(
                service=archive.service,
                table=archive.table,
                query=answer.query,
                value=value,
                time=time,
                rows=len(answer.rows),
                matched=len({i.value for i in found}),
            )
        )
    return Link(
        content_digest=entity.content_digest, identifiers=tuple(identifiers), archive_queries=tuple(archive_queries)
    )


def _questions(entity: Entity, service: str | None) -> Iterable[tuple[Archive, str]]:
    """Yield each archive to ask, with the value, once: several targets share a project."""
    questions = (
        (archive, fact_of(archive, entity, row))
        for row in entity.observations
        for archive in archives_for(row, service)
    )
    return dict.fromkeys((archive, value) for archive, value in questions if value)


def _files(row: Row, number: int, session: requests.Session) -> list[File]:
    """Return the files of a row: that of its own address, or those that DataLink lists."""
    url, form = str(row.get("access_url") or ""), str(row.get("access_format") or "")
    if "datalink" not in form:
        name = str(row.get("filename") or PurePosixPath(url).name)
        return [(name, None)]
    if number >= _MOST_LISTS or not url:
        return []
    with suppress(VoError):  # without the list it can still be likely
        return [(file.name, file.size_bytes) for file in linked_files(url, session) if file.semantics == "#this"]
    return []
