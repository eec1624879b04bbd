"""Validation of a crate: every check, in order, from an unsafe zip to a description that was edited.

:mod:`casaprov.crates.check` and :mod:`casaprov.crates.trees` hold the single checks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

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
from casaprov.crates.layout import DOCUMENT, MANIFEST, METADATA
from casaprov.crates.stored_records import issues_in, read_records
from casaprov.crates.trees import tree_issues
from casaprov.errors import CrateError, Issue, RecordError, SchemaError
from casaprov.records.consistency import record_issues, value_issues
from casaprov.untrusted.json_file import read_json
from casaprov.untrusted.zip_file import Limits, folder_issues, unpack, zip_issues

__all__ = ["check_crate", "check_folder"]


def check_crate(path: Path, limits: Limits | None = None) -> tuple[Issue, ...]:
    """Return all issues of a crate at once; none if it is sound.

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
    """Return all issues of an unpacked crate; see :func:`check_crate`.

    Without `checksums` it may have been changed since it was packed: only
    issues that make it unsafe or impossible to read count.
    """
    if unsafe := folder_issues(folder, limits):
        return unsafe
    try:
        document, manifest = read_records(folder)
    except SchemaError as error:
        return error.issues
    except (CrateError, RecordError) as error:
        return (Issue("", error.message),)
    issues = [*issues_in(DOCUMENT, record_issues(document)), *issues_in(MANIFEST, manifest_issues(document, manifest))]
    consistent = not issues
    issues += [*issues_in(DOCUMENT, value_issues(document)), *tree_issues(folder, document)]
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
    if consistent:  # no description follows from records that contradict themselves
        issues += graph_issues(metadata, document, manifest)
        issues += readme_issues(folder, document, manifest)
    return tuple(issues)
