"""The records of an unpacked crate: read and validated against their schemas before anything uses them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from casaprov.crates.layout import DOCUMENT, MANIFEST, Manifest
from casaprov.errors import CrateError, Issue, SchemaError
from casaprov.records.model import Document
from casaprov.records.schema import validate_record
from casaprov.records.serialise import structure
from casaprov.untrusted.json_file import read_json
from casaprov.untrusted.zip_file import name_problem

__all__ = ["issues_in", "read_records"]

T = TypeVar("T")

_AGAIN = "Get the crate again from where it was published, or ask its author for a new copy."


def read_records(folder: Path) -> tuple[Document, Manifest]:
    """Read and validate the records of an unpacked crate.

    Raises
    ------
    CrateError
        If there are none, or they cannot be read.
    SchemaError, RecordError
        If they do not fit their schemas.
    """
    if not (folder / DOCUMENT).is_file():
        for inside in sorted(folder.glob(f"*/{DOCUMENT}")):
            name = shlex.quote(inside.parents[1].name)
            raise CrateError(
                f"This is no crate, but its folder {name} is one: zip the content of that folder"
                f" ('cd {name} && zip -r ../crate.zip .').",
                hint="Or give that folder itself.",
            )
        raise CrateError(
            f"This crate holds no casaprov records ({DOCUMENT} is missing).",
            hint="casaprov replays crates that 'casaprov export' wrote; other RO-Crates can only be read.",
        )
    document = _record(folder, DOCUMENT, "document-1", Document)
    manifest = _record(folder, MANIFEST, "crate-1", Manifest)
    for path in (manifest.notebook, *(item.path for item in manifest.items if item.path)):
        if problem := name_problem(path):
            raise CrateError(f"{MANIFEST} names the path {path!r}, which {problem}.", hint=_AGAIN)
    return document, manifest


def issues_in(path: str, issues: Iterable[Issue]) -> list[Issue]:
    """Return issues of a record with the path of its file in the crate before their own paths."""
    return [Issue(f"{path} {issue.path}".rstrip(), issue.message, issue.found, issue.expected) for issue in issues]


def _record(folder: Path, path: str, schema_name: str, cls: type[T]) -> T:
    data = read_json(folder / path)
    try:
        validate_record(data, schema_name)
    except SchemaError as error:
        issues = tuple(issues_in(path, error.issues))
        raise SchemaError(f"{path}: {error.message}", issues, hint=error.hint) from error
    return structure(data, cls)
