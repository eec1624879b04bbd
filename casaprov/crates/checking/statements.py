"""The statements of ``ro-crate-metadata.json``: a derived part, held to the records, and an open part of others.

Derived is every entity that follows from the records, with its type and each of its properties. Open are the
properties ``OPEN`` of root, notebook and licence, and new entities, as long as they say nothing about what a call read
or made. The reference page of the crate lists what is open.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from casaprov.crates.checking.files import claimed_files
from casaprov.crates.checking.wording import at, short
from casaprov.crates.graph import crate_graph
from casaprov.crates.layout import METADATA, OWN_FOLDERS, README, Manifest
from casaprov.crates.nodes import Node, iri
from casaprov.errors import Issue, Note
from casaprov.records.model import Document
from casaprov.terms import WORKFLOW_RUN_CONTEXT, Conformance

__all__ = ["OPEN", "frame_findings", "statement_findings"]

OPEN: Final = frozenset({
    "author", "citation", "conditionsOfAccess", "contributor", "creator", "datePublished", "description", "funder",
    "identifier", "isBasedOn", "isPartOf", "keywords", "license", "name", "publisher", "sdPublisher", "subjectOf",
    "version",
})  # fmt: skip
"""Properties of root, notebook, licence and credits that others may add, change and remove."""

_CREDITS: Final = ("author", "citation", "funder", "publisher")
"""Properties of the root that refer to credits: people, organizations and works."""

_EXTENDED: Final = frozenset({"conformsTo", "hasPart", "mentions"})
"""Properties of the root that others may add references to."""

_DERIVED: Final = frozenset({
    "actionStatus", "additionalType", "agent", "alternateName", "connection", "conformsTo", "containerImage", "contentSize",
    "encodingFormat", "endTime", "environment", "error", "exampleOfWork", "hasPart", "input", "instrument",
    "mainEntity", "mainEntityOfPage", "mentions", "object", "output", "participant", "position",
    "programmingLanguage", "propertyID", "resourceUsage", "result", "sameAs", "sha256", "softwareVersion",
    "sourceParameter", "startTime", "step", "targetParameter", "value", "workExample",
})  # fmt: skip
"""Properties by which casaprov says what ran; others may not add them to an entity of the records."""

_CLAIMS: Final = frozenset({
    "sameAs", "result", "workExample", "exampleOfWork", "isVariantOf", "sourceParameter", "supersededBy", "targetParameter",
})  # fmt: skip
"""Properties of a new entity by which a file or call of the crate would become another."""

_LOCAL: Final = (
    "call", "connection", "container", "content", "control", "engine", "entity", "environment", "input", "output", "path", "run", "session", "step",
    "tool", "usage", "value",
)  # fmt: skip
"""Beginnings of the local identifiers that only the records give."""

_SCHEMA_ORG: Final = ("http://schema.org/", "https://schema.org/")
_PEOPLE: Final = frozenset({"Person", "Organization"})
_SHOWN = 5  # entities that a note names


def frame_findings(metadata: Any, conformance: Conformance) -> Iterator[Issue]:
    """Yield an issue for each part of ``ro-crate-metadata.json`` that changes the meaning of its statements."""
    if not isinstance(metadata, dict):
        return  # it describes nothing, which is reported elsewhere
    context = metadata.get("@context")
    terms = context if isinstance(context, list) else [context]
    # An unknown context may change any meaning.
    known = (conformance.context, *conformance.more_contexts)
    if conformance.context not in terms or any(term not in known for term in terms):
        expected = [conformance.context, WORKFLOW_RUN_CONTEXT]
        yield Issue(METADATA, "Its @context is not that of a casaprov crate.", short(context), short(expected))
    elif WORKFLOW_RUN_CONTEXT not in terms:
        message = (
            f"Its @context lacks {WORKFLOW_RUN_CONTEXT}, which RO-Crate libraries drop: 'casaprov annotate --repair'"
        )
        yield Note(METADATA, f"{message} writes it again.")
    for key in sorted(metadata.keys() - {"@context", "@graph"}):
        yield Issue(METADATA, f"Its member {key} does not belong to a description.")
    graph = metadata.get("@graph")
    for number, node in enumerate(graph if isinstance(graph, list) else ()):
        if not isinstance(node, dict):
            yield Issue(METADATA, f"Member {number} of its @graph describes nothing.", short(node), "an object")


def statement_findings(metadata: Any, document: Document, manifest: Manifest) -> Iterator[Issue]:
    """Yield an issue for each statement that the records contradict, or that is missing; a note for those of others."""
    inside = {file.path for file in manifest.files}
    files = [file for path, file in claimed_files(metadata, document, manifest).items() if path not in inside]
    if manifest.notebook not in {file.path for file in files}:
        yield Issue(METADATA, f"It does not describe the notebook {manifest.notebook}.")
        return
    derived = {node["@id"]: node for node in crate_graph(document, manifest, files)}
    stated: dict[str, Node] = {}
    for node in _nodes(metadata):
        identifier = str(node.get("@id"))
        if identifier in stated:
            yield Issue(at(identifier), "It is described twice.")
        stated[identifier] = node
    subjects = _subjects(manifest, derived)
    for identifier, node in derived.items():
        if identifier in stated:
            yield from _entity_findings(node, stated[identifier], derived, subjects)
        elif identifier in subjects["licence"] | subjects["credit"]:
            yield Note(at(identifier), "It was removed by others.")
        else:
            yield Issue(at(identifier), "The records say that it belongs here; it is missing.")
    yield from _addition_findings([node for key, node in stated.items() if key not in derived], derived)


def _subjects(manifest: Manifest, derived: Mapping[str, Node]) -> dict[str, set[str]]:
    """Return the identifiers of the entities that others may say something about."""
    license_ = derived["./"].get("license")
    licence = {license_["@id"]} if isinstance(license_, dict) else set()
    notebook = {iri(manifest.notebook)}
    return {
        "root": {"./"},
        "notebook": notebook,
        "licence": licence,
        "credit": _credits(derived),
        "descriptor": {METADATA},
    }


def _credits(derived: Mapping[str, Node]) -> set[str]:
    """Return the identifiers of people, organizations and works that only the root names; no call refers to them."""
    named = {_reference(one) for key in _CREDITS for one in _members(derived["./"].get(key)).values()}
    named |= {_reference(derived[one]["affiliation"]) for one in named if "affiliation" in derived.get(one, {})}
    agents = [node["agent"] for node in derived.values() if "agent" in node]
    return named - {_reference(one) for agent in agents for one in _members(agent).values()} - {""}


def _entity_findings(
    node: Node, other: Node, derived: Mapping[str, Node], subjects: Mapping[str, set[str]]
) -> Iterator[Issue]:
    """Yield the findings about an entity that follows from the records."""
    identifier = node["@id"]
    subject = next((kind for kind, known in subjects.items() if identifier in known), "")
    if not subject and isinstance(node["@type"], str) and node["@type"] in _PEOPLE:
        subject = "person"
    by_others = []
    for key in sorted(node.keys() | other.keys()):
        if _unordered(node.get(key)) == _unordered(other.get(key)):
            continue
        if _is_open(subject, key, node, other, derived):
            by_others.append(key)
        else:
            yield Issue(
                at(identifier), f"Its {key} is not what the records say.", short(other.get(key)), short(node.get(key))
            )
    if by_others:
        yield Note(at(identifier), f"Stated by others: {', '.join(by_others)}.")


def _is_open(subject: str, key: str, node: Node, other: Node, derived: Mapping[str, Node]) -> bool:
    """Return True if others may state this property as they did."""
    if not subject or key.startswith("@") or _nested(other.get(key)):
        return False
    name = next((key.removeprefix(base) for base in _SCHEMA_ORG if key.startswith(base)), key)
    if subject in ("root", "notebook", "licence", "credit") and name in OPEN:
        return True
    if subject in ("root", "descriptor") and key in _EXTENDED:
        there, here = _members(node.get(key)), _members(other.get(key))
        added = [member for member in here.values() if _unordered(member) not in there]
        return there.keys() <= here.keys() and all(_reference(member) not in derived for member in added)
    return key not in node and name not in _DERIVED


def _addition_findings(nodes: Iterable[Node], derived: Mapping[str, Node]) -> Iterator[Issue]:
    """Yield an issue for each entity of others that speaks for the records, and a note that counts the rest."""
    taken = {_plain(identifier) for identifier in derived}
    added = []
    for node in nodes:
        identifier = str(node.get("@id"))
        if problem := _addition_problem(node, identifier, taken, derived):
            yield Issue(at(identifier), problem)
        else:
            added.append(identifier)
    if added:
        more = f" and {len(added) - _SHOWN} more" if len(added) > _SHOWN else ""
        yield Note(METADATA, f"Described by others: {', '.join(map(_cut, added[:_SHOWN]))}{more}.")


def _addition_problem(node: Node, identifier: str, taken: set[str], derived: Mapping[str, Node]) -> str:
    plain = _plain(identifier)
    if identifier.startswith("#") and identifier[1:].partition("/")[0] in _LOCAL:
        return "The records know nothing of it."
    if plain in taken or plain in (METADATA, README) or plain.partition("/")[0] in OWN_FOLDERS:
        return "The records know nothing of it: it names a part of the crate that they describe."
    for key, member in node.items():
        if key.startswith("@") and key not in ("@id", "@type"):
            return f"Its {key} may say anything about other entities."
        if not key.startswith("@") and _nested(member):
            return f"Its {key} describes an entity inside another."
        name = next((key.removeprefix(base) for base in _SCHEMA_ORG if key.startswith(base)), key)
        claimed = [_reference(one) for one in _members(member).values()] if name in _CLAIMS else []
        if any(one in derived and one != "./" for one in claimed):
            return f"Its {key} says something about {', '.join(claimed)} that the records do not."
        if name == "instrument" and any(_reference(one).startswith("#tool/") for one in _members(member).values()):
            return "The records know no such call of a task."
    return ""


def _nodes(metadata: Any) -> Iterable[Node]:
    graph = metadata.get("@graph") if isinstance(metadata, dict) else None
    return [node for node in graph if isinstance(node, dict)] if isinstance(graph, list) else []


def _plain(identifier: str) -> str:
    """Return the one spelling of an identifier that is relative to the crate: without escapes, dots and slashes."""
    text = unquote(identifier)
    before, hash_, fragment = text.partition("#")
    if before in ("", ".", "./", METADATA) and hash_:
        return f"#{fragment}"
    return (
        text
        if "://" in text and not text.startswith("file:")
        else posixpath.normpath(text.removeprefix("file://")).lstrip("/")
    )


def _nested(member: Any) -> bool:
    """Return True if a value describes another entity, or is no value of flattened JSON-LD."""
    for one in member if isinstance(member, list) else [member]:
        if isinstance(one, list):
            return True
        if isinstance(one, dict) and one.keys() != {"@id"} and not ("@value" in one and one.keys() <= _LITERAL):
            return True
    return False


_LITERAL = {"@value", "@type", "@language"}


def _reference(member: Any) -> str:
    """Return the identifier in a reference, or a text that may be one."""
    return str(member.get("@id", "")) if isinstance(member, dict) else str(member)


def _members(member: Any) -> dict[str, Any]:
    """Return the members of a JSON-LD set, by their spelling; a single value is a set of one."""
    return {} if member is None else {repr(one): one for one in (member if isinstance(member, list) else [member])}


def _unordered(member: Any) -> Any:
    # JSON-LD arrays are sets. By repr, since True and 1 are equal in Python and different values in JSON.
    return sorted(map(repr, member)) if isinstance(member, list) else repr(member)


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:100] + "…"
