"""``casaprov export``: a crate of a notebook and its journal."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from casaprov.crate import Packed, pack
from casaprov.crates.layout import METADATA
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import JournalError, RecordError, UsageError
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, journals, present_folders
from casaprov.journal.links import read_links, with_links
from casaprov.lineage.graph import Lineage
from casaprov.notebook.adopt_sessions import adopt_sessions, shown_sessions
from casaprov.notebook.ipynb import read_notebook
from casaprov.notebook.journals import find_session
from casaprov.recording.explanations import UnfinishedCalls
from casaprov.recording.late_states import PresentFiles, with_observers, with_present_states, without_lost_remains
from casaprov.records.model import Document
from casaprov.tasks.specs import load_specs

__all__ = ["export_notebook", "find_journal", "record_of", "recorded_calls"]


def export_notebook(
    notebook: Path,
    out: Path,
    *,
    policy: PayloadPolicy,
    measure: Measure[Measurement],
    title: str | None = None,
    with_observer: bool = False,
) -> Packed:
    """Pack a notebook with the record of the calls that its results came from.

    Parameters
    ----------
    measure
        Measures a file; with its observer, if that is to be named.
    with_observer
        Name the observers, which are personal data.

    Raises
    ------
    UsageError
        If there is no such notebook, or `out` must not be replaced.
    JournalError
        If nothing is recorded of it.
    RecordError
        If the record holds no call.
    """
    journal, recorded, folders = recorded_calls(notebook)
    document = without_lost_remains(_contributing(recorded, folders), folders)
    _check_target(out, notebook, document, folders)
    if not document.activities:
        raise RecordError(f"The record of {notebook} holds no task call.", hint="Run its cells, then export again.")
    files = PresentFiles(folders=folders, journal=journal, measure=measure)
    unfinished = UnfinishedCalls(recorded, folders, load_specs())
    document = with_present_states(document, files, recorded.entities, unfinished)
    document = with_links(document, read_links(journal))
    if with_observer:
        document = with_observers(document, files)
    items = choose_payload(document, folders, policy, measure=measure)
    return pack(document, notebook=notebook, journal=journal, items=items, out=out, title=title)


def _check_target(out: Path, notebook: Path, document: Document, folders: Mapping[str, Path]) -> None:
    """Refuse to write a crate over the notebook, a file of the record, or a file that is no crate."""
    hint = "Name another file with --output, one that ends in .zip."
    target = out.resolve()
    if target == notebook.resolve():
        raise UsageError(f"The crate cannot take the place of its notebook {notebook}.", hint=hint)
    for entity in document.entities:
        recorded = (folders[entity.session] / entity.path).resolve()
        if recorded in (target, *target.parents):
            raise UsageError(f"The crate cannot be written to {out}: {entity.path} is in the record.", hint=hint)
    if out.exists() and not (out.is_file() and _is_crate(out)):
        raise UsageError(f"{out} exists and is no crate; it is not replaced.", hint=hint)


def _is_crate(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == METADATA for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def find_journal(notebook: Path) -> Path:
    """Return the journal folder of a notebook, after copying the sessions into it that it shows.

    Raises
    ------
    JournalError
        If nothing is recorded of the notebook.
    """
    adopt_sessions(notebook)
    named = journal_folder(notebook)
    if journals(named):
        return named
    for session in sorted(shown_sessions(notebook)):  # the sessions could not be copied
        if (found := find_session(notebook, session)) is not None:
            return found.parent
    raise JournalError(
        f"There is no record of {notebook} (no journal in {named}).",
        hint="Run it with '%load_ext casaprov' in its first cell, or with 'casaprov run'.",
    )


def record_of(notebook: Path) -> Document:
    """Return the sessions that the products on disk came from, and the last one.

    Raises
    ------
    UsageError, JournalError
        If there is no such notebook or no record of it.
    """
    _, document, folders = recorded_calls(notebook)
    return _contributing(document, folders)


def recorded_calls(notebook: Path) -> tuple[Path, Document, dict[str, Path]]:
    """Return the journal of a notebook, its Document, and the present folder of each session.

    Raises
    ------
    UsageError, JournalError
        If there is no such notebook or no record of it.
    """
    read_notebook(notebook)
    journal = find_journal(notebook)
    document = read_document(journal, notebook.name)
    return journal, document, present_folders(journal, document)


def _contributing(document: Document, folders: Mapping[str, Path]) -> Document:
    lineage = Lineage(document)
    last = document.sessions[-1].id
    present = [e for e in lineage.products() if (folders[e.session] / e.path).exists()]
    used = [lineage.entities[u.entity] for a in document.activities if a.session == last for u in a.used]
    contributed = {lineage.activities[a].session for a in lineage.upstream([*present, *used])}
    return lineage.only(contributed | {last})
