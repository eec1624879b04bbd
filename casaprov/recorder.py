"""The recorder: begin and end of a task call become an Activity.

What a call reads and changes is digested before it starts (what it only
reads, while it runs), what it wrote is digested after it ended, and a walk of
the working directory before and after finds what nobody declared. Clock, ids,
digester, specs and locators are passed in; the recorder touches nothing but
the files it measures and the journal it writes.

A recorder that is given :class:`~casaprov.recording.finish_queue.FinishQueue` does not wait for
digests at the end of a call: the record is finished while other code runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from casaprov.digests.measurement import Measurement
from casaprov.errors import JournalError
from casaprov.files.snapshot import Snapshot, walk
from casaprov.files.stamps import Stamps, is_self_contained
from casaprov.files.watched_stamps import WatchedStamps
from casaprov.hashing import digest_record
from casaprov.journal.writer import Journal
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.gaps import CallElsewhere, UnfinishedCall
from casaprov.recording.open_call import OpenCall, remains
from casaprov.recording.record_writer import Ended, Recorded, RecordWriter
from casaprov.records.model import Activity, Checksum, Entity, Locator, LogSegment, Session, Tier
from casaprov.records.values import is_exact, summarise, to_json
from casaprov.records.wording import now
from casaprov.tasks.calls import FileTable, TaskCall, TaskResult
from casaprov.tasks.specs import FileUse, TaskSpec, guess_inputs, spec_of

__all__ = ["Digester", "OnEnded", "OnRecorded", "Recorder"]

OnRecorded = Callable[[Activity, tuple[Entity, ...]], None]
OnEnded = Callable[[Activity, tuple[Path, ...]], None]

_MAX_RETURNED_BYTES = 4000


class Digester(Protocol):
    """What measures files for the recorder (:class:`casaprov.digests.digester.Digester`)."""

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        """Start to measure a file or table; `stamps` are its stamps, from who has them already."""
        ...


class Recorder:
    """Turns task calls into Activities and Entities of one session.

    Parameters
    ----------
    journal
        Where records go; also names the session.
    digester
        Measures files, in other processes.
    specs
        TaskSpec by task name.
    locate
        Tells where else an external input can be found.
    states
        Last known Entity of each path, from earlier sessions of the notebook.
    checksums
        Tells what an archive says of an external input that is not read as a whole.
    tier
        Tells how much is read of a path that is not known yet; a known one stays in its tier.
    unfinished
        Tells which call of those sessions may have left something that nobody recorded.
    elsewhere
        Tells which call of another notebook left a content.
    clock
        Returns the present time as records write it.
    finish_queue
        Finishes records while other code runs; without, :meth:`end_soon` waits as :meth:`end` does.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        digester: Digester,
        specs: Mapping[str, TaskSpec],
        locate: Callable[[Path], tuple[Locator, ...]] = lambda _: (),
        checksums: Callable[[Path], tuple[Checksum, ...]] = lambda _: (),
        tier: Callable[[Path], Tier] = lambda _: "full",
        states: Mapping[str, Entity] | None = None,
        unfinished: UnfinishedCall = lambda _path, _known: "",
        elsewhere: CallElsewhere = lambda _digest, _name: "",
        clock: Callable[[], str] = now,
        finish_queue: FinishQueue | None = None,
    ) -> None:
        self._journal = journal
        self._digester = digester
        self._specs = specs
        self._tier = tier
        self._clock = clock
        self._finish_queue = finish_queue
        self._finishing = RecordWriter(
            journal=journal,
            states=states or {},
            locate=locate,
            checksums=checksums,
            unfinished=unfinished,
            elsewhere=elsewhere,
            may_be_touched=lambda path: finish_queue is None or finish_queue.may_be_touched(path),
        )
        self._watches = WatchedStamps()
        self._lock = threading.Lock()
        self._calls = 0
        self._tiers: dict[Path, Tier] = {}  # how much is read of what calls of this session read or left
        # Of the thread or the asyncio task: what is under way there, the outermost first.
        self._open: ContextVar[tuple[OpenCall, ...]] = ContextVar("casaprov_open", default=())

    @property
    def session(self) -> Session:
        """The session that is recorded."""
        return self._journal.session

    # -- begin ---------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a call is under way in this thread or asyncio task."""
        return bool(self._open.get())

    def begin(self, call: TaskCall, files: FileTable | None = None, *, encloses: bool = True) -> OpenCall:
        """Record that `call` is about to run. What it changes is digested before this returns.

        Parameters
        ----------
        files
            What is declared about its files; by default what the TaskSpec says.
        encloses
            Whether calls until its end are calls that it makes.
        """
        began = time.monotonic()
        files = files or self._spec(call)
        uses = files.inputs(call.parameters, call.cwd) if files else guess_inputs(call.parameters, call.cwd)
        outputs = files.outputs(call.parameters, call.cwd) if files else ()
        # What a call deletes need not be read for that.
        read = [use.path for use in uses if use.role != "deleted"]
        waited_s = self._wait_for_earlier(call, files, uses, outputs)
        tiers = {path: self._tier_of(path) for path in read}
        self._tiers.update(tiers)
        walked = self._walk(call.cwd)
        stamps = {use.path: walked.at(use.path) for use in (*uses, *outputs)}
        pending = {path: self._digester.submit(path, tier=tiers[path], stamps=stamps[path]) for path in read}
        wait([pending[use.path] for use in outputs if use.path in pending])  # what it reads and then writes over
        with self._lock:
            self._calls += 1
            number = self._calls
        parents = self._open.get()
        opened = OpenCall(
            call=call,
            activity=Activity(
                id=f"{self.session.id}/{number:04d}",
                session=self.session.id,
                task=call.task,
                package=call.package,
                started_at=self._clock(),
                outcome="unfinished",
                cwd=self._finishing.key(call.cwd),
                parameters={name: to_json(value) for name, value in call.parameters.items()},
                given=call.given,
                replaced={name: to_json(value) for name, value in call.replaced.items()},
                spec_known=files is not None,
                parent=parents[-1].activity.id if parents else None,
                step=call.step,
            ),
            files=files,
            uses=uses,
            stamps=stamps,
            tiers=tiers,
            pending=pending,
            walked=walked,
        )
        self._finishing.begin(opened, parents)
        for parent in parents:
            parent.children.add(opened.activity.id)
        if encloses:
            self._open.set((*parents, opened))
        opened.waited_s += waited_s + time.monotonic() - began
        return opened

    def _wait_for_earlier(
        self, call: TaskCall, files: FileTable | None, uses: Sequence[FileUse], outputs: Sequence[FileUse]
    ) -> float:
        """Wait for records that the call would disturb, or needs; return for how long others waited before it."""
        if self._finish_queue is None:
            return 0.0
        waited_s = self._finish_queue.take_waited()
        if not self._finish_queue.busy:
            return waited_s
        # What is no task may do more than it declares.
        is_described = files is self._spec(call)
        if files is not None and all(use.role == "used" or (is_described and self._is_certain(use)) for use in uses):
            changed = [use.path for use in (*uses, *outputs) if use.role != "used"]
            self._finish_queue.wait_for(name for path in changed for name in (path, path.resolve()))
        else:
            self._finish_queue.wait()
        self._finish_queue.take_waited()  # it is part of the beginning
        self._finish_queue.note_reader(use.path for use in uses)
        return waited_s

    def _is_certain(self, use: FileUse) -> bool:
        """Tell whether it is known in which state a call finds what it changes, whatever unfinished records will say."""
        if use.role == "deleted":  # it need not be known
            return True
        stamps = self._watches.stamp(use.path)
        measured = self._digester.submit(use.path, tier=self._tier_of(use.path), stamps=stamps)
        return self._finishing.unchanged(use.path, measured) is not None

    # -- end -----------------------------------------------------------------

    def end(self, opened: OpenCall, result: TaskResult) -> Recorded:
        """Record how a call ended; return its Activity and the Entities it names.

        If that is interrupted or fails, the record says how the call ended all the same.
        """
        recorded: list[Recorded] = []
        self.end_soon(opened, result, lambda *told: recorded.append(told))
        self.settle()
        return recorded[0]

    def end_soon(
        self,
        opened: OpenCall,
        result: TaskResult,
        on_recorded: OnRecorded,
        on_ended: OnEnded = lambda _activity, _paths: None,
    ) -> None:
        """Record that a call ended, and what it read and wrote as soon as that is digested.

        Parameters
        ----------
        on_recorded
            Called with the finished record; in another thread, if this does not wait for it.
        on_ended
            Called before, with the Activity as far as it is known and the paths that the call wrote.
        """
        began, ended_at = time.monotonic(), self._clock()
        parents = self._open.get()
        if opened in parents:
            parents = parents[: parents.index(opened)]
            self._open.set(parents)
        try:
            ended = self._ended(opened, result, ended_at, parents)
            known = replace(ended.activity, problems=tuple(opened.problems))
            on_ended(known, tuple(written.path for written in ended.left.written))
            if self._finish_queue is None or parents or not (ended.awaited or self._finish_queue.busy):
                self.settle()
                on_recorded(*self._finishing.finish(replace(ended, awaited={}), began))
            else:
                opened.waited_s += time.monotonic() - began
                self._finishing.promise(ended)
                self._finish_queue.add(
                    ended.awaited,
                    lambda: on_recorded(*self._finished(ended)),
                    refers_elsewhere=lambda: any(
                        _lies_elsewhere(path, stamps) for path, stamps in ended.awaited.items()
                    ),
                )
        except BaseException as error:
            activity = replace(opened.activity, ended_at=ended_at, outcome=result.outcome, failure=result.failure)
            self._finishing.fail(opened, activity, error)
            raise

    def settle(self) -> None:
        """Wait until the records of all calls that have ended are finished."""
        if self._finish_queue is not None:
            self._finish_queue.wait()

    def _ended(self, opened: OpenCall, result: TaskResult, ended_at: str, parents: tuple[OpenCall, ...]) -> Ended:
        left = remains(opened, self._walk(opened.call.cwd))
        returned = to_json(result.returned)
        activity = replace(
            opened.activity,
            ended_at=ended_at,
            outcome=result.outcome,
            returned=summarise(returned, _MAX_RETURNED_BYTES),
            returned_digest=digest_record("casaprov/value/1", returned) if is_exact(returned) else None,
            failure=result.failure,
            log=self._log(opened, result.log),
        )
        # From here on other threads take turns with this one. All are under way before the first is waited for.
        tiers = {written.path: opened.tiers.get(written.path, "full") for written in left.written}
        self._tiers.update(tiers)
        for path in left.gone:
            self._tiers.pop(path, None)
        pending = {
            path: self._digester.submit(path, tier=tier, stamps=left.stamps[path]) for path, tier in tiers.items()
        }
        awaited = {path: left.stamps[path] for path, future in (opened.pending | pending).items() if not future.done()}
        return Ended(opened, activity, parents, left, pending, awaited)

    def _finished(self, ended: Ended) -> Recorded:
        try:
            return self._finishing.finish(ended)
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the record says it
            return self._finishing.fail(ended.opened, ended.activity, error)

    def measure_with(self, digester: Digester) -> None:
        """Measure with another digester from the next call on."""
        self._digester = digester

    def was_paused(self, since: str, until: str) -> None:
        """Take note that nothing was recorded between two times: what changed then has that for a reason."""
        self._finishing.pauses.add(since, until, self._calls)

    def close(self) -> None:
        """Record that the session ends here."""
        self.settle()
        self._journal.close(self._clock())

    # -- parts ---------------------------------------------------------------

    def _walk(self, folder: Path) -> Snapshot:
        return walk(folder, stamp_table=self._watches.stamp)

    def _spec(self, call: TaskCall) -> TaskSpec | None:
        return spec_of(self._specs, call.package, call.task)

    def _tier_of(self, path: Path) -> Tier:
        return self._tiers.get(path) or self._finishing.tier(path) or self._tier(path)

    def _log(self, opened: OpenCall, text: str) -> LogSegment | None:
        if not text:
            return None
        lines = text.splitlines()
        number = opened.activity.id.rpartition("/")[2]
        try:
            path = self._journal.write_log(f"{number}-{opened.call.task}", text)
        except JournalError as error:
            opened.problems.append(str(error))
            return None
        levels = [line.split("\t")[1] for line in lines if line.count("\t") > 1]
        return LogSegment(path=path, lines=len(lines), warnings=levels.count("WARN"), errors=levels.count("SEVERE"))


def _lies_elsewhere(path: Path, stamps: Stamps) -> bool:
    """Tell whether a product may consist of more than what lies at its path."""
    return stamps.linked or not is_self_contained(path, stamps)
