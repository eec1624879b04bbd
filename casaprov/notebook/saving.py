"""The index for a notebook that is being saved, made of the sessions that it shows.

Nothing is added to a notebook unless its own outputs or cells show that it was recorded: journals of another notebook
that had the same name do not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from casaprov.errors import SchemaError
from casaprov.journal.folder import journal_folder, session_id
from casaprov.journal.folder import journals as journal_files
from casaprov.notebook.index import METADATA_FORMAT, NotebookCells, indexed_sessions, session_entry
from casaprov.notebook.journals import Journals, find_session
from casaprov.records.schema import validate_record

__all__ = ["Outline", "lift"]


@dataclass(frozen=True)
class Outline:
    """The parts of a notebook that its index depends on, small and without its outputs."""

    cells: NotebookCells
    sessions: frozenset[str]
    index: Any

    @classmethod
    def of(cls, notebook: Mapping[str, Any]) -> Outline:
        """Make the outline of a notebook, given as JSON values."""
        metadata = notebook.get("metadata")
        index = metadata.get("casaprov") if isinstance(metadata, dict) else None
        return cls(NotebookCells(notebook), indexed_sessions(notebook), index)

    @property
    def foreign(self) -> bool:
        """True if the metadata come from a newer casaprov or another program, and must not be touched."""
        return self.index is not None and (
            not isinstance(self.index, dict) or self.index.get("format") != METADATA_FORMAT
        )


def lift(outline: Outline, notebook: Path, journals: Journals) -> dict[str, Any] | None:
    """Return the index for the notebook at `notebook`; None to leave its metadata as they are.

    A session whose journal is missing, as in a copy elsewhere, keeps its entries in the metadata if these are valid.
    """
    wanted = outline.cells.sessions or outline.sessions
    shown = journals.read(path for path in (find_session(notebook, session) for session in wanted) if path)
    if not outline.cells.sessions:  # the outputs were cleared: sessions with calls of these cells still count
        known = {content.session.id for content in shown}
        rest = journals.read(path for path in journal_files(journal_folder(notebook)) if session_id(path) not in known)
        own = [content for content in rest if any(outline.cells.made(activity) for activity, _ in content.calls)]
        shown = sorted((*shown, *own), key=lambda content: content.session.started_at)
    sessions, calls = _kept(outline, wanted - {content.session.id for content in shown})
    for content in shown:
        sessions.append(session_entry(content.session, content.path.relative_to(notebook.parent)))
        calls += [{**summary, "cell": outline.cells.of(activity)} for activity, summary in content.calls]
    if not sessions:
        return None
    sessions.sort(key=lambda session: str(session["started_at"]))
    order = {session["id"]: place for place, session in enumerate(sessions)}
    calls.sort(key=lambda call: order[_session_of(call)])
    return {"format": METADATA_FORMAT, "sessions": sessions, "calls": calls}


def _kept(outline: Outline, missing: Iterable[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the sessions and calls of the present index whose journals are missing."""
    ids = outline.sessions & set(missing)
    if not ids:
        return [], []
    if not _valid(json.dumps(outline.index)):
        return [], []
    sessions = [session for session in outline.index["sessions"] if session["id"] in ids]
    return sessions, [call for call in outline.index["calls"] if _session_of(call) in ids]


@lru_cache(maxsize=8)  # validation takes half a second for a thousand calls, and is needed at every save
def _valid(index: str) -> bool:
    try:
        validate_record(json.loads(index), "notebook-metadata-1")
    except SchemaError:
        return False
    return True


def _session_of(call: Mapping[str, Any]) -> str:
    return str(call["id"]).rpartition("/")[0]
