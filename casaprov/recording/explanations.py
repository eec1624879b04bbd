"""Explanations of states that no call of this session left.

A state may come from an earlier session, from a call that never ended, from another notebook or kernel, from a pause
of the recording, or from an archive. :class:`Background` holds these sources, :class:`Explanations` makes the
sentences that the record gives of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement
from casaprov.files.stamps import stamp
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.hashing import Digest
from casaprov.journal.writer import Journal
from casaprov.records.model import Activity, Checksum, Document, Entity, Locator, Tier, number_in_session
from casaprov.records.values import from_json, is_exact
from casaprov.records.wording import clock, seconds, sentences
from casaprov.tasks.specs import TaskSpec, spec_of

__all__ = ["Background", "Explanations", "OtherNotebooks", "UnfinishedCalls"]

_MAX_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class Background:
    """Sources of facts about files that a session did not record itself.

    Attributes
    ----------
    states
        Last known state of each path, from earlier sessions of the notebook.
    unfinished
        Calls of those sessions that never ended; None for none.
    others
        Journals of other notebooks and of other kernels; None for none.
    tier
        Tells how much is read of a path that no call has named yet.
    locate
        Returns the places where an external input can be found elsewhere.
    checksums
        Returns the checksums that an archive delivered with an external input.
    log
        Returns the file that CASA logs to at the moment; None for none.
    foreign
        Digests of the states of earlier sessions that no task can make again.
    keep
        Keeps what is at a path, a state that no task can make again.
    """

    states: Mapping[str, Entity] = field(default_factory=dict)
    unfinished: UnfinishedCalls | None = None
    others: OtherNotebooks | None = None
    tier: Callable[[Path], Tier] = lambda _: "full"
    locate: Callable[[Path], tuple[Locator, ...]] = lambda _: ()
    checksums: Callable[[Path], tuple[Checksum, ...]] = lambda _: ()
    log: Callable[[], Path | None] = lambda: None
    foreign: frozenset[Digest] = frozenset()
    keep: Callable[[Path, Entity], object] = lambda _path, _state: None


class Explanations:
    """Sentences about changes and files that come from no call of this session; empty where nothing is known.

    Parameters
    ----------
    journal
        Journal of the session. Its digest trees show which part of a product changed.
    background
        Sources of the explanations.
    """

    def __init__(self, journal: Journal, background: Background) -> None:
        self._journal = journal
        self._background = background
        self._tasks: dict[str, str] = {}  # of the calls of this session, by id
        self._pauses: list[_Pause] = []

    def note_call(self, activity: Activity) -> None:
        """Note a call of this session, so that sentences can name its task."""
        self._tasks[activity.id] = activity.task

    def note_pause(self, since: str, until: str, *, after_call: int) -> None:
        """Note a pause of the recording, after so many calls of the session."""
        self._pauses.append(_Pause(since, until, after_call))

    def gap(self, before: Entity, now: Measurement, *, after: str, until: str) -> str:
        """Name the changed parts of a product, and the known circumstances of the change.

        Parameters
        ----------
        before
            The last known state.
        now
            The content that was found instead.
        after
            Id of the last call that read or left `before`; empty if only an earlier session knew it.
        until
            Id of the call that found the change.
        """
        changed = _changed_parts(before, self._journal.read_tree(before.content_digest), now)
        text = (
            f"Something that is no recorded call changed {changed} between {self._name(after)} and {self._name(until)}."
        )
        in_this_session = after in self._tasks
        # An unfinished call is one of an earlier session: it began before any call of this one.
        unfinished = (
            "" if in_this_session else self._unfinished(Path(self._journal.session.folder) / before.path, before)
        )
        since_call = number_in_session(after) if in_this_session else 0
        pauses = [str(pause) for pause in self._pauses if pause.after_call >= since_call]
        paused = f"Recording was paused {' and '.join(pauses)}." if pauses else ""
        return sentences(text, self._other_call(now, Path(before.path)), unfinished, paused)

    def new_input(self, path: Path, now: Measurement) -> str:
        """Name the origin of a file that no call here left: another notebook, or a pause of the recording."""
        paused = ""
        changed_s = stamp(path).newest_ns / 1e9 if self._pauses else 0
        for pause in self._pauses:
            if seconds(pause.since) <= changed_s <= seconds(pause.until):
                paused = f"It was made or changed while recording was paused, {pause}."
                break
        return sentences(self._other_call(now, path), paused)

    def remains(self, path: Path) -> str:
        """Say which call that never ended may have left a file of which no record tells."""
        return self._unfinished(path, None)

    # -- parts -----------------------------------------------------------------

    def _unfinished(self, path: Path, known: Entity | None) -> str:
        calls = self._background.unfinished
        return calls.describe(path, known) if calls is not None else ""

    def _other_call(self, now: Measurement, path: Path) -> str:
        others = self._background.others
        return others.describe(now.content_digest, path.name) if others is not None else ""

    def _name(self, call: str) -> str:
        """Name a call by its id, as the log of the session does."""
        if not call:
            return "an earlier session"
        task = f"({self._tasks[call]})" if call in self._tasks else "of an earlier session"
        return f"call {number_in_session(call):04d} {task}"


@dataclass(frozen=True)
class _Pause:
    since: str
    until: str
    after_call: int

    def __str__(self) -> str:
        return f"from {clock(self.since)} to {clock(self.until)}"


def _changed_parts(before: Entity, tree: Mapping[str, Any] | None, now: Measurement) -> str:
    """Name the parts of a product that changed, as far as its digest tree tells."""
    from casaprov.comparison.verdict import Tolerance
    from casaprov.comparison.with_record import compare_trees  # rarely needed, and slow for the start of a kernel

    compared = compare_trees(tree, before.content_digest, before.byte_digest, now, Tolerance())
    names = [name for name in dict.fromkeys(difference.path for difference in compared.differences) if name]
    named = ", ".join(names[:_MAX_NAMED]) or "its content"
    return f"{named} and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else named


class UnfinishedCalls:
    """Calls of a Document that began and never ended.

    Their kernel was killed: no record says what they had written by then.

    Parameters
    ----------
    folders
        Folder that relative paths of the records start from, by session id.
    specs
        TaskSpec by task name. Where calls of other functions write is not known.
    """

    def __init__(self, document: Document, folders: Mapping[str, Path], specs: Mapping[str, TaskSpec]) -> None:
        self._document = document
        self._folders = folders
        self._calls = [
            (activity, spec)
            for activity in document.activities
            if activity.outcome == "unfinished" and (spec := spec_of(specs, activity.package, activity.task))
        ]

    def describe(self, path: Path, known: Entity | None = None) -> str:
        """Name the call that may have left the files at `path`; empty if none may.

        It is the last one that writes there and began before the file was last changed.

        Parameters
        ----------
        known
            The last known state of the path. A call that began before another one read or left that state is not
            the one.
        """
        if not self._calls:
            return ""
        since = max(self._beginnings(known), default="") if known is not None else ""
        for activity, spec in reversed(self._calls):
            if activity.started_at < since:
                break
            with suppress(ValueError, OSError):  # a time that is none, a folder that may not be looked into
                if self._writes(activity, spec, path):
                    began = clock(activity.started_at)
                    return f"{activity.task}, which began at {began} and had not ended, writes there."
        return ""

    def _beginnings(self, known: Entity) -> Iterator[str]:
        """Yield the times at which the calls began that ended and read or left a state."""
        for activity in self._document.activities:
            if activity.outcome != "unfinished" and any(
                usage.entity == known.id for usage in (*activity.used, *activity.generated)
            ):
                yield activity.started_at

    def _writes(self, activity: Activity, spec: TaskSpec, path: Path) -> bool:
        parameters = {name: from_json(value) for name, value in activity.parameters.items() if is_exact(value)}
        folder = self._folders[activity.session] / activity.cwd
        uses = (*spec.inputs(parameters, folder), *spec.outputs(parameters, folder))
        # File times lag behind the clock by up to one step of the file system.
        began_ns = int(seconds(activity.started_at) * 1e9) - LONGEST_NS
        return any(use.path == path and use.role != "used" for use in uses) and stamp(path).newest_ns >= began_ns


class OtherNotebooks:
    """Journals of other notebooks in the same folder, and of other sessions of this one.

    Parameters
    ----------
    folder
        Journal folder of this notebook.
    session
        Id of the session that asks.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self._folder = folder
        self._session = session

    def describe(self, digest: Digest | None, name: str) -> str:
        """Name the last call of another session that left a content; empty if none did.

        A call that left it under this name is preferred; else the other name is part of the sentence. Empty files
        are all alike and explain nothing.
        """
        elsewhere = ""
        if digest is None:
            return elsewhere
        for is_own, data in self._journals_with(digest):
            with suppress(KeyError, TypeError, AttributeError):  # the user of that notebook is told that it is damaged
                for path, call in _calls_that_left(digest, data, "another session of this notebook" if is_own else ""):
                    if Path(path).name == name:
                        return f"{call} left it."
                    elsewhere = elsewhere or f"{call} left the same content at {path}."
        return elsewhere

    def _journals_with(self, digest: Digest) -> Iterator[tuple[bool, bytes]]:
        """Yield the journals that contain a digest, the youngest first, and whether they are of this notebook.

        A search for bytes spares parsing most of them. A journal of this notebook may also lie in the folder of a
        former name: the file in its own folder counts.
        """
        with suppress(OSError):
            found = {path.name: path for path in self._folder.parent.glob("*/*.jsonl")}
            found |= {path.name: path for path in self._folder.glob("*.jsonl")}
            found.pop(f"{self._session}.jsonl", None)
            for _, path in sorted(found.items(), reverse=True):
                with suppress(OSError):
                    if digest.encode() in (data := path.read_bytes()):
                        yield path.parent == self._folder, data


def _calls_that_left(digest: Digest, data: bytes, notebook: str) -> list[tuple[str, str]]:
    """Return the paths at which calls of a journal left a content, the last first, and a name of each call."""
    lines = data.splitlines()
    parsed = [_parsed(line) for line in lines if digest.encode() in line]
    notebook = notebook or _parsed(lines[0]).get("session", {}).get("notebook") or "another notebook"
    calls = {line["activity"]["id"]: line["activity"] for line in parsed if "activity" in line}
    states = [state for line in parsed for state in line.get("entities", ()) if state.get("content_digest") == digest]
    return [
        (state["path"], f"{call['task']} of {notebook}, which began at {clock(call['started_at'])},")
        for state in reversed(states)
        if (call := calls.get(state.get("generated_by"))) and state["size_bytes"]
    ]


def _parsed(line: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}
