"""The Entities of a Document as JSON-LD: files, directories and the states of a path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from urllib.parse import quote

from casaprov import terms
from casaprov.crates.layout import CrateFile, Manifest
from casaprov.crates.nodes import Node, iri, local, media_type, ref
from casaprov.lineage.graph import Lineage
from casaprov.lineage.observed import observations_of, observed_inputs, observed_sources
from casaprov.observations.jsonld import archive_id, identifier_id, observation_id, target_id
from casaprov.observations.summary import coverage
from casaprov.records.model import Document, Entity, Locator

__all__ = ["collection_nodes", "data_nodes", "entity_ids", "file_node"]


def entity_ids(document: Document, manifest: Manifest) -> dict[str, str]:
    """Return the identifier of every Entity: its path in the crate if it is shipped, else a local one."""
    shipped = manifest.shipped()
    return {e.id: iri(shipped[e.id]) if e.id in shipped else local("entity", e.id) for e in document.entities}


def file_node(path: str, files: Mapping[str, CrateFile]) -> Node:
    """Describe a file of the crate."""
    return {
        "@id": iri(path),
        "@type": "File",
        "name": PurePosixPath(path).name,
        "encodingFormat": media_type(path),
        "contentSize": str(files[path].size_bytes),
        "sha256": files[path].sha256.removeprefix("sha256:"),
    }


def data_nodes(
    document: Document,
    manifest: Manifest,
    files: Mapping[str, CrateFile],
    ids: Mapping[str, str],
    examples: Mapping[str, Iterable[str]],
) -> Iterable[Node]:
    """Describe every Entity, shipped or not, and its content digest."""
    shipped = manifest.shipped()
    lineage = Lineage(document)
    chosen = {item.entity for item in manifest.items} if observed_inputs(document) else set()
    reasons = {item.entity: item.reason for item in manifest.items if item.decision == "referenced"}
    for entity in document.entities:
        path = shipped.get(entity.id)
        node = {
            "@id": ids[entity.id],
            "@type": "Dataset",
            "name": PurePosixPath(entity.path).name or entity.path,
            "alternateName": entity.path,
            "additionalType": entity.kind,
            "description": _description(entity, reasons.get(entity.id)),
            "isBasedOn": ref(ids[before]) if (before := entity.revision_of) and before in ids else None,
            "exampleOfWork": [ref(parameter) for parameter in examples.get(entity.id, ())],
            "url": [_locator(locator) for locator in entity.locators],
            "contentSize": str(entity.size_bytes),
        }
        node["isPartOf"] = [ref(archive_id(known)) for known in entity.identifiers]
        node |= _observed(lineage, entity, product=entity.id in chosen)
        if path is not None and path in files:
            facts = file_node(path, files)
            node |= {key: facts[key] for key in ("@type", "encodingFormat", "contentSize", "sha256")}
        elif path is None and entity.kind in ("FITS", "File"):
            digest = entity.byte_digest.removeprefix("sha256:") if entity.byte_digest else None
            node |= {"@type": "File", "encodingFormat": media_type(entity.path), "sha256": digest}
        if entity.kind == "FITS":
            node["encodingFormat"] = terms.MEDIA_TYPES[".fits"]
        if entity.content_digest:
            own = [local("content", entity.content_digest), *map(identifier_id, entity.identifiers)]
            node["identifier"] = [ref(name) for name in own]
            yield {
                "@id": local("content", entity.content_digest),
                "@type": "PropertyValue",
                "name": "content digest",
                "propertyID": terms.CONTENT_DIGEST,
                "value": entity.content_digest,
            }
        yield node


def collection_nodes(document: Document, ids: Mapping[str, str]) -> Iterable[Node]:
    """Group the states of every path with several; the last state is the main one."""
    states: dict[str, list[str]] = {}
    for entity in document.entities:
        states.setdefault(entity.path, []).append(ids[entity.id])
    for path, members in states.items():
        if len(members) > 1:
            yield {
                "@id": local("path", path),
                "@type": "Collection",
                "name": path,
                "description": f"The {len(members)} recorded states of {path}.",
                "hasPart": [ref(member) for member in members],
                "mainEntity": ref(members[-1]),
            }


def _description(entity: Entity, reason: str | None) -> str:
    sentences = [entity.note]
    if entity.gap:
        sentences.append("Changed outside the recorded calls.")
    if reason:
        sentences.append(f"Not in this crate: {reason}.")
    return " ".join(filter(None, sentences))


def _observed(lineage: Lineage, entity: Entity, *, product: bool) -> Node:
    """Name the observations of an input or a product, and the target of an image."""
    sources = observed_sources(lineage, entity) if product or entity.observations else ()
    about = [observation_id(source.id, n) for source in sources for n in range(1, len(source.observations) + 1)]
    shown = {target_id(row) for source in sources for row in source.observations}
    if entity.observations and entity not in sources:
        # An image shows one of the targets; a name that no observation has would lead nowhere.
        about = [name for row in entity.observations if (name := target_id(row)) in shown] or about
    rows = observations_of(lineage, entity) if about else ()
    return {"about": [ref(name) for name in about], "temporalCoverage": coverage(rows)}


def _locator(locator: Locator) -> str:
    match locator.scheme:
        case "file":
            return "file://" + quote(locator.value)
        case "casadata" | "crate":
            return f"{locator.scheme}:{quote(locator.value)}"
        case _:
            return locator.value
