"""Annotations: statements of the open part of a crate, such as a DOI, written without a change to any other byte."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.crates.layout import METADATA, metadata_text
from casaprov.credits.licences import Licence
from casaprov.credits.nodes import licence_node, organization_node, person_nodes
from casaprov.credits.people import Organization, Person
from casaprov.errors import UsageError
from casaprov.observations.jsonld import archive_id, archive_nodes
from casaprov.records.model import Identifier
from casaprov.terms import CONFORMANCES

__all__ = ["Annotation", "annotated", "annotated_text", "linked", "linked_text", "write_copy"]

Node = dict[str, Any]

_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Statements about a crate as a whole.

    Attributes
    ----------
    doi
        The DOI of the deposit, as an URL.
    authors, keywords, funders, citations, parts_of
        Added to those that the crate names already.
    repair
        Write the second context again, which RO-Crate libraries drop.
    """

    doi: str = ""
    title: str = ""
    description: str = ""
    publisher: Organization | None = None
    license: Licence | None = None
    date_published: str = ""
    conditions_of_access: str = ""
    authors: tuple[Person, ...] = ()
    funders: tuple[Organization, ...] = ()
    keywords: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    parts_of: tuple[str, ...] = ()
    repair: bool = False


def annotated(metadata: dict[str, Any], annotation: Annotation) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json`` with an annotation; all other statements stay as they are.

    Raises
    ------
    UsageError
        If the content describes no crate.
    """
    nodes = _nodes(metadata)
    root = dict(nodes["./"])
    texts = {
        "identifier": annotation.doi,
        "name": annotation.title,
        "description": annotation.description,
        "datePublished": annotation.date_published,
        "conditionsOfAccess": annotation.conditions_of_access,
    }
    root |= {key: text for key, text in texts.items() if text}
    _extend(root, "keywords", list(annotation.keywords))
    described = _described(annotation)
    for key in ("author", "funder", "citation", "isPartOf"):
        _extend(root, key, [{"@id": group[0]["@id"]} for group in described[key]])
    root |= {key: {"@id": group[0]["@id"]} for key in ("publisher", "license") for group in described[key]}
    changed = {**metadata, "@graph": [root if node is nodes["./"] else node for node in metadata["@graph"]]}
    new = {node["@id"]: node for groups in described.values() for group in groups for node in group}
    changed["@graph"] += [node for identifier, node in new.items() if identifier not in nodes]
    if annotation.repair:
        stated = {one.get("@id") for one in _set(root.get("conformsTo")) if isinstance(one, dict)}
        conformance = next((c for c in CONFORMANCES.values() if stated >= c.profiles.keys()), CONFORMANCES["0.5"])
        changed["@context"] = [conformance.context, *conformance.contexts_behind(nodes.values())]
    return changed


def linked(metadata: dict[str, Any], identifiers: Mapping[str, Iterable[Identifier]]) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json`` with identifiers of inputs in archives.

    Each is a Dataset of an archive that has the input as a part, and that the crate is based on. What the description
    says about the input itself follows from the records, and stays as it is.

    Parameters
    ----------
    identifiers
        By the identifier of the input in the crate.

    Raises
    ------
    UsageError
        If the content describes no crate.
    """
    nodes = {name: dict(node) for name, node in _nodes(metadata).items()}
    for part, known in identifiers.items():
        for node in archive_nodes(known):
            stated = {key: value for key, value in node.items() if value is not None}
            nodes.setdefault(str(node["@id"]), stated)
        for identifier in known:
            _extend(nodes["./"], "isBasedOn", [{"@id": archive_id(identifier)}])
            if {"@id": archive_id(identifier)} not in _set(nodes[part].get("isPartOf")):
                _extend(nodes[archive_id(identifier)], "hasPart", [{"@id": part}])
    return {**metadata, "@graph": list(nodes.values())}


def _nodes(metadata: dict[str, Any]) -> dict[str, Node]:
    """Return the entities of a description by their identifiers."""
    graph = metadata.get("@graph")
    nodes = {str(node.get("@id")): node for node in graph if isinstance(node, dict)} if isinstance(graph, list) else {}
    if not isinstance(nodes.get("./"), dict):
        raise UsageError(f"{METADATA} describes no crate.", hint="Get the crate again from where it was published.")
    return nodes


def _described(annotation: Annotation) -> dict[str, list[list[Node]]]:
    """Return the entities of an annotation by the property of the root that refers to the first of each group."""
    works = {"citation": annotation.citations, "isPartOf": annotation.parts_of}
    return {
        "author": [person_nodes(person) for person in annotation.authors],
        "funder": [[organization_node(funder)] for funder in annotation.funders],
        "publisher": [[organization_node(annotation.publisher)]] if annotation.publisher else [],
        "license": [[licence_node(annotation.license)]] if annotation.license else [],
        **{key: [[{"@id": url, "@type": "CreativeWork", "name": url}] for url in urls] for key, urls in works.items()},
    }


def annotated_text(crate: Path, place: str, annotation: Annotation) -> bytes:
    """Return the content of ``ro-crate-metadata.json`` of a crate with an annotation.

    Parameters
    ----------
    place
        Its path in the zip or folder.

    Raises
    ------
    UsageError
        If it describes no crate.
    """
    return metadata_text(annotated(_metadata(crate, place), annotation))


def linked_text(crate: Path, place: str, identifiers: Mapping[str, Iterable[Identifier]]) -> bytes:
    """Return the content of ``ro-crate-metadata.json`` of a crate with identifiers in archives; see :func:`linked`."""
    return metadata_text(linked(_metadata(crate, place), identifiers))


def _metadata(crate: Path, place: str) -> dict[str, Any]:
    if crate.is_dir():
        text = (crate / place).read_bytes()
    else:
        with zipfile.ZipFile(crate) as archive:
            text = archive.read(place)
    metadata: dict[str, Any] = json.loads(text)
    return metadata


def write_copy(crate: Path, out: Path, changes: Mapping[str, bytes]) -> None:
    """Write a copy of a crate with files that are changed or added; a zip stays a zip, and a folder a folder.

    Parameters
    ----------
    crate
        A crate that was found valid.
    out
        A file or folder that does not exist.
    changes
        Content of files by their path in the zip or folder; all others keep their bytes.
    """
    if crate.is_dir():
        shutil.copytree(crate, out)
        for path, data in changes.items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(data)
        return
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(out, "x") as new:
        new.comment = old.comment
        for info in old.infolist():
            _copy_entry(old, info, new, changes.get(info.filename))
        present = set(old.namelist())
        for path in sorted(changes.keys() - present):
            added = zipfile.ZipInfo(path, old.infolist()[0].date_time)
            added.compress_type, added.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            new.writestr(added, changes[path])


def _copy_entry(old: zipfile.ZipFile, info: zipfile.ZipInfo, new: zipfile.ZipFile, text: bytes | None) -> None:
    copied = zipfile.ZipInfo(info.filename, info.date_time)
    copied.compress_type, copied.external_attr = info.compress_type, info.external_attr
    if info.is_dir():
        new.writestr(copied, b"")
        return
    with new.open(copied, "w", force_zip64=info.file_size > 2**30) as sink:
        if text is not None:
            sink.write(text)
            return
        with old.open(info) as source:
            shutil.copyfileobj(source, sink, _CHUNK)


def _extend(node: Node, key: str, values: list[Any]) -> None:
    """Add values to a JSON-LD set that do not stand in it yet."""
    if not values:
        return
    members = _set(node.get(key))
    members += [value for value in values if value not in members]
    node[key] = members[0] if len(members) == 1 else members


def _set(value: Any) -> list[Any]:
    """Return the members of a JSON-LD set."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]
