"""``metadata.casaprov``: the index of a notebook's calls, lifted from its outputs.

The kernel never writes the .ipynb; whoever does (``casaprov run``, the
server's pre-save hook, ``casaprov sync``) calls :func:`index_notebook`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from casaprov.digest import digest_bytes
from casaprov.model import Activity, Document, Session
from casaprov.notebook.bundle import BUNDLE_MIME, call_summary

__all__ = ["METADATA_FORMAT", "index_notebook", "recorded_sessions"]

METADATA_FORMAT = "casaprov/notebook-metadata/1"


def index_notebook(notebook: NotebookNode, document: Document, journal: Path) -> dict[str, Any]:
    """Write ``metadata.casaprov`` into `notebook` and return it.

    Parameters
    ----------
    document
        What the journal says; calls of the sessions that the notebook's
        outputs mention are indexed, all sessions if the outputs were cleared.
    journal
        The journal folder, relative to the notebook.
    """
    mentioned = recorded_sessions(notebook)
    sessions = [s for s in document.sessions if s.id in mentioned] or list(document.sessions)
    ids = {session.id for session in sessions}
    cells = _Cells(notebook)
    calls = [
        {**call_summary(activity, document.entities), "cell": cells.of(activity)}
        for activity in document.activities
        if activity.session in ids
    ]
    index = {
        "format": METADATA_FORMAT,
        "sessions": [_session(session, journal) for session in sessions],
        "calls": calls,
    }
    notebook.metadata["casaprov"] = index
    return index


def recorded_sessions(notebook: NotebookNode) -> frozenset[str]:
    """Ids of the sessions that the notebook's outputs mention."""
    return frozenset(bundle["session"] for _, bundle in _bundles(notebook.cells))


def _session(session: Session, journal: Path) -> dict[str, Any]:
    return {
        "id": session.id,
        "started_at": session.started_at,
        "casatasks": session.environment.casatasks,
        "casaprov": session.casaprov,
        "journal": (journal / f"{session.id}.jsonl").as_posix(),
    }


def _bundles(cells: Iterable[NotebookNode]) -> Iterator[tuple[NotebookNode, dict[str, Any]]]:
    for cell in cells:
        for output in cell.get("outputs", []):
            bundle = output.get("data", {}).get(BUNDLE_MIME)
            if isinstance(bundle, dict) and isinstance(bundle.get("session"), str):
                yield cell, bundle


class _Cells:
    """Which cell a call ran in: by the bundle in its output, by its id, or by its source."""

    def __init__(self, notebook: NotebookNode) -> None:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self._by_call: dict[str, str | None] = {
            call.get("id"): cell.get("id") for cell, bundle in _bundles(code) for call in bundle.get("calls", [])
        }
        self._ids = {cell.get("id") for cell in code}
        self._by_source: dict[str, str | None] = {
            digest_bytes(cell.source.encode("utf-8", "surrogatepass")): cell.get("id") for cell in code
        }

    def of(self, activity: Activity) -> str | None:
        if activity.id in self._by_call:
            return self._by_call[activity.id]
        if activity.step is None:
            return None
        if activity.step.cell_id in self._ids:
            return activity.step.cell_id
        return self._by_source.get(activity.step.source_digest)
