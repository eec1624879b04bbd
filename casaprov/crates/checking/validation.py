"""Validation of a crate: every check, in order, from an unsafe zip to a description that was edited.

The other modules of this package hold the single checks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from casaprov.crates.checking.files import (
    absence_issues,
    claimed_files,
    file_findings,
    manifest_issues,
    parameter_issues,
)
from casaprov.crates.checking.introduction import introduction_issues
from casaprov.crates.checking.statements import frame_findings, statement_findings
from casaprov.crates.checking.trees import tree_issues
from casaprov.crates.layout import DOCUMENT, MANIFEST, METADATA
from casaprov.crates.signatures import SIGNATURES, list_issues, signers
from casaprov.crates.stored_records import crate_root, issues_in, read_records
from casaprov.errors import CrateError, Issue, Note, RecordError, SchemaError
from casaprov.records.consistency import record_issues, value_issues
from casaprov.untrusted.json_file import read_json
from casaprov.untrusted.table_examiner import table_issues
from casaprov.untrusted.zip_file import Limits, folder_issues, unpack, zip_issues

__all__ = ["Findings", "check_crate", "check_folder", "examine_crate", "examine_folder", "signature_findings"]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All findings about a crate.

    Attributes
    ----------
    errors
        Faults: what was changed, removed or added against the records. None if the crate is valid.
    notes
        Additions by others, such as a DOI, a publisher or a preview. They make nothing invalid.
    """

    errors: tuple[Issue, ...] = ()
    notes: tuple[Issue, ...] = ()

    def joined(self, issues: Iterable[Issue]) -> Findings:
        """Return the findings with others behind them."""
        return _sorted((*self.errors, *self.notes, *issues))

    def strict(self) -> Findings:
        """Return the findings with every note as an error."""
        return Findings(errors=(*self.errors, *self.notes))


def check_crate(path: Path, limits: Limits | None = None) -> tuple[Issue, ...]:
    """Return all errors of a crate at once; none if it is valid. See :func:`examine_crate`."""
    return examine_crate(path, limits).errors


def check_folder(folder: Path, limits: Limits | None = None, *, checksums: bool = True) -> tuple[Issue, ...]:
    """Return all errors of an unpacked crate; see :func:`examine_folder`."""
    return examine_folder(folder, limits, checksums=checksums).errors


def examine_crate(path: Path, limits: Limits | None = None) -> Findings:
    """Return all errors of a crate at once, and notes about additions by others.

    A zip is judged before it is unpacked; an unsafe one is not unpacked.

    Raises
    ------
    UsageError
        If there is no file or folder `path`.
    """
    if path.is_dir():
        return examine_folder(path, limits)
    if issues := zip_issues(path, limits):
        return Findings(errors=issues)
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        try:
            unpack(path, Path(folder), limits)
        except CrateError as error:
            return Findings(errors=error.issues or (Issue(path.name, error.message),))
        return examine_folder(Path(folder), limits)


def examine_folder(folder: Path, limits: Limits | None = None, *, checksums: bool = True) -> Findings:
    """Return all findings about an unpacked crate; see :func:`examine_crate`.

    Without `checksums` it may have been changed since it was packed: only
    issues that make it unsafe or impossible to read count.
    """
    if unsafe := folder_issues(folder, limits):
        return Findings(errors=unsafe)
    try:
        root = crate_root(folder)
        document, manifest = read_records(root)
    except SchemaError as error:
        return Findings(errors=error.issues)
    except (CrateError, RecordError) as error:
        return Findings(errors=(Issue("", error.message),))
    issues = [*issues_in(DOCUMENT, record_issues(document)), *issues_in(MANIFEST, manifest_issues(document, manifest))]
    consistent = not issues
    issues += [*issues_in(DOCUMENT, value_issues(document)), *tree_issues(root, document)]
    issues += table_issues(folder)
    if not checksums:
        return Findings(errors=tuple(issues))
    if root != folder:
        issues.append(Note(root.relative_to(folder).as_posix(), "The crate lies in this folder."))
    try:
        metadata = read_json(root / METADATA)
    except CrateError as error:
        return _sorted((*issues, Issue(METADATA, error.message)))
    claimed = claimed_files(metadata, document, manifest)
    issues += file_findings(root, claimed, manifest.preview)
    issues += absence_issues(root, claimed, document, manifest)
    issues += parameter_issues(root, document)
    issues += list_issues(root, manifest)
    issues += frame_findings(metadata, manifest.conformance)
    if consistent:  # no description follows from records that contradict themselves
        issues += statement_findings(metadata, document, manifest)
        issues += introduction_issues(root, document, manifest)
    return _sorted(issues)


def signature_findings(crate: Path, keys: Path) -> Iterator[Issue]:
    """Yield a note for each of these keys that signed a valid crate; an issue if none did.

    Raises
    ------
    UsageError
        If there are no such keys.
    """
    names = signers(crate, keys)
    if not names:
        yield Issue(SIGNATURES, f"None of the keys in {keys.name} signed this crate.")
    for name in names:
        yield Note(SIGNATURES, f"Signed by {name}.")


def _sorted(findings: Iterable[Issue]) -> Findings:
    """Return findings with notes apart from errors."""
    found = tuple(findings)
    return Findings(
        errors=tuple(one for one in found if not isinstance(one, Note)),
        notes=tuple(one for one in found if isinstance(one, Note)),
    )
