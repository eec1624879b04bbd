"""A run as it is compared: its calls, each with the states that it and its inner calls used and left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from casaprov.errors import DigestError, UsageError
from casaprov.files.regular import digest_file
from casaprov.hashing import Digest
from casaprov.lineage.graph import Lineage
from casaprov.lineage.whole_calls import State, outermost, whole_calls
from casaprov.records.model import Activity, Document, Entity, Environment, Session
from casaprov.records.wording import clock

__all__ = ["Call", "Run", "located", "present_file", "runs_of", "session_run"]


@dataclass(frozen=True)
class Call:
    """A call of a run, with its inner calls.

    Attributes
    ----------
    place
        Its place among the calls of the run, from 0.
    number
        Its number in the record, from 1.
    parameters
        Final values, with paths below the folder of the session made relative to it.
    used, left
        States that it used and that none of its own inner calls left; last states of the paths that it left.
    """

    place: int
    number: int
    activity: Activity
    parameters: dict[str, Any]
    used: tuple[State, ...]
    left: tuple[State, ...]


@dataclass(frozen=True)
class Run:
    """A record, and the files beside it.

    Attributes
    ----------
    name
        What users call it.
    tree
        Returns the file with the digest tree of a content; it may not be there.
    file
        Returns the file of a state, if it still has that content and can be read; None for most.
    """

    name: str
    document: Document
    tree: Callable[[Digest], Path]
    file: Callable[[Entity], Path | None] = field(default=lambda _: None)

    @cached_property
    def lineage(self) -> Lineage:
        """The graph of the record."""
        return Lineage(self.document)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """The calls that users made, in the order in which they began."""
        numbers, folders = self.document.call_numbers, {s.id: s.folder for s in self.document.sessions}
        return tuple(
            Call(
                place=place,
                number=numbers[whole.activity.id],
                activity=whole.activity,
                parameters={
                    name: located(value, folders.get(whole.activity.session, ""))
                    for name, value in whole.activity.parameters.items()
                },
                used=whole.used,
                left=whole.left,
            )
            for place, whole in enumerate(whole_calls(self.lineage))
        )

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of the call that users made, by the id of an Activity: itself, or an inner call of it."""
        of_outer = {call.activity.id: call.place for call in self.calls}
        return {a.id: of_outer[outermost(self.lineage, a).id] for a in self.document.activities}

    def maker(self, entity: Entity) -> int | None:
        """Return the place of the call that a state came from; None for a state without a recorded call."""
        maker = self.lineage.maker(entity)
        return self.places[maker.id] if maker is not None else None

    def environment(self, call: Call) -> Environment | None:
        """Return the environment of a call."""
        return next((s.environment for s in self.document.sessions if s.id == call.activity.session), None)


def located(value: Any, folder: str) -> Any:
    """Return a parameter's value with paths in a folder made relative to it."""
    match value:
        case str() if folder and value == folder:
            return "."
        case str() if folder and value.startswith(f"{folder.rstrip('/')}/"):
            return value[len(folder.rstrip("/")) + 1 :]
        case list():
            return [located(member, folder) for member in value]
        case dict():
            return {key: located(member, folder) for key, member in value.items()}
        case _:
            return value


def present_file(entity: Entity, place: Path | None) -> Path | None:
    """Return the file of a state if it is still there with the recorded bytes; else None."""
    if place is None or entity.byte_digest is None:
        return None
    try:
        if place.is_file() and place.stat().st_size == entity.size_bytes and digest_file(place) == entity.byte_digest:
            return place
    except (OSError, DigestError):
        pass
    return None


def runs_of(document: Document) -> tuple[Session, ...]:
    """Return the sessions that made calls, oldest first."""
    made = {activity.session for activity in document.activities}
    return tuple(session for session in document.sessions if session.id in made)


def session_run(run: Run, word: str) -> Run:
    """Return the part of a record that one session made.

    Parameters
    ----------
    word
        Id of the session or the end of it, its number from 1, or from the last one: -1.

    Raises
    ------
    UsageError
        If there is no such session.
    """
    sessions = runs_of(run.document)
    found = [session for session in sessions if word and session.id.endswith(word)]
    if word.lstrip("-").isdecimal() and len(word) < 4:
        number = int(word)
        found = [*sessions[number - 1 : number]] if number > 0 else [*sessions[number:]][:1] if number < 0 else []
        if number < -len(sessions):
            found = []
    if len(found) != 1:
        listed = ", ".join(f"{n}: {s.id} ({clock(s.started_at)})" for n, s in enumerate(sessions, start=1))
        problem = "names several sessions" if found else "is none of its sessions"
        raise UsageError(f"{run.name}: {word!r} {problem}.", hint=f"It has {listed or 'none with a call'}.")
    session = found[0]
    name = f"{run.name}, session {session.id[-6:]} of {clock(session.started_at)}"
    return Run(name, run.lineage.only({session.id}), run.tree, run.file)
