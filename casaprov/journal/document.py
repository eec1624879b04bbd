"""Document of a notebook: all its sessions, read from their journals."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from casaprov.errors import JournalError
from casaprov.journal.folder import journals
from casaprov.journal.reader import SessionRecord, read_session
from casaprov.records.model import Agent, Document, Session

_log = logging.getLogger(__name__)

__all__ = ["read_document"]


def read_document(folder: Path, notebook: str, *, whole_lines: bool = False) -> Document:
    """Read all sessions of a journal folder, oldest first, as one Document.

    Parameters
    ----------
    whole_lines
        Ignore a last line without a newline: it is being written.

    Raises
    ------
    JournalError
        If there is no journal in `folder`, or none that can be read.
    """
    records: list[SessionRecord] = []
    failures: list[JournalError] = []
    for path in journals(folder):
        try:
            records.append(read_session(path, whole_lines=whole_lines))
        except JournalError as error:
            failures.append(error)
            _note_failure(str(error))
    if not records:
        if failures:
            raise failures[0]
        raise JournalError(
            f"There is no record of {notebook} in {folder}.",
            hint="Run the notebook with '%load_ext casaprov' in its first cell, or with 'casaprov run'.",
        )
    records.sort(key=lambda record: record.session.started_at)
    return Document(
        notebook=notebook,
        sessions=tuple(record.session for record in records),
        activities=tuple(activity for record in records for activity in record.activities),
        entities=tuple({e.id: e for record in records for e in record.entities}.values()),
        agents=_agents(record.session for record in records),
    )


@cache
def _note_failure(message: str) -> None:
    """Log once that a journal is left out: a command reads the same journal several times."""
    _log.warning("%s", message)


def _agents(sessions: Iterable[Session]) -> tuple[Agent, ...]:
    """Return the software of all sessions, one Agent per name and version."""
    agents: dict[str, Agent] = {}
    for session in sessions:
        for name, version, url in (
            ("casaprov", session.casaprov, ""),
            ("casatasks", session.environment.casatasks, "https://casa.nrao.edu/"),
        ):
            if version:
                agent = Agent(id=f"{name}-{version}", type="SoftwareAgent", name=name, version=version, url=url)
                agents[agent.id] = agent
    return tuple(agents.values())
