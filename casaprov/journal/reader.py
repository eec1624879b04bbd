"""Reader of the journal of one session, also while it grows.

A call may have several lines; the last one replaces those before it. A line
that was written before digests were known names provisional states. A later
line of the same call names the digested states at the same paths in their place.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from casaprov.errors import JournalError, RecordError
from casaprov.journal.folder import folder_of_notebook
from casaprov.records.model import Activity, Entity, Environment, Session, Usage
from casaprov.records.serialise import structure

__all__ = ["JournalReader", "SessionRecord", "read_session"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionRecord:
    """Record of one session, as far as its journal can be read.

    Attributes
    ----------
    damaged
        Numbers of the lines that cannot be read, from 1.
    """

    session: Session
    activities: tuple[Activity, ...]
    entities: tuple[Entity, ...]
    damaged: tuple[int, ...] = ()


class JournalReader:
    """Reader of one journal that may grow; each time it reads only the new lines."""

    _inode: int
    _offset: int
    _lines: int
    _session: Session | None
    _activities: dict[str, Activity]
    _entities: dict[str, Entity]
    _digested: dict[str, str | None]
    _damaged: list[int]

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def read(self, *, whole_lines: bool = False) -> SessionRecord:
        """Return the record as it is now; lines that cannot be read are counted, not fatal.

        Parameters
        ----------
        whole_lines
            Leave a last line without a newline for the next time: it is being written.

        Raises
        ------
        JournalError
            If the file cannot be read or holds neither a session nor a call.
        """
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if (
                    facts.st_ino != self._inode or facts.st_size < self._offset
                ):  # another file took its place, or it was cut
                    self._forget()
                    self._inode = facts.st_ino
                file.seek(self._offset)
                data = file.read()
        except OSError as error:
            raise JournalError(f"The journal {self.path} cannot be read: {error.strerror or error}.") from error
        if whole_lines:
            data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        known = len(self._damaged)
        for text in data.removesuffix(b"\n").split(b"\n"):
            self._lines += 1
            if text.strip(b"\0 \t\r") and not self._take(text):
                self._damaged.append(self._lines)
        session = self._session or self._lost_session()
        if session is None:
            raise JournalError(
                f"The journal {self.path} does not begin with a session.",
                hint="It is no casaprov journal, or its start is lost.",
            )
        if self._damaged[known:]:
            _note_damage(self.path, tuple(self._damaged))
        activities = tuple(map(self._resolved, self._activities.values()))
        named = {usage.entity for activity in activities for usage in (*activity.used, *activity.generated)}
        entities = tuple(e for e in self._entities.values() if e.id in named or not e.is_undigested)
        lost = (1,) if self._session is None and not self._damaged else ()
        return SessionRecord(session, activities, entities, (*lost, *self._damaged))

    def _forget(self) -> None:
        self._inode, self._offset, self._lines = -1, 0, 0
        self._session = None
        self._activities, self._entities, self._digested, self._damaged = {}, {}, {}, []

    def _lost_session(self) -> Session | None:
        """Return the session of a journal whose first line is lost, as far as its calls tell; None if there are none."""
        first = next(iter(self._activities.values()), None)
        if first is None:
            return None
        folder = folder_of_notebook(self.path.parent)
        return Session(
            id=first.session,
            started_at=first.started_at,
            folder=folder.as_posix(),
            environment=Environment(),
            casaprov="",
            notebook=self.path.parent.name if self.path.parent.suffix == ".py" else f"{self.path.parent.name}.ipynb",
        )

    def _take(self, text: bytes) -> bool:
        """Add a line to the record; return False if it could not be read."""
        try:
            # A power cut may leave zeros in the place of what was written before it.
            line = json.loads(text.strip(b"\0"))
            match line["type"]:
                case "session":
                    self._session = structure(line["session"], Session)
                case "begin" | "end":
                    activity = structure(line["activity"], Activity)
                    self._entities.update((e.id, e) for e in structure(line["entities"], tuple[Entity, ...]))
                    self._supersede(activity)
                    self._activities[activity.id] = activity
                case "close" if self._session is not None:
                    self._session = replace(self._session, ended_at=line["ended_at"], closed=True)
                case _:
                    return False
        except (ValueError, KeyError, TypeError, RecursionError, RecordError):
            return False
        return True

    def _supersede(self, activity: Activity) -> None:
        """Map provisional states of an earlier line of this call to the digested states that replace them."""
        before = self._activities.get(activity.id)
        if before is None:
            return
        now = self._by_path(activity.used)
        for state in self._undigested(before.used):
            if state.generated_by is None and state.path in now:  # else the call that left it replaces it
                self._digested[state.id] = now[state.path]
        now |= self._by_path(activity.generated)
        for state in self._undigested(before.generated):
            if state.id != now.get(state.path):
                self._digested[state.id] = now.get(state.path)  # None: no new state, or not known which one

    def _by_path(self, usages: Iterable[Usage]) -> dict[str, str]:
        return {self._entities[usage.entity].path: usage.entity for usage in usages if usage.entity in self._entities}

    def _undigested(self, usages: Iterable[Usage]) -> list[Entity]:
        states = [self._entities[usage.entity] for usage in usages if usage.entity in self._entities]
        return [state for state in states if state.is_undigested]

    def _resolved(self, activity: Activity) -> Activity:
        """Name the digested states in the place of provisional ones that a call read."""
        if self._digested.keys().isdisjoint(usage.entity for usage in activity.used):
            return activity
        names = {usage: self._digested.get(usage.entity, usage.entity) for usage in activity.used}
        return replace(activity, used=tuple(replace(usage, entity=name) for usage, name in names.items() if name))


@cache
def _note_damage(path: Path, lines: tuple[int, ...]) -> None:
    """Log once that lines cannot be read: a command reads the same journal several times."""
    _log.warning("Lines %s of the journal %s cannot be read; the rest is used.", list(lines), path)


def read_session(path: Path, *, whole_lines: bool = False) -> SessionRecord:
    """Read one journal; see :class:`JournalReader`.

    Parameters
    ----------
    whole_lines
        As for :meth:`JournalReader.read`.

    Raises
    ------
    JournalError
        If the file cannot be read or holds neither a session nor a call.
    """
    return JournalReader(path).read(whole_lines=whole_lines)
