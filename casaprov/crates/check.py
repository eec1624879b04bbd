"""The single checks of an unpacked crate: its files, manifest, parameters, README and description against its records.

Each check returns issues and raises nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from casaprov.crates.graph import crate_graph
from casaprov.crates.layout import (
    METADATA,
    README,
    CrateFile,
    Manifest,
    call_names,
    log_path,
    parameters,
    parameters_path,
    shipped_path,
)
from casaprov.crates.readme import readme
from casaprov.errors import CrateError, DigestError, Issue
from casaprov.files.regular import digest_file, open_regular
from casaprov.hashing import Digest
from casaprov.lineage.saved_cells import MAX_NOTEBOOK_BYTES
from casaprov.records.model import Document
from casaprov.terms import ROCRATE_CONTEXT, WORKFLOW_RUN_CONTEXT
from casaprov.untrusted.json_file import read_json

__all__ = [
    "absence_issues",
    "claimed_files",
    "file_issues",
    "frame_issues",
    "graph_issues",
    "manifest_issues",
    "parameter_issues",
    "readme_issues",
]


def claimed_files(metadata: Any, manifest: Manifest) -> dict[str, CrateFile]:
    """Return every file that a crate claims to hold, by path, except ``ro-crate-metadata.json`` itself."""
    claimed = {file.path: file for file in manifest.files}
    for node in _nodes(metadata):
        digest, size, identifier = node.get("sha256"), node.get("contentSize"), node.get("@id")
        types = node.get("@type")
        if "File" in (types if isinstance(types, list) else [types]) and isinstance(identifier, str):
            if identifier.startswith("#") or not isinstance(digest, str) or not str(size).isdecimal():
                continue
            path = unquote(identifier)
            claimed[path] = CrateFile(path=path, sha256=Digest(f"sha256:{digest}"), size_bytes=int(str(size)))
    return claimed


def file_issues(folder: Path, claimed: Mapping[str, CrateFile]) -> Iterator[Issue]:
    """Yield an issue for each file that was changed, removed or added since the crate was written."""
    present = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    for path, file in claimed.items():
        if path not in present:
            yield Issue(path, "It was removed.")
        elif (size := present[path].stat().st_size) != file.size_bytes:
            yield Issue(path, "It was changed.", f"{size} bytes", f"{file.size_bytes} bytes")
        elif (digest := digest_file(present[path])) != file.sha256:
            yield Issue(path, "It was changed.", digest, file.sha256)
    for path in present:
        if path not in claimed and path != METADATA:
            yield Issue(path, "It was added.")


def absence_issues(
    folder: Path, claimed: Mapping[str, CrateFile], document: Document, manifest: Manifest
) -> Iterator[Issue]:
    """Yield an issue for each file that these records require, and that neither the crate nor its description has."""
    names = call_names(document)
    needed = [README, *(parameters_path(names[activity.id]) for activity in document.activities)]
    needed += [log_path(names[activity.id]) for activity in document.activities if activity.log is not None]
    needed += [item.path for item in manifest.items if item.path is not None and not item.path.endswith("/")]
    for path in needed:
        if path not in claimed and not (folder / path).exists():  # otherwise it is reported as removed or added
            yield Issue(path, f"The records say that it belongs here; it is missing, also in {METADATA}.")


def manifest_issues(document: Document, manifest: Manifest) -> Iterator[Issue]:
    """Yield an issue for each item of the manifest that names no recorded state, or a wrong path."""
    entities = {entity.id: entity for entity in document.entities}
    seen: set[str] = set()
    for number, item in enumerate(manifest.items):
        at = f"/items/{number}"
        entity = entities.get(item.entity)
        if entity is None:
            yield Issue(at, f"The entity {item.entity} is not recorded.")
            continue
        if item.entity in seen:
            yield Issue(at, f"The entity {item.entity} is listed twice.")
        seen.add(item.entity)
        if (item.path is not None) != (item.decision == "shipped"):
            yield Issue(at, f"{entity.path} is {item.decision}, which its path contradicts.")
        elif item.path is not None:
            expected = shipped_path(entity, directory=item.path.endswith("/"))
            if item.path != expected:
                yield Issue(at, f"{entity.path} is not where it belongs in the crate.", item.path, expected)


def parameter_issues(folder: Path, document: Document) -> Iterator[Issue]:
    """Yield an issue for each parameter in a call's file that differs from its record."""
    names = call_names(document)
    for activity in document.activities:
        path = parameters_path(names[activity.id])
        if not (folder / path).is_file():
            continue  # reported as removed
        try:
            stored = read_json(folder / path)
        except CrateError as error:
            yield Issue(path, error.message)
            continue
        stored = stored if isinstance(stored, dict) else {}
        found = stored.pop("parameters", None)
        expected = parameters(activity)
        given = expected.pop("parameters")
        for kind, stated, recorded in (
            ("The parameter", found if isinstance(found, dict) else {}, given),
            ("Its member", stored, expected),
        ):
            for name in _different(stated, recorded):
                message = f"{kind} {name} is not what the record of call {activity.id} says."
                yield Issue(path, message, _short(stated.get(name)), _short(recorded.get(name)))


def readme_issues(folder: Path, document: Document, manifest: Manifest) -> Iterator[Issue]:
    """Yield an issue if the README is not the one that follows from the records and the notebook."""
    if not (folder / README).is_file() or not (folder / manifest.notebook).is_file():
        return  # reported as removed
    try:
        with open_regular(folder / manifest.notebook) as file:
            notebook = file.read(MAX_NOTEBOOK_BYTES + 1)
        expected = readme(document, manifest, notebook).encode()
        with open_regular(folder / README) as file:
            found = file.read(len(expected) + 1)
    except DigestError as error:
        yield Issue(README, error.message)
        return
    if found != expected:
        lines = zip_longest(*(text.decode(errors="replace").splitlines() for text in (found, expected)), fillvalue="")
        here, there = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
        yield Issue(README, "It is not what the records and the notebook say.", _short(here), _short(there))


def frame_issues(metadata: Any) -> Iterator[Issue]:
    """Yield an issue for each part of ``ro-crate-metadata.json`` that changes the meaning of its statements."""
    if not isinstance(metadata, dict):
        return  # it describes nothing, which is reported elsewhere
    context = metadata.get("@context")
    terms = context if isinstance(context, list) else [context]
    # RO-Crate tools that rewrite a crate drop additional contexts; an unknown context may change any meaning.
    if ROCRATE_CONTEXT not in terms or any(term not in (ROCRATE_CONTEXT, WORKFLOW_RUN_CONTEXT) for term in terms):
        expected = [ROCRATE_CONTEXT, WORKFLOW_RUN_CONTEXT]
        yield Issue(METADATA, "Its @context is not that of a casaprov crate.", _short(context), _short(expected))
    for key in sorted(metadata.keys() - {"@context", "@graph"}):
        yield Issue(METADATA, f"Its member {key} does not belong to a description.")
    graph = metadata.get("@graph")
    for number, node in enumerate(graph if isinstance(graph, list) else ()):
        if not isinstance(node, dict):
            yield Issue(METADATA, f"Member {number} of its @graph describes nothing.", _short(node), "an object")


def graph_issues(metadata: Any, document: Document, manifest: Manifest) -> Iterator[Issue]:
    """Yield an issue for each statement of the description that the records contradict, or that is missing."""
    inside = {file.path for file in manifest.files}
    files = [file for path, file in claimed_files(metadata, manifest).items() if path not in inside]
    if manifest.notebook not in {file.path for file in files}:
        yield Issue(METADATA, f"It does not describe the notebook {manifest.notebook}.")
        return
    derived = {node["@id"]: node for node in crate_graph(document, manifest, files)}
    stated: dict[str, dict[str, Any]] = {}
    for node in _nodes(metadata):
        identifier = str(node.get("@id"))
        if identifier in stated:
            yield Issue(_at(identifier), "It is described twice.")
        stated[identifier] = node
    for identifier in stated.keys() - derived.keys():
        yield Issue(_at(identifier), "The records know nothing of it.")
    for identifier, node in derived.items():
        if identifier not in stated:
            yield Issue(_at(identifier), "The records say that it belongs here; it is missing.")
            continue
        other = stated[identifier]
        for key in sorted(node.keys() | other.keys()):
            if _unordered(node.get(key)) != _unordered(other.get(key)):
                message = f"Its {key} is not what the records say."
                yield Issue(_at(identifier), message, _short(other.get(key)), _short(node.get(key)))


def _nodes(metadata: Any) -> Iterable[dict[str, Any]]:
    graph = metadata.get("@graph") if isinstance(metadata, dict) else None
    return [node for node in graph if isinstance(node, dict)] if isinstance(graph, list) else []


def _different(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the names of the members that differ; true differs from 1, and 1 from 1.0."""
    names = sorted(found.keys() | expected.keys())
    return [
        name
        for name in names
        if (name in found) != (name in expected)
        or json.dumps(found.get(name), sort_keys=True) != json.dumps(expected.get(name), sort_keys=True)
    ]


def _at(identifier: str) -> str:
    return f"{METADATA} {identifier}"


def _unordered(member: Any) -> Any:
    # JSON-LD arrays are sets. By repr, since True and 1 are equal in Python and different values in JSON.
    return sorted(map(repr, member)) if isinstance(member, list) else repr(member)


def _short(member: Any) -> str:
    text = repr(member)
    return text if len(text) <= 200 else text[:200] + "…"
