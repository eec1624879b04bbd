"""Records against their schemas, crates against what they say of themselves.

``schemas/*.schema.json`` is the contract between casaprov, other programs and
archives. Whatever comes from outside is validated before it is used.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from casaprov.crates.check import (
    absence_issues,
    claimed_files,
    file_issues,
    frame_issues,
    graph_issues,
    manifest_issues,
    parameter_issues,
    readme_issues,
)
from casaprov.crates.layout import DOCUMENT, MANIFEST, METADATA, Manifest
from casaprov.crates.trees import tree_issues
from casaprov.errors import CrateError, Issue, RecordError, SchemaError
from casaprov.records.consistency import record_issues, value_issues
from casaprov.records.model import Document
from casaprov.records.schema import _FORMATS, _is_time, validate_record
from casaprov.records.serialise import structure
from casaprov.untrusted.json_file import read_json
from casaprov.untrusted.zip_file import Limits, folder_issues, name_problem, unpack, zip_issues

__all__ = ["check_crate", "check_folder", "read_records"]

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
                f"This is no crate, but holds one in its folder {name}: zip what is in that"
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


def check_crate(path: Path, limits: Limits | None = None) -> tuple[Issue, ...]:
    """Everything that is wrong with a crate, all at once; empty if it is sound.

    A zip is judged before it is unpacked; an unsafe one is not unpacked.

    Raises
    ------
    UsageError
        If there is no file or folder `path`.
    """
    if path.is_dir():
        return check_folder(path, limits)
    if issues := zip_issues(path, limits):
        return issues
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        try:
            unpack(path, Path(folder), limits)
        except CrateError as error:
            return error.issues or (Issue(path.name, error.message),)
        return check_folder(Path(folder), limits)


def check_folder(folder: Path, limits: Limits | None = None, *, checksums: bool = True) -> tuple[Issue, ...]:
    """Everything that is wrong with an unpacked crate; see :func:`check_crate`.

    Without `checksums` it may have been changed since it was packed, and only
    what makes it unsafe or impossible to read counts.
    """
    if unsafe := folder_issues(folder, limits):
        return unsafe
    try:
        document, manifest = read_records(folder)
    except SchemaError as error:
        return error.issues
    except (CrateError, RecordError) as error:
        return (Issue("", error.message),)
    issues = [*_under(DOCUMENT, record_issues(document)), *_under(MANIFEST, manifest_issues(document, manifest))]
    consistent = not issues
    issues += [*_under(DOCUMENT, value_issues(document)), *tree_issues(folder, document)]
    if not checksums:
        return tuple(issues)
    try:
        metadata = read_json(folder / METADATA)
    except CrateError as error:
        return (*issues, Issue(METADATA, error.message))
    claimed = claimed_files(metadata, manifest)
    issues += file_issues(folder, claimed)
    issues += absence_issues(folder, claimed, document, manifest)
    issues += parameter_issues(folder, document)
    issues += frame_issues(metadata)
    if consistent:  # from records that contradict themselves no description follows
        issues += graph_issues(metadata, document, manifest)
        issues += readme_issues(folder, document, manifest)
    return tuple(issues)


def _record(folder: Path, path: str, schema_name: str, cls: type[T]) -> T:
    data = read_json(folder / path)
    try:
        validate_record(data, schema_name)
    except SchemaError as error:
        issues = tuple(_under(path, error.issues))
        raise SchemaError(f"{path}: {error.message}", issues, hint=error.hint) from error
    return structure(data, cls)


def _under(path: str, issues: Iterable[Issue]) -> list[Issue]:
    return [Issue(f"{path} {i.path}".rstrip(), i.message, i.found, i.expected) for i in issues]


_FORMATS.checks("date-time", raises=ValueError)(_is_time)
