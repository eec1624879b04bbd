"""Runner: the one way in which a task call is executed, in a notebook and in a replay.

Its beginning is recorded, an :class:`~casaprov.tasks.calls.Executor` runs it, and its end is recorded. Where the cache
is on, the results of an equal call are restored instead, and those of a call that ran are kept. Failures of the
recorder become a warning and a record that is marked incomplete; they never reach the task.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from casaprov.digests.measurement import Measurement
from casaprov.files.stamps import Stamps
from casaprov.recorder import OnEnded, OnRecorded, Recorder
from casaprov.recording.open_call import OpenCall
from casaprov.recording.printed_text import kept_prints
from casaprov.records.model import Activity, Entity
from casaprov.tasks.calls import Executor, FileTable, TaskCall, TaskResult, error_text
from casaprov.tasks.specs import TaskSpec

if TYPE_CHECKING:
    from casaprov.recompute.action_key import KeyedCall
    from casaprov.recompute.lookup import Attempt, Value

__all__ = ["Results", "Runner"]

_log = logging.getLogger(__name__)


class Results(Protocol):
    """Restores and keeps the results of calls (:class:`casaprov.recompute.lookup.Recomputation`)."""

    @property
    def base(self) -> Path:
        """Folder that the names of files start from."""
        ...

    def attempt(
        self,
        call: KeyedCall,
        measurements: Mapping[Path, Future[Measurement]],
        stamps: Mapping[Path, Stamps],
        /,
        *,
        refusal: str = "",
    ) -> Attempt:
        """Look a call up, and restore its results if there are any; `refusal` is a reason to run it."""
        ...

    def value_of(self, result: TaskResult, /) -> Value:
        """Copy the return value of a call, its log, text and figures."""
        ...

    def keep(
        self,
        attempt: Attempt,
        activity: Activity,
        value: Value,
        written: Mapping[Path, tuple[Stamps, Future[Measurement]]],
        gone: Sequence[Path],
        /,
    ) -> str:
        """Keep the results of a call that ran; return the reason why they are not kept, empty if they will be."""
        ...


class Runner:
    """Runs task calls under recording.

    Parameters
    ----------
    recorder
        Records every call.
    on_ended
        Called when a call has ended, with its Activity as far as it is known and the paths that it wrote.
    on_recorded
        Called with each finished Activity and the Entities that it names; perhaps later, in another thread.
    on_trouble
        Called once, with a sentence for the user, when recording fails.
    recomputation
        Returns what restores and keeps results; None where the cache is off.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        on_ended: OnEnded = lambda _activity, _paths: None,
        on_recorded: OnRecorded = lambda _activity, _entities: None,
        on_trouble: Callable[[str], None] = _log.warning,
        recomputation: Callable[[], Results | None] = lambda: None,
    ) -> None:
        self.recorder = recorder
        self._recomputation = recomputation
        self._under_way: set[str] = set()  # ids of the calls that have begun and not ended, in all threads
        self._on_ended = on_ended
        self._on_recorded = on_recorded
        self._on_trouble = on_trouble
        self._has_warned = False

    def run(self, call: TaskCall, executor: Executor, files: FileTable | None = None) -> TaskResult:
        """Run `call` under recording, or restore its results, and return how it ended.

        Parameters
        ----------
        files
            Declaration of its files; by default that of the TaskSpec.
        """
        open_call = self.begin(call, files)
        recomputation = self._recomputation() if open_call is not None else None
        if open_call is None or recomputation is None:
            result, keep = executor.run(call), None
        else:
            result, keep = self._restored_or_run(open_call, executor, recomputation)
        try:
            if open_call is not None:
                self.end(open_call, result, keep)
            return result
        finally:
            # The traceback of the task's error leads to this frame. A frame that held the error in turn would be part
            # of a circle, which keeps open what the task had open (:class:`casaprov.tasks.calls.TaskResult`).
            del result

    def begin(self, call: TaskCall, files: FileTable | None = None, *, encloses: bool = True) -> OpenCall | None:
        """Record the begin of a call; None if the recorder failed. See :meth:`casaprov.recorder.Recorder.begin`."""
        try:
            open_call = self.recorder.begin(call, files, encloses=encloses)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._warn(f"the call of {call.task} is not recorded ({_text_of(error)})")
            return None
        self._under_way.add(open_call.activity.id)
        return open_call

    def end(self, open_call: OpenCall, result: TaskResult, keep: Callable[[Activity], None] | None = None) -> None:
        """Record how a call ended.

        Parameters
        ----------
        keep
            Called with the finished record before anything may change the products.
        """

        def recorded(activity: Activity, entities: tuple[Entity, ...]) -> None:
            if keep is not None:
                keep(activity)
            self._recorded(activity, entities)

        self._under_way.discard(open_call.activity.id)
        try:
            self.recorder.end_soon(open_call, result, recorded, self._ended)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._warn(f"the record of {open_call.call.task} is incomplete ({_text_of(error)})")

    def _restored_or_run(
        self, open_call: OpenCall, executor: Executor, recomputation: Results
    ) -> tuple[TaskResult, Callable[[Activity], None] | None]:
        """Restore the results of a call or run it; return its result, and a function that keeps that."""
        began, progress = time.monotonic(), open_call.progress
        attempt = self._attempt(open_call, recomputation)
        progress.look_up = attempt.look_up
        progress.waited_s += time.monotonic() - began
        if attempt.result is not None:
            return attempt.result, None
        with kept_prints() as printed:
            result = executor.run(open_call.call)
        try:
            code = open_call.call.code
            if attempt.key is None or result.error is not None or (code is not None and code.changed_arguments()):
                return result, None
            # Now, and not when the record is finished: the user may change what the call returned.
            value = recomputation.value_of(replace(result, printed=tuple(printed)))
            return result, self._keeper(attempt, value, open_call, recomputation)
        finally:
            del result  # see :class:`casaprov.tasks.calls.TaskResult`

    def _keeper(
        self, attempt: Attempt, value: Value, open_call: OpenCall, recomputation: Results
    ) -> Callable[[Activity], None]:
        """Return a function that keeps the results of a call that ran."""
        progress = open_call.progress
        progress.keeps = not value.problem

        def keep(activity: Activity) -> None:
            ended, progress.ended = progress.ended, None
            if ended is not None:
                changes, measured = ended.changes, ended.measurements
                left = {of.path: (changes.stamps[of.path], measured[of.path]) for of in changes.written if of.declared}
                recomputation.keep(attempt, activity, value, left, changes.gone)

        return keep

    def _attempt(self, open_call: OpenCall, recomputation: Results) -> Attempt:
        from casaprov.recompute.action_key import KeyedCall  # loaded where the cache is on

        call, refusal, source = open_call.call, "", ""
        if call.code is not None:
            refusal, source = call.code.problem, call.code.digest or ""
            call = replace(call, parameters=call.code.arguments)
        elif not isinstance(open_call.files, TaskSpec):
            refusal = "No task table describes what the call reads and writes."
        if not refusal and self._under_way != {open_call.activity.id}:
            refusal = "It is part of another call, or another call runs at the same time."
        spec = (
            open_call.files if isinstance(open_call.files, TaskSpec) else TaskSpec(task=call.task, package=call.package)
        )
        keyed = KeyedCall(
            call=call,
            spec=spec,
            base=recomputation.base,
            uses=open_call.uses,
            outputs=open_call.outputs,
            source=source,
        )
        return recomputation.attempt(keyed, open_call.measurements, open_call.stamps, refusal=refusal)

    def _ended(self, activity: Activity, written: tuple[Path, ...]) -> None:
        if activity.problems:  # shown in the cell of the call; a later warning may come after the cell has ended
            self._warn(f"the record of {activity.task} is incomplete ({activity.problems[0]})")
        self._on_ended(activity, written)

    def _recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        try:
            if activity.problems:
                self._warn(f"the record of {activity.task} is incomplete ({activity.problems[0]})")
            self._on_recorded(activity, entities)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._warn(f"the record of {activity.task} is incomplete ({_text_of(error)})")

    def _warn(self, text: str) -> None:
        _log.info("recording: %s", text, exc_info=True)
        if not self._has_warned:
            self._has_warned = True
            self._on_trouble(f"casaprov: {text}. Your tasks run as before; this warning appears once.")


def _text_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error_text(error)}"
