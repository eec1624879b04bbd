"""Present state of each path that a session knows: one Entity for each state."""

from __future__ import annotations

from collections.abc import Collection, Container
from enum import Enum, auto
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement, facts_of
from casaprov.errors import CasaprovError, Superseded
from casaprov.files.stamps import Stamps
from casaprov.processes.exempt import ExemptLock
from casaprov.recording.explanations import Background, Explanations
from casaprov.records.model import Entity, Session
from casaprov.records.wording import sentences

__all__ = ["Finding", "Measured", "PathStates", "classify_found", "is_still"]

_RECOGNISED = "It had not been digested when it was left; its files have the names, sizes and times that they had then."
_TOUCHED = "Its files were written since they were read; only samples of them show that the content is what it was."

Measured = Measurement | CasaprovError
"""Measurement of a path, or the reason why it could not be measured."""


class Finding(Enum):
    """Kinds of state that a call can find at a path (``docs/explanation/recording.md`` has the table)."""

    STILL = auto()
    """The last known state."""
    TOUCHED = auto()
    """Files that were written since, with the same samples: a gap."""
    RECOGNISED = auto()
    """A state that a call left, of this session or an earlier one, and that was not digested."""
    COPIED = auto()
    """A content that is known from another path."""
    LEFT_BY_CALLER = auto()
    """A change by the call that made this one."""
    CHANGED = auto()
    """A change by no recorded call: a gap."""
    NEW = auto()
    """A path of which nothing is known: an external input, or the remains of a call that never ended."""
    UNREADABLE = auto()
    """The same, for a path that cannot be measured."""


def classify_found(
    known: Entity | None, measured: Measured, *, stamps: Stamps, source: Entity | None, by_caller: bool
) -> Finding:
    """Decide which kind of state a call finds at a path.

    Parameters
    ----------
    known
        The last known state of the path.
    measured
        The measurement of the path.
    stamps
        Stamps of the path when the call began.
    source
        The last state with the measured content, at any path.
    by_caller
        Whether the path changed while the call ran that made this one.
    """
    if isinstance(measured, CasaprovError):
        return Finding.UNREADABLE if known is None else Finding.STILL
    if known is not None:
        if is_still(known, measured):
            return Finding.STILL
        # The samples are the same and the stamps are not. A caller's change needs no such note: it is a product of
        # the caller, whatever the samples miss.
        if known.content_digest == measured.content_digest and not by_caller:
            return Finding.TOUCHED
        if known.is_undigested and known.stamp == stamps.digest:
            return Finding.RECOGNISED
    # Before the caller is credited: a copy that its code made is described best as a copy.
    if source is not None and source is not known:
        return Finding.COPIED
    if by_caller:
        return Finding.LEFT_BY_CALLER
    return Finding.NEW if known is None else Finding.CHANGED


class PathStates:
    """Present Entity of every path that a session knows; safe for threads.

    Parameters
    ----------
    session
        The session whose states these are.
    background
        States that earlier sessions left, and facts about external inputs.
    explanations
        Says what is known of states that no call of this session left.
    """

    def __init__(self, session: Session, background: Background, explanations: Explanations) -> None:
        known = background.states
        self._session = session
        self._folder = Path(session.folder)
        self._background = background
        self._explanations = explanations
        self._current = dict(known)
        self._by_content = {e.content_digest: e for e in known.values() if e.content_digest}
        self._last_calls = {key: entity.generated_by or "" for key, entity in known.items()}
        self._lock = ExemptLock()
        self._count = 0

    def key(self, path: Path) -> str:
        """Return `path` as records write it: relative to the session's folder if below it."""
        below = path.is_relative_to(self._folder)
        return (path.relative_to(self._folder) if below else path).as_posix()

    def paths(self) -> list[str]:
        """Return all paths that have a state."""
        folder = self._folder.as_posix()
        with self._lock:
            return [key if key.startswith("/") else f"{folder}/{key}" for key in self._current]

    def at(self, path: Path) -> Entity | None:
        """Return the last known state of a path."""
        return self._current.get(self.key(path))

    def found(self, path: Path, measured: Measured, stamps: Stamps, *, by: str, caller: str | None = None) -> Entity:
        """Return the state that a call finds at `path`; :func:`classify_found` decides of which kind it is.

        Parameters
        ----------
        stamps
            Stamps of the path when the call began.
        by
            Id of the call.
        caller
            Id of the call that made this one, if the path changed while that ran.
        """
        with self._lock:
            known = self.at(path)
            last_call = self._note_call(path, by)
            source = self._by_content.get(measured.content_digest) if isinstance(measured, Measurement) else None
            finding = classify_found(known, measured, stamps=stamps, source=source, by_caller=caller is not None)
            before = known.id if known is not None else None
            facts: dict[str, Any]
            match finding:
                case Finding.STILL:
                    assert known is not None
                    return known
                case Finding.TOUCHED:
                    facts = {"revision_of": before, "gap": True, "note": _TOUCHED}
                case Finding.RECOGNISED:
                    facts = {"copy_of": before, "note": _RECOGNISED}
                case Finding.COPIED:
                    assert source is not None
                    facts = {"copy_of": source.id}
                case Finding.LEFT_BY_CALLER:
                    facts = {"generated_by": caller, "revision_of": before}
                case Finding.CHANGED:
                    assert known is not None
                    assert isinstance(measured, Measurement)
                    note = self._explanations.gap(known, measured, after=last_call, until=by)
                    facts = {"revision_of": before, "gap": True, "note": note}
                case Finding.NEW | Finding.UNREADABLE:
                    facts = self._origin(path, measured)
            return self._new(path, measured, **facts)

    def _origin(self, path: Path, measured: Measured) -> dict[str, Any]:
        """Return the facts that are known of a path without any record."""
        note = self._explanations.new_input(path, measured) if isinstance(measured, Measurement) else ""
        # What another notebook left, or the user made in a pause, is not the remains of a call that was killed.
        if not note and (remains := self._explanations.remains(path)):
            return {"gap": True, "note": remains}
        if not isinstance(measured, Measurement):
            return {}
        checksums = self._background.checksums(path) if measured.tier == "fast" else ()
        return {"locators": self._background.locate(path), "checksums": checksums, "note": note}

    def left(
        self,
        path: Path,
        measured: Measured,
        *,
        by: str,
        children: Collection[str],
        before: Entity | None,
        declared: bool,
    ) -> Entity | None:
        """Return the state that a call left at `path`; None if it did not change the content.

        Parameters
        ----------
        by
            Id of the call.
        children
            Ids of the calls that it made. A state that one of them left stays theirs.
        before
            The state that the call found there and may have changed in place.
        declared
            Whether the call is declared to write there. An undeclared file with its former content was only touched.
        """
        with self._lock:
            self._note_call(path, by)
            if isinstance(measured, Measurement):
                if before is not None and is_still(before, measured):
                    return None
                # The state may have been made since the call found the path: by a call inside this one.
                current = self.at(path)
                if current is not None and is_still(current, measured):
                    if current.generated_by == by or current.generated_by in children:
                        return current
                    if not declared:
                        return None
            return self._new(path, measured, generated_by=by, revision_of=before.id if before else None)

    def copied(self, path: Path, measured: Measured, *, by: str, results: Container[str]) -> Entity | None:
        """Return the state of a path that a task wrote and did not declare, if it is a copy; else None.

        CASA writes into tables that it only reads. A task that makes an image again may so touch the user's copy of
        it as well. And a table with two names, by links, changes under both.

        Parameters
        ----------
        by
            Id of the call.
        results
            Ids of the states that it is known to have left elsewhere.
        """
        with self._lock:
            if not isinstance(measured, Measurement):
                return None
            current, source = self.at(path), self._by_content.get(measured.content_digest)
            if source is None or source.path == self.key(path) or (current is not None and is_still(current, measured)):
                return None
            # A path with a known state counts as a copy only of a declared result of this call. A path without one
            # may be a copy of any state that was there before the call.
            if source.id not in results and (current is not None or source.generated_by == by):
                return None
            return self._new(path, measured, copy_of=source.id)

    def forget(self, path: Path) -> None:
        """Forget the state of a path where nothing is any more."""
        with self._lock:
            self._current.pop(self.key(path), None)

    # -- parts -----------------------------------------------------------------

    def _note_call(self, path: Path, call: str) -> str:
        """Note that a call read or left a path; return the last one that did before."""
        last = self._last_calls.get(self.key(path), "")
        # The later id wins: records are not finished in the order in which their calls began. Ids are compared by their
        # length first, because call 10000 comes after call 9999.
        self._last_calls[self.key(path)] = max(last, call, key=lambda id_: (len(id_), id_))
        return last

    def _new(self, path: Path, measured: Measured, **facts: Any) -> Entity:
        if isinstance(measured, Measurement):
            derived = any(facts.get(name) for name in ("generated_by", "revision_of", "copy_of"))
            facts |= facts_of(measured, derived=derived)
        else:
            note = sentences(measured.message, facts.get("note", ""))
            facts |= {"kind": "File", "content_digest": None, "size_bytes": 0, "note": note}
            if isinstance(measured, Superseded):
                facts |= {"size_bytes": measured.size_bytes, "stamp": measured.stamp}
        self._count += 1
        entity = Entity(id=f"{self._session.id}/e{self._count:04d}", path=self.key(path), **facts)
        self._current[entity.path] = entity
        if entity.content_digest and entity.copy_of is None:  # a copy of a copy names the first state
            self._by_content[entity.content_digest] = entity
        return entity


def is_still(known: Entity, measured: Measurement) -> bool:
    """Return True if a state is there as it was.

    Where only samples were read, the stamps must be the same, too: the samples may miss a change.
    """
    return (known.content_digest, known.stamp) == (measured.content_digest, measured.stamp)
