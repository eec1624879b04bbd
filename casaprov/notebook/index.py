"""``metadata.casaprov``: the index of a notebook's calls, made from its outputs and its journal.

The kernel never writes the .ipynb. The three writers build the index here: ``casaprov run``, the pre-save hook of
Jupyter Server, and ``casaprov sync``, which is :func:`sync_notebook`. :class:`NotebookCells` finds the cell of a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casaprov.errors import RecordError
from casaprov.journal.document import read_document
from casaprov.lineage.saved_cells import source_digest
from casaprov.notebook.bundle import BUNDLE_MIME, call_summary
from casaprov.records.model import Activity, Document, Session
from casaprov.scripts.cells import is_script

if TYPE_CHECKING:
    from nbformat import NotebookNode  # loads the grammars of its schema, which takes two seconds

__all__ = [
    "METADATA_FORMAT",
    "NotebookCells",
    "complete_bundles",
    "index_notebook",
    "indexed_sessions",
    "recorded_sessions",
    "session_entry",
    "sync_notebook",
]

METADATA_FORMAT = "casaprov/notebook-metadata/1"


def index_notebook(notebook: NotebookNode, document: Document, journal: Path) -> dict[str, Any]:
    """Write ``metadata.casaprov`` into `notebook` and return it.

    Parameters
    ----------
    document
        The content of the journal. The index has the calls of the sessions in the notebook's outputs, or of all
        sessions if the outputs were cleared.
    journal
        The journal folder, relative to the notebook.
    """
    cells = NotebookCells(notebook)
    sessions = [s for s in document.sessions if s.id in cells.sessions] or list(document.sessions)
    ids = {session.id for session in sessions}
    calls = [
        {**summary, "cell": cells.of(activity)} for activity, summary in _summaries(document) if activity.session in ids
    ]
    index = {
        "format": METADATA_FORMAT,
        "sessions": [session_entry(session, journal / f"{session.id}.jsonl") for session in sessions],
        "calls": calls,
    }
    notebook.metadata["casaprov"] = index
    return index


def complete_bundles(notebook: NotebookNode, document: Document) -> None:
    """Complete the bundles in a notebook's outputs, some of which were published before their records were finished."""
    whole = {activity.id: summary for activity, summary in _summaries(document)}
    for cell in notebook.cells:
        for bundle in _bundles(cell) if _is_code(cell) else ():
            bundle["calls"] = [whole.get(call["id"], call) for call in bundle["calls"]]


def _summaries(document: Document) -> Iterator[tuple[Activity, dict[str, Any]]]:
    by_id = {entity.id: entity for entity in document.entities}
    for activity in document.activities:
        touched = [by_id[u.entity] for u in (*activity.used, *activity.generated) if u.entity in by_id]
        yield activity, call_summary(activity, touched)


def recorded_sessions(notebook: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the sessions in a notebook's outputs."""
    return NotebookCells(notebook).sessions


def indexed_sessions(notebook: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the sessions in a notebook's metadata."""
    index = _dict(_dict(notebook.get("metadata")).get("casaprov"))
    sessions = index.get("sessions") if index.get("format") == METADATA_FORMAT else None
    found = [_dict(session).get("id") for session in sessions] if isinstance(sessions, list) else []
    return frozenset(session for session in found if isinstance(session, str))


def session_entry(session: Session, journal: Path) -> dict[str, Any]:
    """Return the entry of a session in the index; its journal is the file `journal`, relative to the notebook."""
    return {
        "id": session.id,
        "started_at": session.started_at,
        "casatasks": session.environment.casatasks,
        "casaprov": session.casaprov,
        "journal": journal.as_posix(),
    }


class NotebookCells:
    """Finds the cell that a call ran in: by the bundle in its output, by its id, or by its source.

    Parameters
    ----------
    notebook
        JSON values of a notebook of format 4; parts that are not valid are passed over.

    Attributes
    ----------
    sessions
        Ids of the sessions in the outputs.
    """

    def __init__(self, notebook: Mapping[str, Any]) -> None:
        cells = notebook.get("cells")
        code = [cell for cell in cells if _is_code(cell)] if isinstance(cells, list) else []
        bundles = [(cell.get("id"), bundle) for cell in code for bundle in _bundles(cell)]
        self.sessions = frozenset(bundle["session"] for _, bundle in bundles)
        self._by_call: dict[str, str | None] = {call: cell for cell, bundle in bundles for call in _call_ids(bundle)}
        self._ids = {cell.get("id") for cell in code} - {None}
        self._by_source: dict[str, str | None] = {source_digest(cell): cell.get("id") for cell in code}

    def of(self, activity: Activity) -> str | None:
        """Return the id of the cell that made a call; None if it is not known."""
        if activity.id in self._by_call:
            return self._by_call[activity.id]
        if activity.step is None:
            return None
        if activity.step.cell_id in self._ids:
            return activity.step.cell_id
        return self._by_source.get(activity.step.source_digest)

    def made(self, activity: Activity) -> bool:
        """Return True if a cell of this very notebook made a call; the id of a cell, which is random, shows it."""
        return activity.step is not None and activity.step.cell_id in self._ids


def _is_code(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") == "code"


def _bundles(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        bundle = _dict(_dict(_dict(output).get("data")).get(BUNDLE_MIME))
        if isinstance(bundle.get("session"), str):
            yield bundle


def _call_ids(bundle: Mapping[str, Any]) -> Iterator[str]:
    calls = bundle.get("calls")
    for call in calls if isinstance(calls, list) else ():
        call_id = _dict(call).get("id")
        if isinstance(call_id, str):
            yield call_id


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sync_notebook(path: Path) -> dict[str, Any]:
    """Write ``metadata.casaprov`` of the notebook at `path` and return it; of a script only return it.

    Raises
    ------
    UsageError, JournalError
        If there is no such notebook, or nothing is recorded of it.
    RecordError
        If a newer casaprov or another program wrote the index that it has.
    """
    # A kernel loads this module, and must not load nbformat with it.
    from casaprov.notebook.export import find_journal
    from casaprov.notebook.ipynb import read_notebook, write_notebook

    notebook = read_notebook(path)
    if is_script(path.name):  # it has no metadata; what was recorded under another name is in its own journal now
        journal = find_journal(path)
        document = read_document(journal, path.name)
        return index_notebook(notebook, document, Path(".casaprov", journal.name))
    present = _dict(notebook.metadata).get("casaprov")
    if present is not None and _dict(present).get("format") != METADATA_FORMAT:
        raise RecordError(
            f"The metadata of {path} hold an index of another format ({_dict(present).get('format', 'none named')}): "
            "it is not replaced.",
            hint="Update casaprov: a newer one wrote it. Or remove metadata.casaprov from the notebook.",
        )
    journal = find_journal(path)
    index = index_notebook(notebook, read_document(journal, path.name), journal.relative_to(path.parent))
    write_notebook(notebook, path)
    return index
