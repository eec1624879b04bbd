"""Writer of the records of calls: files become Entities, and these become lines of the journal.

It keeps two promises of :mod:`casaprov.recording`: a call with pending digests is written twice, by stamps and then
by digests; and if stamps moved before their files were digested, the record says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from casaprov.digests.measurement import Measurement
from casaprov.errors import CasaprovError, DigestError, JournalError, Superseded
from casaprov.files.stamps import Stamps, stamp
from casaprov.hashing import Digest
from casaprov.journal.writer import Journal
from casaprov.processes.exempt import ExemptLock
from casaprov.recording.explanations import Background
from casaprov.recording.open_call import EndedCall, OpenCall, Written
from casaprov.recording.path_states import Measured, PathStates
from casaprov.recording.provisional_states import ProvisionalStates
from casaprov.records.model import UNDIGESTED, Activity, Entity, LogSegment, Usage
from casaprov.tasks.calls import error_text
from casaprov.tasks.specs import TaskSpec

__all__ = ["RecordWriter", "Recorded"]

Recorded = tuple[Activity, tuple[Entity, ...]]
"""A finished record: the Activity, and the Entities that it names."""


class RecordWriter:
    """Writes the records of one session; final ones in the order in which their calls ended.

    Parameters
    ----------
    journal
        Takes the records.
    states, provisional
        States of the finished and of the unfinished records.
    may_be_touched
        Tells whether a later call reads a path that is still being measured. CASA may write into tables that it only
        reads: stamps that moved say nothing then.
    background
        Keeps the states that tasks use and that no task can make again.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        states: PathStates,
        provisional: ProvisionalStates,
        may_be_touched: Callable[[Path], bool],
        background: Background,
    ) -> None:
        self._journal = journal
        self._states = states
        self._provisional = provisional
        self._may_be_touched = may_be_touched
        self._keep = background.keep
        self._foreign = set(background.foreign)  # digests of states that no task can make again
        self._lock = ExemptLock()
        self._written: set[str] = set()  # ids of the Entities that are in the journal

    def write_begin(self, open_call: OpenCall, parents: tuple[OpenCall, ...]) -> None:
        """Write that a call begins, with the states that it is about to change.

        Parameters
        ----------
        parents
            The calls that it is part of, the outermost first.
        """
        for use in open_call.uses:
            if use.role == "changed":
                open_call.progress.found[use.path] = self._found(open_call, use.path, parents)
        replaced = {use.path for use in open_call.outputs}
        for use in open_call.uses:
            known = self._states.at(use.path) if use.role == "used" and use.path in replaced else None
            if known is not None and known.content_digest == _digest_of(open_call.measurements[use.path]):
                self._keep_foreign(open_call, use.path, known, parents)
        for parent in parents:
            parent.progress.children.add(open_call.activity.id)
        self._write(self._journal.begin, open_call, open_call.activity, list(open_call.progress.found.values()))

    def write_log(self, open_call: OpenCall, text: str) -> LogSegment | None:
        """Store the log of a call; None if it is empty or cannot be stored."""
        if not text:
            return None
        try:
            number = open_call.activity.number_in_session
            path = self._journal.write_log(f"{number:04d}-{open_call.call.task}", text)
        except JournalError as error:
            open_call.progress.problems.append(str(error))
            return None
        lines = text.splitlines()
        levels = [line.split("\t")[1] for line in lines if line.count("\t") > 1]
        return LogSegment(path=path, lines=len(lines), warnings=levels.count("WARN"), errors=levels.count("SEVERE"))

    def write_provisional(self, ended: EndedCall) -> None:
        """Write the end of a call, and the files that it read and wrote, while these are not digested."""
        found, left = self._provisional.add(ended)
        uses, written = ended.open_call.uses, ended.changes.written
        used = tuple(Usage(entity=found[u.path].id, parameter=u.parameter) for u in uses if u.path in found)
        generated = tuple(_usage(state, of) for state, of in zip(left, written, strict=True))
        activity = replace(
            ended.activity,
            used=used,
            generated=generated,
            deleted=self._deleted(ended),
            problems=(*ended.open_call.progress.problems, UNDIGESTED),
        )
        self._write(self._journal.end, ended.open_call, activity, [*found.values(), *left])

    def write_final(self, ended: EndedCall, waits_since: float | None = None) -> Recorded:
        """Write the whole record of a call, as soon as everything is measured.

        Parameters
        ----------
        waits_since
            Time on the monotonic clock since when the user waits for it; None if the user does not.
        """
        progress = ended.open_call.progress
        # In this order: the states that the call found are the last known ones until those that it left replace them.
        used = self._used(ended)
        generated, left = self._generated(ended)
        for path in ended.changes.gone:
            self._states.forget(path)
        if waits_since is not None:
            progress.waited_s += time.monotonic() - waits_since
        activity = replace(
            ended.activity,
            used=tuple(usage for usage, _ in used),
            generated=tuple(generated),
            deleted=self._deleted(ended),
            waited_s=round(progress.waited_s, 4),
            problems=tuple(progress.problems),
        )
        entities = {entity.id: entity for _, entity in used} | left
        self._write(self._journal.end, ended.open_call, activity, list(entities.values()))
        self._provisional.remove(activity.id)
        # The line itself may have been a problem.
        return replace(activity, problems=tuple(progress.problems)), tuple(entities.values())

    def write_failed(self, open_call: OpenCall, activity: Activity, error: BaseException) -> Recorded:
        """Write the end of a call without its files: recording them failed."""
        progress = open_call.progress
        text = f"{type(error).__name__}: {error_text(error)}"
        progress.problems.append(f"What it read and wrote was not recorded ({text}).")
        activity = replace(activity, problems=tuple(progress.problems))
        entities = tuple(progress.found.values())
        self._write(self._journal.end, open_call, activity, list(entities))
        self._provisional.remove(activity.id)
        return activity, entities

    # -- what a call found and left --------------------------------------------

    def _used(self, ended: EndedCall) -> list[tuple[Usage, Entity]]:
        """Return the states that a call read, changed or deleted."""
        open_call, used = ended.open_call, []
        found = open_call.progress.found
        for use in open_call.uses:
            if use.role == "used":
                # If the call wrote there all the same, its stamps have moved: they are checked for the state it left.
                awaited = ended.awaited.get(use.path) if use.path not in ended.measurements else None
                found[use.path] = self._found(open_call, use.path, ended.parents, awaited)
            entity = found.get(use.path) or self._states.at(use.path)
            if entity is not None:  # the state of a path that is deleted need not be known
                used.append((Usage(entity=entity.id, parameter=use.parameter), entity))
        return used

    def _found(
        self, open_call: OpenCall, path: Path, parents: tuple[OpenCall, ...], awaited: Stamps | None = None
    ) -> Entity:
        """Return the state of a path that a call finds; a change that its caller made is the caller's."""
        measured = self._measured(open_call, path, open_call.measurements[path], awaited)
        caller = parents[-1] if parents and parents[-1].has_changed(path, self._states.at(path)) else None
        caller_id = caller.activity.id if caller is not None else None
        state = self._states.found(path, measured, open_call.stamps[path], by=open_call.activity.id, caller=caller_id)
        # It may be a state that was known before, or a copy: those are no products of the caller.
        if caller is not None and state.generated_by == caller_id:
            caller.progress.between[state.id] = state
            if not isinstance(caller.files, TaskSpec):
                self._note_foreign(state)
        self._keep_foreign(open_call, path, state, parents)
        return state

    def to_keep(self, open_call: OpenCall) -> set[Path]:
        """Return the paths of states to keep that a call read: nobody may change them before its record is written."""
        if not isinstance(open_call.files, TaskSpec):
            return set()
        return {use.path for use in open_call.uses if use.role == "used" and self._may_be_foreign(open_call, use.path)}

    def _may_be_foreign(self, open_call: OpenCall, path: Path) -> bool:
        known, digest = self._states.at(path), _digest_of(open_call.measurements[path])
        if digest is None:
            return False  # its record waits for the digest anyway
        differs = known is not None and known.content_digest != digest
        return differs or digest in self._foreign or self._provisional.is_pending(path)

    def _keep_foreign(self, open_call: OpenCall, path: Path, state: Entity, parents: tuple[OpenCall, ...]) -> None:
        """Keep a state that a task found and no task can make again; an inner call of a task is not replayed by itself."""
        if state.gap:
            self._note_foreign(state)
        tasks = [call for call in (open_call, *parents) if isinstance(call.files, TaskSpec)]
        if tasks == [open_call] and state.content_digest in self._foreign and state.tier == "full":
            self._keep(path, state)

    def _note_foreign(self, state: Entity) -> None:
        if state.content_digest is not None:
            self._foreign.add(state.content_digest)

    def _generated(self, ended: EndedCall) -> tuple[list[Usage], dict[str, Entity]]:
        """Return the states that a call left as usages, and all states that came about with it by id."""
        between = ended.open_call.progress.between
        generated = [Usage(entity=entity, declared=False) for entity in between]
        entities = dict(between)
        for written in ended.changes.written:
            results = {usage.entity for usage in generated if usage.declared}
            state = self._left(ended, written, results)
            if state is None:
                continue
            entities[state.id] = state
            if state.copy_of is None:  # a copy came about beside the call, and is no result of it
                generated = [usage for usage in generated if usage.entity != state.id]
                generated.append(_usage(state, written))
        return generated, entities

    def _left(self, ended: EndedCall, written: Written, results: Container[str]) -> Entity | None:
        """Return the new state of a path that a call wrote; None if it has its former content.

        Parameters
        ----------
        results
            Ids of the declared states that the call is known to have left elsewhere.
        """
        path, declared = written.path, written.declared
        open_call, awaited = ended.open_call, ended.awaited.get(path)
        measured = self._measured(open_call, path, ended.measurements[path], awaited, declared=declared)
        by, children = open_call.activity.id, open_call.progress.children
        before = open_call.progress.found.get(path)
        if before is None and not declared and (written.other_name or open_call.had(path)):
            # Only a task is known to say all that it writes; other code may have written this on purpose.
            if isinstance(open_call.files, TaskSpec) and (
                copy := self._states.copied(path, measured, by=by, results=results)
            ):
                return copy
            known = self._states.at(path)
            if known is not None and known.generated_by not in {by, *children}:
                before = known
        state = self._states.left(path, measured, by=by, children=children, before=before, declared=declared)
        if state is not None and state.generated_by == by and not isinstance(open_call.files, TaskSpec):
            self._note_foreign(state)
        return state

    def _measured(
        self,
        open_call: OpenCall,
        path: Path,
        measurement: Future[Measurement],
        awaited: Stamps | None,
        *,
        declared: bool = True,
    ) -> Measured:
        """Wait for a measurement and store its tree; a failure becomes a problem of the record.

        Parameters
        ----------
        awaited
            Stamps that the path must still have if other code ran during the measurement.
        declared
            Whether the call is declared to read or write there. If not, and the stamps moved, something else writes
            there and perhaps did so while the call ran: the record misses nothing of the call.
        """
        try:
            measured = measurement.result()
            if awaited is not None and stamp(path) != awaited and not self._may_be_touched(path):
                moved = DigestError("It was changed before casaprov had read it, and by no call that is recorded.")
                if not declared:
                    return moved
                raise moved
        except Superseded as error:
            return error
        except CasaprovError as error:
            open_call.progress.problems.append(f"{self._states.key(path)} could not be digested: {error.message}")
            return error
        if measured.tree is not None:
            try:
                self._journal.write_tree(measured.content_digest, measured.tree)
            except JournalError as error:
                open_call.progress.problems.append(str(error))
        return measured

    # -- lines -----------------------------------------------------------------

    def _deleted(self, ended: EndedCall) -> tuple[str, ...]:
        return tuple(self._states.key(path) for path in ended.changes.gone)

    def _write(
        self,
        write: Callable[[Activity, list[Entity]], None],
        open_call: OpenCall,
        activity: Activity,
        entities: list[Entity],
    ) -> None:
        """Write a line with the Entities that no earlier line contains."""
        with self._lock:  # the user's thread writes beginnings while the queue's thread writes final records
            new = [entity for entity in entities if entity.id not in self._written]
            try:
                write(activity, new)
            except JournalError as error:
                open_call.progress.problems.append(str(error))
            else:
                self._written.update(entity.id for entity in new)


def _digest_of(measurement: Future[Measurement]) -> Digest | None:
    """Return the digest of a measurement; None if it is not there yet, or failed."""
    if not measurement.done() or measurement.exception() is not None:
        return None
    return measurement.result().content_digest


def _usage(state: Entity, written: Written) -> Usage:
    return Usage(entity=state.id, parameter=written.parameter, declared=written.declared)
