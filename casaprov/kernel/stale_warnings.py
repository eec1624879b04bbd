"""Warnings below a cell whose calls used a stale product, after cells were run again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from casaprov.errors import CasaprovError
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, journals, session_id, tree_path
from casaprov.kernel.page import Line
from casaprov.lineage.graph import Lineage
from casaprov.processes.exempt import ExemptLock
from casaprov.records.model import Activity, Document, Entity

__all__ = ["StaleWarnings"]

_log = logging.getLogger(__name__)


class StaleWarnings:
    """Remembers the calls of a notebook as they are recorded; safe for threads.

    Parameters
    ----------
    notebook
        Returns the path of the notebook. The order of cells comes from the saved file, if there is one, and the calls
        of earlier sessions from its journal.

    Attributes
    ----------
    again
        True if a cell ran more than once; before that nothing can be stale.
    """

    def __init__(self, notebook: Callable[[], Path]) -> None:
        self._notebook = notebook
        self._activities: dict[str, Activity] = {}
        self._entities: dict[str, Entity] = {}
        self._new: list[str] = []  # ids of the calls since the last warnings
        self._executions: dict[str, set[object]] = {}  # by cell
        self._knows_earlier = False
        self._lock = ExemptLock()
        self.again = False

    def note_end(self, activity: Activity) -> None:
        """Take note of the end of a call, whose inputs and products need not be known yet."""
        try:
            with self._lock:
                if not self._knows_earlier:
                    self._knows_earlier = True
                    self._read_earlier(activity.session)
                self._count(activity)
        except Exception:  # noqa: BLE001 - a warning is not worth a record
            _log.info("%s is not watched for staleness", activity.task, exc_info=True)

    def note_record(self, activity: Activity, entities: Iterable[Entity]) -> None:
        """Take note of the finished record of a call."""
        try:
            with self._lock:
                self._add(activity, entities)
                self._new.append(activity.id)
        except Exception:  # noqa: BLE001 - a warning is not worth a record
            _log.info("%s is not watched for staleness", activity.task, exc_info=True)

    def take(self) -> list[Line]:
        """Return a warning for each stale product that a call used since the last time."""
        try:
            return self._warnings()
        except Exception:  # noqa: BLE001 - a warning is not worth a cell
            _log.info("staleness is not known", exc_info=True)
            return []

    def _warnings(self) -> list[Line]:
        with self._lock:
            new, self._new = self._new, []
            if not new or not self.again:  # in a notebook that is run once from top to bottom nothing is stale
                return []
            calls, entities = list(self._activities.values()), tuple(self._entities.values())
        from casaprov.kernel.order import cell_order, continued_notes, used_stale  # not needed by most
        from casaprov.notebook.subject import relevance

        calls.sort(key=lambda a: a.started_at)
        document = Document(notebook=self._notebook().name, activities=tuple(calls), entities=entities)
        order, lineage, journal = (
            cell_order(document, self._notebook()),
            Lineage(document),
            journal_folder(self._notebook()),
        )
        relevant = relevance(lambda digest: tree_path(journal, digest))
        continued = continued_notes(lineage, order, frozenset(new), relevant)
        stale = used_stale(lineage, order, new, relevant)
        return [
            *(Line(note, "⚠️ Continued:") for note in continued),
            *(Line(f"{note} %casaprov status lists all.", "⚠️ Stale:") for note in stale),
        ]

    def _read_earlier(self, session: str) -> None:
        """Read the calls of all sessions of the notebook but `session`."""
        if all(session_id(path) == session for path in journals(journal_folder(self._notebook()))):
            return
        try:
            document = read_document(journal_folder(self._notebook()), self._notebook().name)
        except CasaprovError:
            return
        entities = {entity.id: entity for entity in document.entities}
        for activity in document.activities:
            if activity.session != session:
                named = (usage.entity for usage in (*activity.used, *activity.generated))
                self._add(activity, [entities[name] for name in named if name in entities])
        # States that no call names, but that lead from one named state to another.
        for entity in document.entities:
            if entity.session != session:
                self._entities.setdefault(entity.id, entity)

    def _add(self, activity: Activity, entities: Iterable[Entity]) -> None:
        self._activities[activity.id] = activity
        self._entities.update((entity.id, entity) for entity in entities)
        self._count(activity)

    def _count(self, activity: Activity) -> None:
        if activity.step is not None:
            cell = activity.step.cell_id or activity.step.source_digest
            execution = self._executions.setdefault(cell, set())
            execution.add((activity.session, activity.step.execution_count))
            self.again = self.again or len(execution) > 1
