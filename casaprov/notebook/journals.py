"""Journals as they grow: read once, then only their new lines, with the short forms of calls kept."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.errors import JournalError
from casaprov.journal.folder import journal_folder
from casaprov.journal.reader import JournalReader
from casaprov.notebook.bundle import call_summary
from casaprov.records.model import Activity, Session

__all__ = ["JournalContent", "Journals", "find_session"]

_log = logging.getLogger(__name__)

_MAX_JOURNALS = 200
"""Most journals that are kept in memory."""


@dataclass(frozen=True)
class JournalContent:
    """The content of a journal: its session, and each call with its short form."""

    path: Path
    session: Session
    calls: tuple[tuple[Activity, dict[str, Any]], ...]


class Journals:
    """Journals that were read, kept in memory; for one thread."""

    def __init__(self) -> None:
        self._readers: dict[Path, JournalReader] = {}
        self._summaries: dict[Path, dict[str, tuple[Activity, dict[str, Any]]]] = {}

    def read(self, paths: Iterable[Path]) -> list[JournalContent]:
        """Return the present content of journals, oldest session first, without those that cannot be read."""
        found = []
        for path in dict.fromkeys(paths):
            try:
                found.append(self._read(path))
            except JournalError as error:
                _log.info("%s", error)
        return sorted(found, key=lambda content: content.session.started_at)

    def _read(self, path: Path) -> JournalContent:
        reader = self._readers.pop(path, None) or JournalReader(path)
        record = reader.read(whole_lines=True)
        known = self._summaries.pop(path, {})
        by_id = {entity.id: entity for entity in record.entities}
        calls = {}
        for activity in record.activities:
            before = known.get(activity.id)
            if before is not None and before[0] is activity:
                calls[activity.id] = before
            else:
                touched = [by_id[u.entity] for u in (*activity.used, *activity.generated) if u.entity in by_id]
                calls[activity.id] = (activity, call_summary(activity, touched))
        self._readers[path], self._summaries[path] = reader, calls
        for old in list(self._readers)[:-_MAX_JOURNALS]:  # those that were read longest ago
            del self._readers[old], self._summaries[old]
        return JournalContent(path, record.session, tuple(calls.values()))


def find_session(notebook: Path, session: str, *, elsewhere: bool = False) -> Path | None:
    """Return the journal of a session of `notebook`, which may have had another name; None if there is none.

    A session may have several journals: a renamed notebook gets a copy while its kernel goes on with the first. The
    longest one is complete.

    Parameters
    ----------
    elsewhere
        Return only a journal in the folder of another name, which is as long as the one in the notebook's own.
    """
    if Path(session).name != session:  # the id comes from a notebook, which a stranger may have written
        return None
    named = journal_folder(notebook)
    try:
        folders = [named, *sorted(path for path in named.parent.iterdir() if path != named)]
    except OSError:
        return None
    sizes = {}
    for folder in folders:
        try:
            sizes[folder / f"{session}.jsonl"] = (folder / f"{session}.jsonl").stat().st_size
        except (OSError, ValueError):
            continue
    if elsewhere:
        own_bytes = sizes.pop(named / f"{session}.jsonl", 0)
        sizes = {path: size for path, size in sizes.items() if size >= own_bytes}
    return max(sizes, key=lambda path: sizes[path]) if sizes else None
