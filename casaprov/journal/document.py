"""Document of a notebook: all its sessions, read from their journals."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from casaprov.errors import JournalError
from casaprov.journal.folder import journals
from casaprov.journal.reader import SessionRecord, read_session
from casaprov.records.model import Activity, Agent, Document, Session

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
    entities = {e.id: e for record in records for e in record.entities}
    return Document(
        notebook=notebook,
        sessions=tuple(record.session for record in records),
        activities=tuple(_known(a, entities, record.damaged) for record in records for a in record.activities),
        entities=tuple(entities.values()),
        agents=_agents(record.session for record in records),
    )


def _known(activity: Activity, entities: Container[str], damaged: tuple[int, ...]) -> Activity:
    """Return the Activity without the states that stood in lines which are lost, and with a problem that says so."""
    used, generated = (
        tuple(u for u in usages if u.entity in entities) for usages in (activity.used, activity.generated)
    )
    lost = len(activity.used) + len(activity.generated) - len(used) - len(generated)
    if not damaged or not lost:
        return activity
    problem = f"Lines of the journal are lost, and with them {lost} of the states that it read or left."
    return replace(activity, used=used, generated=generated, problems=(*activity.problems, problem))


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
