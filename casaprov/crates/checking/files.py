"""The files of an unpacked crate against its records and its manifest; the parameter files, value by value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from casaprov.crates.checking.wording import short
from casaprov.crates.layout import (
    METADATA,
    OWN_FOLDERS,
    PREVIEW,
    CrateFile,
    Manifest,
    call_names,
    own_files,
    parameters,
    parameters_path,
    shipped_path,
    state_path,
)
from casaprov.crates.signatures import is_signature
from casaprov.errors import CrateError, Issue, Note
from casaprov.files.regular import digest_file
from casaprov.hashing import Digest
from casaprov.records.model import Document
from casaprov.untrusted.json_file import read_json

__all__ = ["absence_issues", "claimed_files", "file_findings", "manifest_issues", "parameter_issues"]


def claimed_files(metadata: Any, document: Document, manifest: Manifest) -> dict[str, CrateFile]:
    """Return the files that follow from the records, by path, with the digests that the crate states for them.

    ``ro-crate-metadata.json`` itself is not among them, nor is a file that others describe.
    """
    claimed = {file.path: file for file in manifest.files}
    own = set(own_files(document, manifest))
    graph = metadata.get("@graph") if isinstance(metadata, dict) else None
    for node in graph if isinstance(graph, list) else ():
        if not isinstance(node, dict) or not isinstance(identifier := node.get("@id"), str):
            continue
        digest, size, path = node.get("sha256"), node.get("contentSize"), unquote(identifier)
        if path in own and isinstance(digest, str) and str(size).isdecimal():
            claimed[path] = CrateFile(path=path, sha256=Digest(f"sha256:{digest}"), size_bytes=int(str(size)))
    return claimed


def file_findings(folder: Path, claimed: Mapping[str, CrateFile], preview: CrateFile | None = None) -> Iterator[Issue]:
    """Yield an issue for each file that was changed or removed since the crate was written, or added to its folders.

    A file that was added elsewhere, such as a licence or a git repository, is a note, and so is another preview.

    Parameters
    ----------
    preview
        The preview that casaprov wrote.
    """
    present = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    for path, file in claimed.items():
        if path not in present:
            yield Issue(path, "It was removed.")
        elif (size := present[path].stat().st_size) != file.size_bytes:
            yield Issue(path, "It was changed.", f"{size} bytes", f"{file.size_bytes} bytes")
        elif (digest := digest_file(present[path])) != file.sha256:
            yield Issue(path, "It was changed.", digest, file.sha256)
    beside: dict[str, int] = {}
    for path, file_path in present.items():
        top, below, _ = path.partition("/")
        if path in claimed or path == METADATA or is_signature(path):
            continue
        if path == PREVIEW and preview is not None:
            if file_path.stat().st_size != preview.size_bytes or digest_file(file_path) != preview.sha256:
                yield Note(path, "It was replaced by others.")
            continue
        if below and top in OWN_FOLDERS:
            yield Issue(path, "It was added.")
        else:
            beside[top + below] = beside.get(top + below, 0) + 1
    for name, files in beside.items():
        yield Note(name, "It was added by others." if not name.endswith("/") else f"Added by others: files: {files}.")


def absence_issues(
    folder: Path, claimed: Mapping[str, CrateFile], document: Document, manifest: Manifest
) -> Iterator[Issue]:
    """Yield an issue for each file that these records require, and that neither the crate nor its description has."""
    for path in own_files(document, manifest):
        if path in claimed:
            continue  # reported as removed if it is not there
        if (folder / path).exists():
            yield Issue(path, f"{METADATA} does not describe it by its digest and size.")
        else:
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
            if item.path not in (expected, state_path(entity, directory=item.path.endswith("/"))):
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
                yield Issue(path, message, short(stated.get(name)), short(recorded.get(name)))


def _different(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the names of the members that differ; true differs from 1, and 1 from 1.0."""
    names = sorted(found.keys() | expected.keys())
    return [
        name
        for name in names
        if (name in found) != (name in expected)
        or json.dumps(found.get(name), sort_keys=True) != json.dumps(expected.get(name), sort_keys=True)
    ]
