"""Authors of changes that no call declares: the call itself, another one, another notebook, or one cannot tell.

A product of a call is a thing that this call made. What it declares is its own. Of other changes in the working folder,
those by threads of this process are its own if no other call ran at the same time. Changes by other processes are its own
only if it started one of these before. What another call of the session left, a call of a neighbouring notebook declares or
left, or another user owns, is theirs. The rest is recorded as observed
(:attr:`casaprov.records.model.Activity.observed`).
"""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from casaprov.files.folder_view import Change
from casaprov.files.stamps import stamp
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.journal.folder import session_id
from casaprov.journal.writer import Journal
from casaprov.processes.starts import count_starts, starts_since
from casaprov.recording.open_call import Author, OpenCall
from casaprov.records.model import Activity
from casaprov.records.serialise import structure
from casaprov.records.values import from_json, is_exact
from casaprov.records.wording import seconds
from casaprov.tasks.specs import TaskSpec, spec_of

__all__ = ["Attribution"]

_TAIL_BYTES = 2**19  # of a journal, in which the calls that are under way stand
_LONGEST_S = 86400  # journals that were written to before that have no call under way
_CLOCKS_S = 0.01  # records round their times
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class _Beginning(NamedTuple):
    """Facts about this process when a call began.

    Attributes
    ----------
    starts
        How many starts of processes Python had reported.
    ended_children
        A number that grows with each child that has ended.
    at_ns, since_boot_s
        The time since 1970, and that since boot.
    """

    starts: int
    ended_children: int
    at_ns: int
    since_boot_s: float

    @classmethod
    def now(cls) -> _Beginning:
        return cls(count_starts(), _ended_children(), time.time_ns(), _since_boot_s())

    def first_child_ns(self) -> int | None:
        """Return the time at which the call may have started its first process; None if it started none."""
        # In any thread: IPython runs the programs of a cell in a thread that is there all the time.
        if starts := starts_since(self.starts):
            return starts[0]
        # Libraries may start processes that Python does not report.
        was_born = any(born_s >= self.since_boot_s - _TICK_S for born_s in _births_of_children())
        return self.at_ns if was_born or _ended_children() != self.ended_children else None


class Attribution:
    """Decides who made a change; safe for threads.

    Parameters
    ----------
    journal
        Journal of the session; those of other notebooks lie beside it.
    specs
        TaskSpec by task name.
    """

    def __init__(self, journal: Journal, specs: Mapping[str, TaskSpec]) -> None:
        self._journal = journal
        self._specs = specs
        self._lock = threading.Lock()
        self._under_way: dict[str, OpenCall] = {}
        self._beginnings: dict[str, _Beginning] = {}

    def note_begin(self, open_call: OpenCall) -> None:
        """Take in the beginning of a call."""
        with self._lock:
            self._under_way[open_call.activity.id] = open_call
            self._beginnings[open_call.activity.id] = _Beginning.now()

    def note_end(self, open_call: OpenCall, written: Iterable[Path]) -> None:
        """Take in the end of a call, with the paths of its products."""
        with self._lock:
            self._under_way.pop(open_call.activity.id, None)
            self._beginnings.pop(open_call.activity.id, None)
            for other in self._beside(open_call):
                other.progress.overlaps = open_call.progress.overlaps = True
                other.progress.left_by_others.update(written)

    def of(self, open_call: OpenCall) -> Callable[[Path, Change], Author]:
        """Return a function for the author of a change during a call."""
        with self._lock:
            beside = self._beside(open_call)
            if beside:
                open_call.progress.overlaps = True
            beginning = self._beginnings.get(open_call.activity.id) or _Beginning.now()
        return _Judgement(self._journal, self._specs, open_call, beside, beginning).author

    def _beside(self, open_call: OpenCall) -> list[OpenCall]:
        """Return the calls under way beside a call: neither is part of the other."""
        own = open_call.activity
        return [
            other
            for other in self._under_way.values()
            if other is not open_call
            and own.id not in other.progress.children
            and other.activity.id not in open_call.progress.children
        ]


class _Judgement:
    """Facts about one call that has ended, each found when the first change needs it."""

    def __init__(
        self,
        journal: Journal,
        specs: Mapping[str, TaskSpec],
        open_call: OpenCall,
        beside: list[OpenCall],
        beginning: _Beginning,
    ) -> None:
        self._journal = journal
        self._specs = specs
        self._call = open_call
        self._beside = beside
        self._beginning = beginning

    def author(self, path: Path, change: Change) -> Author:
        """Return the author of a change."""
        overlaps = self._call.progress.overlaps
        if (overlaps or self._beside) and _is_in(path, self._of_other_calls):
            return "other"
        if change.by_this and not change.by_other:
            return "unknown" if overlaps else "call"
        if _is_in(path, self._of_neighbours):
            return "other"
        if change.by_other:
            if _is_anothers(path):
                return "other"
            return "unknown" if overlaps or not self._may_be_of_a_child(path) else "call"
        # The system reports no changes here: it is the call's if nothing else is known to have been at work.
        return "unknown" if overlaps or self._neighbours else "call"

    @cached_property
    def _of_other_calls(self) -> set[Path]:
        found = set(self._call.progress.left_by_others)
        for other in self._beside:
            found |= _declared(other.files, other.call.parameters, other.call.cwd) if other.files else set()
        return set(map(self._call.names.below, found))

    def _may_be_of_a_child(self, path: Path) -> bool:
        """Return True if the call started a process before a path was changed for the last time."""
        first_ns = self._first_child_ns
        # File times lag behind the clock by up to one step of the file system.
        return first_ns is not None and (not path.exists() or stamp(path).newest_ns >= first_ns - LONGEST_NS)

    @cached_property
    def _first_child_ns(self) -> int | None:
        return self._beginning.first_child_ns()

    @cached_property
    def _neighbours(self) -> list[tuple[Activity, set[Path], str]]:
        """Calls of other sessions beside this one that ran at the same time."""
        # Race: a call that ended between the look at the folder and the beginning of this one counts.
        return list(_neighbours(self._journal, self._call.before.taken_ns / 1e9 - _CLOCKS_S))

    @cached_property
    def _of_neighbours(self) -> set[Path]:
        found: set[Path] = set()
        for activity, left, folder in self._neighbours:
            cwd = Path(folder) / activity.cwd
            found |= left
            found.update(Path(folder) / path for path in activity.deleted)
            if (spec := spec_of(self._specs, activity.package, activity.task)) is not None:
                parameters = {name: from_json(value) for name, value in activity.parameters.items() if is_exact(value)}
                with suppress(ValueError, OSError):
                    found |= _declared(spec, parameters, cwd)
        return set(map(self._call.names.below, found))


def _declared(files: Any, parameters: Mapping[str, Any], cwd: Path) -> set[Path]:
    """Return the existing paths that a call is declared to write."""
    uses = (*files.inputs(parameters, cwd), *files.outputs(parameters, cwd))
    return {use.path for use in uses if use.role != "used"}


def _is_in(path: Path, places: set[Path]) -> bool:
    return path in places or not places.isdisjoint(path.parents)


def _is_anothers(path: Path) -> bool:
    """Return True if a file belongs to another user."""
    try:
        return path.lstat().st_uid != os.geteuid()
    except OSError:
        return False


def _neighbours(journal: Journal, since_s: float) -> Iterator[tuple[Activity, set[Path], str]]:
    for path in journal.folder.parent.glob("*/*.jsonl"):
        if session_id(path) == journal.session.id:
            continue
        with suppress(OSError):
            if path.stat().st_mtime > time.time() - _LONGEST_S:
                yield from _calls_since(path, since_s)


def _calls_since(path: Path, since_s: float) -> Iterator[tuple[Activity, set[Path], str]]:
    """Yield the calls of a journal that had not ended at a time, each with its results and the folder of the session."""
    with path.open("rb") as file:
        first = file.readline(_TAIL_BYTES)
        file.seek(max(file.tell(), file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().splitlines()
    folder, is_closed = str(path.parent.parent.parent), False
    calls: dict[str, Activity] = {}
    left: dict[str, set[Path]] = {}
    for text in (first, *lines):
        with suppress(Exception):  # a line that is being written, or damaged
            line = json.loads(text)
            if line["type"] == "session":
                folder = line["session"]["folder"]
            elif line["type"] == "close":
                is_closed = True
            elif line["type"] in ("begin", "end"):
                calls[line["activity"]["id"]] = structure(line["activity"], Activity)
                for entity in line["entities"]:
                    left.setdefault(entity.get("generated_by"), set()).add(Path(folder, entity["path"]))
    for activity in calls.values():
        under_way = activity.ended_at is None and not is_closed
        if under_way or (activity.ended_at is not None and seconds(activity.ended_at) >= since_s):
            yield activity, left.get(activity.id, set()), folder


def _ended_children() -> int:
    """Return a number that grows with each child of this process that has ended and was waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_minflt + used.ru_nvcsw


def _since_boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _births_of_children() -> Iterator[float]:
    """Yield when each living child of this process was born, in seconds since boot, casaprov's own left out."""
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            for number in children.read_text().split():
                with suppress(OSError, ValueError, IndexError):
                    process = Path("/proc", number)
                    if b"casaprov" not in (process / "cmdline").read_bytes():
                        facts = (process / "stat").read_text().rpartition(")")[2].split()
                        yield int(facts[19]) * _TICK_S
