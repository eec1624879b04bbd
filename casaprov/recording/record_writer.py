"""Finishing a record: what a call found and left becomes Entities once it is measured."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Container, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from casaprov.digests.measurement import Measurement
from casaprov.errors import CasaprovError, DigestError, JournalError
from casaprov.files.stamps import Stamps, stamp
from casaprov.journal.writer import Journal
from casaprov.processes.exempt import ExemptLock
from casaprov.recording.gaps import CallElsewhere, Pauses, UnfinishedCall, describe_gap
from casaprov.recording.open_call import Changes, OpenCall, changed_within
from casaprov.recording.path_states import Measured, PathStates, is_still
from casaprov.records.model import UNDIGESTED, Activity, Checksum, Entity, Locator, Tier, Usage
from casaprov.records.wording import sentences
from casaprov.tasks.calls import error_text
from casaprov.tasks.specs import FileUse, TaskSpec

__all__ = ["Ended", "RecordWriter", "Recorded"]

Recorded = tuple[Activity, tuple[Entity, ...]]
"""A finished record: the Activity, and the Entities it names."""


@dataclass(frozen=True)
class Ended:
    """A call that has ended: its Activity, as far as it is known, and what is being measured.

    Attributes
    ----------
    parents
        The calls that it is part of, the outermost first.
    pending
        What it wrote.
    awaited
        Stamps of what is measured while other code runs: if they change before, it is not what the call left.
    """

    opened: OpenCall
    activity: Activity
    parents: tuple[OpenCall, ...]
    left: Changes
    pending: Mapping[Path, Future[Measurement]]
    awaited: Mapping[Path, Stamps]


class RecordWriter:
    """Finishes the records of one session, in the order in which its calls ended.

    Parameters
    ----------
    journal
        Where records go; also names the session.
    states
        Last known Entity of each path, from earlier sessions of the notebook.
    locate, checksums, unfinished, elsewhere
        As for :class:`casaprov.recorder.Recorder`.
    may_be_touched
        Tells whether a later call reads a path that is still being measured: CASA touches what it reads.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        states: Mapping[str, Entity],
        locate: Callable[[Path], tuple[Locator, ...]],
        checksums: Callable[[Path], tuple[Checksum, ...]],
        unfinished: UnfinishedCall,
        elsewhere: CallElsewhere,
        may_be_touched: Callable[[Path], bool],
    ) -> None:
        self._journal = journal
        self.pauses = Pauses()
        told = (self._describe_gap, checksums, self._describe_new, lambda path: unfinished(path, None))
        self._states = PathStates(journal.session, states, locate, *told)
        self._unfinished = unfinished
        self._elsewhere = elsewhere
        self._locate = locate
        self._may_be_touched = may_be_touched
        self._lock = ExemptLock()
        self._tasks: dict[str, str] = {}  # by id of the call
        # By path: what a call left or found for the first time while its record is not finished, and which call.
        # None: nothing, or what is not known yet.
        self._promised: dict[str, tuple[str, Entity | None]] = {}
        self._numbers = itertools.count(1)
        self._written: set[str] = set()

    # -- the beginning of a call -----------------------------------------------

    def key(self, path: Path) -> str:
        """Return `path` as records write it."""
        return self._states.key(path)

    def tier(self, path: Path) -> Tier | None:
        """How much was read of a path so far; None if it is not known."""
        known = self._states.at(path)
        return known.tier if known is not None else None

    def unchanged(self, path: Path, measured: Future[Measurement]) -> Entity | None:
        """Return the last known state of a path if it is measured already, that again, and no unfinished record says more of it."""
        if self._states.key(path) in self._promised or not measured.done() or measured.cancelled():
            return None
        current = self._states.at(path)
        known = current is not None and measured.exception() is None and is_still(current, measured.result())
        return current if known else None

    def begin(self, opened: OpenCall, parents: tuple[OpenCall, ...]) -> None:
        """Find out what a call is about to change, and write that it begins."""
        self._tasks[opened.activity.id] = opened.call.task
        for use in opened.uses:
            if use.role == "changed":
                opened.found[use.path] = self._found(opened, use.path, parents)
        self._write(self._journal.begin, opened, opened.activity, list(opened.found.values()))

    # -- the end of a call -----------------------------------------------------

    def promise(self, ended: Ended) -> None:
        """Write that a call ended, what it read and where it wrote, while that is not digested: all that is known if this process is killed."""
        opened = ended.opened
        found = {use.path: known for use in opened.uses if (known := self._expected(ended, use))}
        left = [self._undigested(ended, written.path, made=True) for written in ended.left.written]
        open_ends = {use.path for use in opened.uses if use.role == "used"} - found.keys()
        with self._lock:
            for path in (open_ends - {written.path for written in ended.left.written}).union(ended.left.gone):
                self._promised[self._states.key(path)] = (ended.activity.id, None)
        activity = replace(
            ended.activity,
            used=tuple(
                Usage(entity=found[use.path].id, parameter=use.parameter) for use in opened.uses if use.path in found
            ),
            generated=tuple(
                Usage(entity=entity.id, parameter=written.parameter, declared=written.declared)
                for entity, written in zip(left, ended.left.written, strict=True)
            ),
            deleted=tuple(self._states.key(path) for path in ended.left.gone),
            problems=(*opened.problems, UNDIGESTED),
        )
        self._write(self._journal.end, opened, activity, [*found.values(), *left])

    def _expected(self, ended: Ended, use: FileUse) -> Entity | None:
        """Return the state that a call found at a path, as far as it can be told now; None if it cannot."""
        path = use.path
        if path in ended.opened.found or use.role != "used":
            return ended.opened.found.get(path)
        promised = self._promised.get(self._states.key(path))
        if promised is not None:
            state = promised[1]
            return state if state is not None and state.stamp == ended.opened.stamps[path].digest else None
        if self._states.at(path) is None:  # an external input
            return self._undigested(ended, path, made=False)
        return self.unchanged(path, ended.opened.pending[path])

    def _undigested(self, ended: Ended, path: Path, *, made: bool) -> Entity:
        """Return the state of a path that the call left, or found for the first time."""
        call, stamps = ended.activity.id, (ended.left.stamps if made else ended.opened.stamps)[path]
        entity = Entity(
            id=f"{ended.activity.session}/u{next(self._numbers):04d}",
            path=self._states.key(path),
            kind="File",
            content_digest=None,
            size_bytes=stamps.size_bytes,
            stamp=stamps.digest,
            tier=ended.opened.tiers.get(path, "full"),
            generated_by=call if made else None,
            locators=() if made else self._locate(path),
            note=UNDIGESTED,
        )
        with self._lock:
            self._promised[entity.path] = (call, entity)
        return entity

    def _redeem(self, activity: Activity) -> None:
        """Forget what was promised of a call: its record is written."""
        with self._lock:
            for path in [path for path, (call, _) in self._promised.items() if call == activity.id]:
                del self._promised[path]

    def finish(self, ended: Ended, waits_since: float | None = None) -> Recorded:
        """Write the whole record of a call, as soon as everything is measured.

        Parameters
        ----------
        waits_since
            Since when the user waits for it, on the monotonic clock; None if he does not.
        """
        opened = ended.opened
        used = self._used(ended)
        generated = [Usage(entity=entity, declared=False) for entity in opened.between]
        entities = {entity.id: entity for _, entity in used} | opened.between
        for parameter, path, declared in ended.left.written:
            results = {usage.entity for usage in generated if usage.declared}
            entity = self._left(ended, path, results, declared=declared)
            if entity is None:
                continue
            entities[entity.id] = entity
            if entity.copy_of is None:  # else it came about beside the call
                generated = [usage for usage in generated if usage.entity != entity.id]
                generated.append(Usage(entity=entity.id, parameter=parameter, declared=declared))
        for path in ended.left.gone:
            self._states.gone(path)
        if waits_since is not None:
            opened.waited_s += time.monotonic() - waits_since
        activity = replace(
            ended.activity,
            used=tuple(usage for usage, _ in used),
            generated=tuple(generated),
            deleted=tuple(self._states.key(path) for path in ended.left.gone),
            waited_s=round(opened.waited_s, 4),
            problems=tuple(opened.problems),
        )
        self._write(self._journal.end, opened, activity, list(entities.values()))
        self._redeem(activity)
        return replace(activity, problems=tuple(opened.problems)), tuple(entities.values())

    def fail(self, opened: OpenCall, activity: Activity, error: BaseException) -> Recorded:
        """Write how a call ended though what it read and wrote cannot be recorded."""
        told = f"What it read and wrote was not recorded ({type(error).__name__}: {error_text(error)})."
        opened.problems.append(told)
        activity = replace(activity, problems=tuple(opened.problems))
        entities = tuple(opened.found.values())
        self._write(self._journal.end, opened, activity, list(entities))
        self._redeem(activity)
        return activity, entities

    # -- parts -----------------------------------------------------------------

    def _used(self, ended: Ended) -> list[tuple[Usage, Entity]]:
        opened, used = ended.opened, []
        for use in opened.uses:
            if use.role == "used":
                # What it wrote all the same is looked at below.
                awaited = ended.awaited.get(use.path) if use.path not in ended.pending else None
                opened.found[use.path] = self._found(opened, use.path, ended.parents, awaited)
            entity = opened.found.get(use.path) or self._states.at(use.path)
            if entity is not None:  # what is deleted need not be known
                used.append((Usage(entity=entity.id, parameter=use.parameter), entity))
        return used

    def _found(
        self, opened: OpenCall, path: Path, parents: tuple[OpenCall, ...], awaited: Stamps | None = None
    ) -> Entity:
        """Return the state of `path` that the call finds; what its caller left there is the caller's."""
        measured = self._measured(opened, path, opened.pending[path], awaited)
        maker = parents[-1] if parents and changed_within(parents[-1], path, self._states.at(path)) else None
        within = maker.activity.id if maker else None
        entity = self._states.found(path, measured, opened.stamps[path], by=opened.activity.id, within=within)
        if maker is not None and entity.generated_by == maker.activity.id:
            maker.between[entity.id] = entity
        return entity

    def _left(self, ended: Ended, path: Path, results: Container[str], *, declared: bool) -> Entity | None:
        """Return the new state that the call left at `path`, a copy if that came about otherwise; None if the content is what it was.

        Parameters
        ----------
        results
            Ids of the states that the call is known to have left elsewhere.
        """
        opened, awaited = ended.opened, ended.awaited.get(path)
        measured = self._measured(opened, path, ended.pending[path], awaited, observed=not declared)
        by, before = opened.activity.id, opened.found.get(path)
        if before is None and not declared and opened.had(path):
            known = self._states.at(path)
            if isinstance(opened.files, TaskSpec) and (
                copy := self._states.copied(path, measured, by=by, results=results)
            ):
                return copy
            if known is not None and known.generated_by not in {by, *opened.children}:
                before = known
        return self._states.left(path, measured, by=by, children=opened.children, before=before, declared=declared)

    def _measured(
        self,
        opened: OpenCall,
        path: Path,
        future: Future[Measurement],
        awaited: Stamps | None,
        *,
        observed: bool = False,
    ) -> Measured:
        """Wait for a measurement and keep its tree.

        Parameters
        ----------
        awaited
            The stamps that the path has afterwards, unless other code changed it meanwhile.
        observed
            Whether nobody said that the call writes there. If it changes again, something else writes there, and
            did so perhaps while the call ran: nothing of the call's is missing then.
        """
        try:
            measured = future.result()
            if awaited is not None and stamp(path) != awaited and not self._may_be_touched(path):
                changed = DigestError("It was changed before casaprov had read it, and by no call that is recorded.")
                if observed:
                    return changed
                raise changed
        except CasaprovError as error:
            opened.problems.append(f"{self._states.key(path)} could not be digested: {error.message}")
            return error
        if measured.tree is not None:
            try:
                self._journal.write_tree(measured.content_digest, measured.tree)
            except JournalError as error:
                opened.problems.append(str(error))
        return measured

    def _describe_gap(self, before: Entity, now: Measurement, after: str, until: str) -> str:
        tree = self._journal.read_tree(before.content_digest)
        told = describe_gap(before, tree, now, after=self._named(after), until=self._named(until))
        number = int(after.rpartition("/")[2]) if after in self._tasks else 0
        unfinished = "" if number else self._unfinished(Path(self._journal.session.folder) / before.path, before)
        elsewhere = self._elsewhere(now.content_digest, Path(before.path).name)
        return sentences(told, elsewhere, unfinished, self.pauses.describe(after_call=number))

    def _describe_new(self, path: Path, now: Measurement) -> str:
        return sentences(self._elsewhere(now.content_digest, path.name), self.pauses.describe_new(path))

    def _named(self, call: str) -> str:
        number = call.rpartition("/")[2]
        if call in self._tasks:
            return f"call {number} ({self._tasks[call]})"
        return f"call {number} of an earlier session" if call else "an earlier session"

    def _write(
        self,
        write: Callable[[Activity, list[Entity]], None],
        opened: OpenCall,
        activity: Activity,
        entities: list[Entity],
    ) -> None:
        with self._lock:
            new = [entity for entity in entities if entity.id not in self._written]
            try:
                write(activity, new)
            except JournalError as error:
                opened.problems.append(str(error))
            else:
                self._written.update(entity.id for entity in new)
