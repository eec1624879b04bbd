"""Recorder: the beginning and the end of a call become an Activity.

What a call changes is digested before it starts, what it only reads while it runs, and what it wrote after it ended.
Looks at the working directory before and after it show changes that were not declared. Clock, digester, specs and
background are passed in. The recorder touches no files but those that it measures and the journal.

A recorder with a :class:`~casaprov.recording.finish_queue.FinishQueue` does not wait for digests at the end of a
call: see :mod:`casaprov.recording`.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from casaprov.digests.measurement import Measurement
from casaprov.files.folder_view import FolderViews, Look
from casaprov.files.other_names import OtherNames
from casaprov.files.stamps import Stamps, is_self_contained
from casaprov.files.watched_stamps import WatchedStamps
from casaprov.hashing import digest_record
from casaprov.journal.writer import Journal
from casaprov.processes.descriptors import are_scarce
from casaprov.processes.resource_use import ResourceMeter
from casaprov.recording.attribution import Attribution
from casaprov.recording.explanations import Background, Explanations
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.recording.open_call import EndedCall, OpenCall, as_listed_uses, find_changes
from casaprov.recording.path_states import PathStates
from casaprov.recording.provisional_states import LeftStates, ProvisionalStates, failed_measurement
from casaprov.recording.record_writer import Recorded, RecordWriter
from casaprov.records.model import Activity, Entity, ResourceUsage, Session, Tier
from casaprov.records.values import is_exact, summarise, to_json
from casaprov.records.wording import now
from casaprov.tasks.calls import FileTable, TaskCall, TaskResult
from casaprov.tasks.pathnames import absolute, strings
from casaprov.tasks.specs import FileUse, TaskSpec, guess_inputs, spec_of

__all__ = ["Digester", "OnEnded", "OnRecorded", "Recorder"]

OnRecorded = Callable[[Activity, tuple[Entity, ...]], None]
OnEnded = Callable[[Activity, tuple[Path, ...]], None]

_MAX_RETURNED_BYTES = 4000


class Digester(Protocol):
    """Measures files for the recorder (:class:`casaprov.digests.digester.Digester`)."""

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        """Start to measure a file or table; `stamps` are its stamps, where they are known already."""
        ...

    def rest(self) -> None:
        """Finish the measurements, and close all files until the next product."""
        ...


class Recorder:
    """Turns the calls of one session into Activities and Entities.

    Parameters
    ----------
    journal
        Takes the records; also names the session.
    digester
        Measures files, in other processes.
    specs
        TaskSpec by task name.
    background
        Facts about files from outside of the session; by default there are none.
    clock
        Returns the present time as records write it.
    finish_queue
        Finishes records while other code runs. Without one, :meth:`end_soon` waits as :meth:`end` does.
    patience
        Says how long tasks may wait for the digests of states that they are about to change; None for always.
    meter
        Returns a meter for the resources of a call that is about to run; None if another process does its work.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        digester: Digester,
        specs: Mapping[str, TaskSpec],
        background: Background | None = None,
        clock: Callable[[], str] = now,
        finish_queue: FinishQueue | None = None,
        patience: Patience | None = None,
        meter: Callable[[TaskCall], ResourceMeter | None] = lambda _: None,
    ) -> None:
        background = background or Background()
        self._journal = journal
        self._digester = digester
        self._specs = specs
        self._tier = background.tier
        self._log = background.log
        self._logs: set[str] = set()  # every file that CASA logged to when a call began or ended
        self._clock = clock
        self._finish_queue = finish_queue
        self._patience = patience or Patience(lambda: math.inf)
        self._left = LeftStates()
        self._meter = meter
        self._explanations = Explanations(journal, background)
        self._states = PathStates(journal.session, background, self._explanations)
        self._provisional = ProvisionalStates(self._states, background.locate)
        self._writer = RecordWriter(
            journal=journal,
            states=self._states,
            provisional=self._provisional,
            may_be_touched=lambda path: finish_queue is None or finish_queue.may_be_touched(path),
            background=background,
        )
        self._watched_stamps = WatchedStamps()
        self._views = FolderViews(self._watched_stamps.stamp)
        self._attribution = Attribution(journal, specs)
        self._names = OtherNames(Path(journal.session.folder), map(Path, self._states.paths()))
        self._lock = threading.Lock()
        self._calls = 0
        self._tiers: dict[Path, Tier] = {}  # of the paths that calls of this session read or left
        # The calls under way in this thread or asyncio task, the outermost first.
        self._open: ContextVar[tuple[OpenCall, ...]] = ContextVar("casaprov_open", default=())

    @property
    def session(self) -> Session:
        """The session that is recorded."""
        return self._journal.session

    @property
    def busy(self) -> bool:
        """True while a call runs in this thread or asyncio task."""
        return bool(self._open.get())

    # -- begin ---------------------------------------------------------------

    def begin(self, call: TaskCall, files: FileTable | None = None, *, encloses: bool = True) -> OpenCall:
        """Record the begin of `call`; files that it changes are digested when this returns.

        Parameters
        ----------
        files
            Declaration of its files; by default that of the TaskSpec.
        encloses
            Whether calls that begin before it ends are part of it.
        """
        began = time.monotonic()
        files = files or self._spec(call)
        uses = files.inputs(call.parameters, call.cwd) if files else guess_inputs(call.parameters, call.cwd)
        outputs = files.outputs(call.parameters, call.cwd) if files else ()
        uses, outputs = self._own_names(uses, call.cwd), self._own_names(outputs, call.cwd)
        # Before the snapshot and the stamps: they are to show the files as the call finds them.
        waited_s = self._wait_for_earlier(call, files, uses, outputs)
        # A call deletes a file without reading it.
        tiers = {use.path: self._tier_of(use.path) for use in uses if use.role != "deleted"}
        self._tiers.update(tiers)
        cwd = self._names.of_folder(call.cwd)
        before = self._look(cwd)
        stamps = {use.path: self._watched_stamps.stamp(use.path) for use in (*uses, *outputs)}
        measurements = {path: self._measured_before(path, tier, stamps[path]) for path, tier in tiers.items()}
        # A path that the call reads and then writes over must be read before the call starts.
        wait([measurements[use.path] for use in outputs if use.path in measurements])
        with self._lock:  # calls may begin in several threads
            self._calls += 1
            number = self._calls
        parents = self._open.get()
        open_call = OpenCall(
            call=call,
            activity=Activity(
                id=f"{self.session.id}/{number:04d}",
                session=self.session.id,
                task=call.task,
                package=call.package,
                started_at=self._clock(),
                outcome="unfinished",
                cwd=self._states.key(cwd),
                parameters={name: to_json(value) for name, value in call.parameters.items()},
                given=call.given,
                replaced={name: to_json(value) for name, value in call.replaced.items()},
                spec_known=files is not None,
                parent=parents[-1].activity.id if parents else None,
                step=call.step,
                aliases=self._aliases(call),
            ),
            files=files,
            uses=uses,
            outputs=outputs,
            stamps=stamps,
            tiers=tiers,
            measurements=measurements,
            before=before,
            names=self._names,
        )
        self._explanations.note_call(open_call.activity)
        self._attribution.note_begin(open_call)
        self._writer.write_begin(open_call, parents)
        if are_scarce():
            self._stand_back()
        # A new tuple, never a change of the old one: other asyncio tasks hold it, too.
        if encloses:
            self._open.set((*parents, open_call))
        open_call.progress.meter = self._meter(call)
        open_call.progress.waited_s += waited_s + time.monotonic() - began
        return open_call

    def _stand_back(self) -> None:
        """Finish all measurements before CASA runs, and leave the files that may be open to it."""
        if self._finish_queue is not None:
            self._finish_queue.wait()
        self._digester.rest()

    def _wait_for_earlier(
        self, call: TaskCall, files: FileTable | None, uses: Sequence[FileUse], outputs: Sequence[FileUse]
    ) -> float:
        """Wait for the unfinished records that a call would disturb or needs.

        Returns
        -------
        float
            Seconds that other code waited for records since the last call.
        """
        if self._finish_queue is None:
            return 0.0
        waited_s = self._finish_queue.take_waited()
        if not self._finish_queue.busy:
            return waited_s
        if self._is_predictable(call, files, uses):
            self._finish_queue.wait_for(_all_names(uses, outputs))
        elif not self._patience.endless and (states := self._chained(call, files, uses)):
            self._finish_queue.wait_for(_all_names(uses, outputs), timeout_s=self._patience.left_s)
            for path, stamps in states.items():
                self._left.give_up(path, stamps)
            self._finish_queue.wait_for(_all_names(uses, outputs))
        else:
            self._finish_queue.wait()
        self._finish_queue.take_waited()  # the beginning of the call counts this wait itself
        self._finish_queue.note_reader(use.path for use in uses)
        return waited_s

    def _is_predictable(self, call: TaskCall, files: FileTable | None, uses: Sequence[FileUse]) -> bool:
        """Return True if a call changes only paths that it declares, and those in states that are certain."""
        if files is None:
            return False
        # Code that is no task may do more than it declares, unless it declares to change nothing.
        is_task = files is self._spec(call)
        return all(use.role == "used" or (is_task and self._is_certain(use)) for use in uses)

    def _is_certain(self, use: FileUse) -> bool:
        """Return True if unfinished records cannot alter the states of the paths that a call changes."""
        if use.role == "deleted":  # its state need not be known
            return True
        if self._provisional.is_pending(use.path):
            return False
        stamps = self._watched_stamps.stamp(use.path)
        measurement = self._digester.submit(use.path, tier=self._tier_of(use.path), stamps=stamps)
        return self._provisional.certain(use.path, measurement) is not None

    def _chained(self, call: TaskCall, files: FileTable | None, uses: Sequence[FileUse]) -> dict[Path, Stamps]:
        """Return the stamps of the states whose digests a call need not wait for; none if it must wait.

        These are states that tasks left, that are not digested yet, and that the call is about to change. All else that
        it changes must be certain.
        """
        queue = self._finish_queue
        if queue is None or files is None or files is not self._spec(call) or self.busy:
            return {}
        chained: dict[Path, Stamps] = {}
        for use in uses:
            if use.role != "changed" or self._is_certain(use):
                continue
            left, stamps = self._provisional.left_by_task(use.path), self._watched_stamps.stamp(use.path)
            if left is None or left.stamp != stamps.digest or not queue.reads_once(use.path):
                return {}
            chained[use.path] = stamps
        return chained

    def _measured_before(self, path: Path, tier: Tier, stamps: Stamps) -> Future[Measurement]:
        """Start to measure the state that a call finds at a path."""
        if (superseded := self._left.given_up(path, stamps)) is not None:
            return failed_measurement(superseded)
        return self._digester.submit(path, tier=tier, stamps=stamps)

    # -- end -----------------------------------------------------------------

    def end(self, open_call: OpenCall, result: TaskResult) -> Recorded:
        """Record how a call ended; return its Activity and the Entities that it names.

        If that is interrupted or fails, the record still says how the call ended.
        """
        recorded: list[Recorded] = []
        self.end_soon(open_call, result, lambda *record: recorded.append(record))
        self.wait()
        return recorded[0]

    def end_soon(
        self,
        open_call: OpenCall,
        result: TaskResult,
        on_recorded: OnRecorded,
        on_ended: OnEnded = lambda _activity, _paths: None,
    ) -> None:
        """Record the end of a call, and the files that it read and wrote as soon as these are digested.

        Parameters
        ----------
        on_recorded
            Called with the finished record; in another thread, if this does not wait for it.
        on_ended
            Called before, with the Activity as far as it is known and the paths that the call wrote.
        """
        began, ended_at = time.monotonic(), self._clock()
        progress, finish_queue = open_call.progress, self._finish_queue
        if progress.meter is not None and result.restored is None:
            progress.resources = ResourceUsage(**progress.meter.used()._asdict())
        parents = self._leave(open_call)
        try:
            ended = self._ended(open_call, result, ended_at, parents)
            known = replace(ended.activity, problems=tuple(progress.problems))
            on_ended(known, tuple(written.path for written in ended.changes.written))
            # The record of the enclosing call is made from this one: it cannot be left for later.
            if finish_queue is None or parents or not (ended.awaited or finish_queue.busy):
                self.wait()
                on_recorded(*self._writer.write_final(replace(ended, awaited={}), began))
                if not parents:
                    self._patience.note(known.seconds or 0.0, progress.waited_s)
            else:
                # Written before it is queued: from then on, the queue's thread may write the final record.
                progress.waited_s += time.monotonic() - began
                if not parents:
                    self._patience.note(known.seconds or 0.0, progress.waited_s)
                self._writer.write_provisional(ended)
                finish_queue.add(
                    ended.awaited,
                    lambda: on_recorded(*self._finish(ended)),
                    refers_elsewhere=lambda: any(
                        _lies_elsewhere(path, stamps) for path, stamps in ended.awaited.items()
                    ),
                )
        except BaseException as error:
            self._attribution.note_end(open_call, ())
            activity = replace(open_call.activity, ended_at=ended_at, outcome=result.outcome, failure=result.failure)
            self._writer.write_failed(open_call, activity, error)
            raise

    def _leave(self, open_call: OpenCall) -> tuple[OpenCall, ...]:
        """Take a call, and those that it encloses, from the calls under way; return the calls that enclose it."""
        under_way = self._open.get()
        ids = [outer.activity.id for outer in under_way]
        if open_call.activity.id in ids:
            under_way = under_way[: ids.index(open_call.activity.id)]
            self._open.set(under_way)
        return under_way

    def _ended(
        self, open_call: OpenCall, result: TaskResult, ended_at: str, parents: tuple[OpenCall, ...]
    ) -> EndedCall:
        """Find the changes of a call, and start to measure them."""
        if result.restored is not None:
            open_call.progress.restored = result.restored.paths
        after = self._look(open_call.before.folder)
        author = self._attribution.of(open_call)
        changes = find_changes(open_call, after, self._watched_stamps.stamp, author, self._states.paths)
        self._attribution.note_end(open_call, [written.path for written in changes.written])
        for path in open_call.progress.found:
            self._left.want_again(path, changes.stamps[path])
        open_call.progress.problems.extend(changes.problems)
        returned = to_json(result.returned)
        activity = replace(
            open_call.activity,
            ended_at=ended_at,
            outcome=result.outcome,
            returned=summarise(returned, _MAX_RETURNED_BYTES),
            returned_digest=digest_record("casaprov/value/1", returned) if is_exact(returned) else None,
            failure=result.failure,
            log=self._writer.write_log(open_call, result.log),
            restored_from=result.restored.computed_by if result.restored is not None else None,
            look_up=open_call.progress.look_up,
            observed=tuple(self._states.key(path) for path in changes.observed),
            # Where calls run side by side, nobody knows which of them used what.
            resources=None if open_call.progress.overlaps else open_call.progress.resources,
        )
        # From here on other threads take turns with this one. All measurements are under way before any is waited for.
        tiers = {written.path: open_call.tiers.get(written.path, "full") for written in changes.written}
        self._tiers.update(tiers)
        for path in changes.gone:
            self._tiers.pop(path, None)
        measurements = {path: self._measured_after(path, tier, changes.stamps[path]) for path, tier in tiers.items()}
        all_measured = {**open_call.measurements, **measurements}
        kept = {*measurements} if open_call.progress.keeps else set()
        kept |= self._writer.to_keep(open_call)
        awaited = {
            path: changes.stamps[path] for path, future in all_measured.items() if path in kept or not future.done()
        }
        ended = EndedCall(
            open_call=open_call,
            activity=activity,
            parents=parents,
            changes=changes,
            measurements=measurements,
            awaited=awaited,
        )
        if open_call.progress.keeps:  # a circle, which ends when the results are kept
            open_call.progress.ended = ended
        return ended

    def _measured_after(self, path: Path, tier: Tier, stamps: Stamps) -> Future[Measurement]:
        """Start to measure the state that a call left at a path."""

        def submit() -> Future[Measurement]:
            return self._digester.submit(path, tier=tier, stamps=stamps)

        if self._finish_queue is None or self._patience.endless:
            return submit()
        return self._left.measure(path, stamps, submit)

    def _finish(self, ended: EndedCall) -> Recorded:
        """Write the final record of a call, in the queue's thread."""
        try:
            return self._writer.write_final(ended)
        except Exception as error:  # noqa: BLE001 - nobody waits here for an error: the record says it
            return self._writer.write_failed(ended.open_call, ended.activity, error)

    # -- the session -----------------------------------------------------------

    def wait(self) -> None:
        """Wait until the records of all calls that have ended are finished."""
        if self._finish_queue is not None:
            self._finish_queue.wait()

    def measure(self, path: Path) -> Future[Measurement]:
        """Start to measure the product at a path."""
        return self._digester.submit(path, tier=self._tier_of(path))

    def measure_with(self, digester: Digester) -> None:
        """Measure with another digester from the next call on."""
        self._digester = digester

    def was_paused(self, since: str, until: str) -> None:
        """Note that nothing was recorded between two times: this explains changes of that time."""
        self._explanations.note_pause(since, until, after_call=self._calls)

    def close(self) -> None:
        """Record the end of the session."""
        self.wait()
        self._journal.close(self._clock())

    # -- parts ---------------------------------------------------------------

    def _look(self, folder: Path) -> Look:
        log = self._log()
        if log is not None:
            self._logs.add(os.path.abspath(log))  # noqa: PTH100 - a link is not its target
        return self._views.look(folder, self._logs)

    def _own_names(self, uses: Iterable[FileUse], cwd: Path) -> tuple[FileUse, ...]:
        """Name the files of a call as the disk lists them, below the session's folder if they lie there; each once."""
        found: dict[Path, FileUse] = {}
        for use in as_listed_uses(uses, cwd):
            path = self._names.below(use.path)
            found.setdefault(path, replace(use, path=path))
        return tuple(found.values())

    def _aliases(self, call: TaskCall) -> dict[str, str]:
        """Return the other names of folders that the parameters of a call use."""
        texts = {
            text for value in call.parameters.values() for text in strings(value) if "/" in text and "\0" not in text
        }
        found = self._names.aliases(absolute(text, call.cwd) for text in texts)
        return {alias.as_posix(): self._states.key(folder) for alias, folder in sorted(found.items())}

    def _spec(self, call: TaskCall) -> TaskSpec | None:
        return spec_of(self._specs, call.package, call.task)

    def _tier_of(self, path: Path) -> Tier:
        """Return how much is read of a path: a known one stays in its tier."""
        known = self._states.at(path)
        return self._tiers.get(path) or (known.tier if known is not None else self._tier(path))


def _all_names(uses: Sequence[FileUse], outputs: Sequence[FileUse]) -> tuple[Path, ...]:
    """Return all names of the paths that a call changes."""
    changed = [use.path for use in (*uses, *outputs) if use.role != "used"]
    return tuple(name for path in changed for name in (path, path.resolve()))


def _lies_elsewhere(path: Path, stamps: Stamps) -> bool:
    """Return True if a product may consist of files at other paths, too."""
    return stamps.linked or not is_self_contained(path, stamps)
