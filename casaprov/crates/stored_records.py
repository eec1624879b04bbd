"""The records of a crate: read and validated against their schemas before anything uses them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from casaprov.crates.layout import CRATE_FORMAT, DOCUMENT, MANIFEST, Manifest
from casaprov.errors import CrateError, Issue, SchemaError
from casaprov.records.model import Document
from casaprov.records.schema import validate_record
from casaprov.records.serialise import structure
from casaprov.untrusted.json_file import read_json
from casaprov.untrusted.zip_file import name_problem

__all__ = ["crate_root", "issues_in", "read_records", "written_records"]

T = TypeVar("T")

_SCHEMAS = {"casaprov/crate/1": "crate-1", CRATE_FORMAT: "crate-2"}
"""Schema of the manifest by the format that it names."""

_AGAIN = "Get the crate again from where it was published, or ask its author for a new copy."


def crate_root(folder: Path) -> Path:
    """Return the folder that holds the records: an unpacked crate itself, one folder in it, or the data of a bag.

    GitHub, Zenodo and macOS zip a crate inside one folder; BagIt puts it into ``data/``.

    Raises
    ------
    CrateError
        If there are no records, or several folders hold some.
    """
    if (folder / DOCUMENT).is_file():
        return folder
    inside = [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())]
    found = [path for path in inside[1:] if (path / DOCUMENT).is_file()]
    found += [path / "data" for path in inside[1:] if _is_bag(path) and (path / "data" / DOCUMENT).is_file()]
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise CrateError(f"It holds several crates: {names}.", hint="Unpack it and give one of these folders.")
    if not found:
        raise CrateError(
            f"This crate holds no casaprov records ({DOCUMENT} is missing).",
            hint="casaprov replays crates that 'casaprov export' wrote; other RO-Crates can only be read.",
        )
    return found[0]


def _is_bag(folder: Path) -> bool:
    return (folder / "bagit.txt").is_file()


def read_records(folder: Path) -> tuple[Document, Manifest]:
    """Read and validate the records of an unpacked crate.

    Parameters
    ----------
    folder
        The folder that :func:`crate_root` found.

    Raises
    ------
    CrateError
        If there are none, or they cannot be read.
    SchemaError, RecordError
        If they do not fit their schemas.
    """
    document = _record(folder, DOCUMENT, "document-1", Document)
    manifest = _record(folder, MANIFEST, _manifest_schema(folder), Manifest)
    for path in (manifest.notebook, *(item.path for item in manifest.items if item.path)):
        if problem := name_problem(path):
            raise CrateError(f"{MANIFEST} names the path {path!r}, which {problem}.", hint=_AGAIN)
    return document, manifest


def written_records(crate: Path) -> tuple[Document, Manifest]:
    """Return the records in a zip that this process has written itself; those of others are opened and checked."""
    with zipfile.ZipFile(crate) as archive:
        document, manifest = (json.loads(archive.read(name)) for name in (DOCUMENT, MANIFEST))
    return structure(document, Document), structure(manifest, Manifest)


def issues_in(path: str, issues: Iterable[Issue]) -> list[Issue]:
    """Return issues of a record with the path of its file in the crate before their own paths."""
    return [Issue(f"{path} {issue.path}".rstrip(), issue.message, issue.found, issue.expected) for issue in issues]


def _manifest_schema(folder: Path) -> str:
    """Return the name of the schema that the manifest says it follows; the newest if it names none of casaprov's."""
    data = read_json(folder / MANIFEST)
    stated = data.get("format") if isinstance(data, dict) else None
    return _SCHEMAS.get(str(stated), _SCHEMAS[CRATE_FORMAT])


def _record(folder: Path, path: str, schema_name: str, cls: type[T]) -> T:
    data = read_json(folder / path)
    try:
        validate_record(data, schema_name)
    except SchemaError as error:
        issues = tuple(issues_in(path, error.issues))
        raise SchemaError(f"{path}: {error.message}", issues, hint=error.hint) from error
    return structure(data, cls)
