"""Which sessions a notebook that is being saved shows, and the index of them.

Nothing is added to a notebook unless its own outputs or cells show that it was
recorded: journals of another notebook that had the same name do not count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from casaprov.errors import SchemaError
from casaprov.journal.folder import journal_folder, journals
from casaprov.notebook.index import METADATA_FORMAT, NotebookCells, indexed_sessions, session_entry
from casaprov.notebook.journals import Journals, find_session
from casaprov.records.schema import validate_record

__all__ = ["Outline", "lift"]


@dataclass(frozen=True)
class Outline:
    """What the index of a notebook depends on, small and free of its outputs."""

    cells: NotebookCells
    sessions: frozenset[str]
    index: Any

    @classmethod
    def of(cls, notebook: Mapping[str, Any]) -> Outline:
        """Take it from the JSON values of a notebook."""
        metadata = notebook.get("metadata")
        index = metadata.get("casaprov") if isinstance(metadata, dict) else None
        return cls(NotebookCells(notebook), indexed_sessions(notebook), index)

    @property
    def foreign(self) -> bool:
        """Whether the metadata were written by a newer casaprov, or somebody else; they are not to be touched."""
        return self.index is not None and (
            not isinstance(self.index, dict) or self.index.get("format") != METADATA_FORMAT
        )


def lift(outline: Outline, notebook: Path, following: Journals) -> dict[str, Any] | None:
    """Return the index that the notebook at `notebook` should carry; None to leave its metadata as they are.

    Sessions whose journal is not there, as in a copy elsewhere, keep what the
    metadata say of them, if that is valid.
    """
    wanted = outline.cells.sessions or outline.sessions
    shown = following.read(path for path in (find_session(notebook, session) for session in wanted) if path)
    if not outline.cells.sessions:  # cleared: what its cells made is still its own
        known = {followed.session.id for followed in shown}
        rest = following.read(path for path in journals(journal_folder(notebook)) if path.stem not in known)
        mine = [f for f in rest if any(outline.cells.made(activity) for activity, _ in f.calls)]
        shown = sorted((*shown, *mine), key=lambda followed: followed.session.started_at)
    sessions, calls = _kept(outline, wanted - {followed.session.id for followed in shown})
    for followed in shown:
        sessions.append(session_entry(followed.session, followed.path.relative_to(notebook.parent)))
        calls += [{**summary, "cell": outline.cells.of(activity)} for activity, summary in followed.calls]
    if not sessions:
        return None
    sessions.sort(key=lambda session: str(session["started_at"]))
    order = {session["id"]: place for place, session in enumerate(sessions)}
    calls.sort(key=lambda call: order[_session_of(call)])
    return {"format": METADATA_FORMAT, "sessions": sessions, "calls": calls}


def _kept(outline: Outline, missing: Iterable[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sessions and calls of the present index whose journals are missing."""
    ids = outline.sessions & set(missing)
    if not ids:
        return [], []
    if not _valid(json.dumps(outline.index)):
        return [], []
    sessions = [session for session in outline.index["sessions"] if session["id"] in ids]
    return sessions, [call for call in outline.index["calls"] if _session_of(call) in ids]


@lru_cache(maxsize=8)  # half a second for a thousand calls, at every save
def _valid(index: str) -> bool:
    try:
        validate_record(json.loads(index), "notebook-metadata-1")
    except SchemaError:
        return False
    return True


def _session_of(call: Mapping[str, Any]) -> str:
    return str(call["id"]).rpartition("/")[0]
