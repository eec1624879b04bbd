"""Runner: the one way in which a task call is executed, in a notebook and in a replay.

Its beginning is recorded, an :class:`~casaprov.tasks.calls.Executor` runs it, and its end is recorded. Failures of
the recorder become a warning and a record that is marked incomplete; they never reach the task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from casaprov.recorder import OnEnded, OnRecorded, Recorder
from casaprov.recording.open_call import OpenCall
from casaprov.records.model import Activity, Entity
from casaprov.tasks.calls import Executor, FileTable, TaskCall, TaskResult, error_text

__all__ = ["Runner"]

_log = logging.getLogger(__name__)


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
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        on_ended: OnEnded = lambda _activity, _paths: None,
        on_recorded: OnRecorded = lambda _activity, _entities: None,
        on_trouble: Callable[[str], None] = _log.warning,
    ) -> None:
        self.recorder = recorder
        self._on_ended = on_ended
        self._on_recorded = on_recorded
        self._on_trouble = on_trouble
        self._has_warned = False

    def run(self, call: TaskCall, executor: Executor) -> TaskResult:
        """Run `call` under recording and return how it ended."""
        open_call = self.begin(call)
        result = executor.run(call)
        try:
            if open_call is not None:
                self.end(open_call, result)
            return result
        finally:
            # The traceback of the task's error leads to this frame. A frame that held the error in turn would be part
            # of a circle, which keeps open what the task had open (:class:`casaprov.tasks.calls.TaskResult`).
            del result

    def begin(self, call: TaskCall, files: FileTable | None = None, *, encloses: bool = True) -> OpenCall | None:
        """Record the begin of a call; None if that failed. See :meth:`casaprov.recorder.Recorder.begin`."""
        try:
            return self.recorder.begin(call, files, encloses=encloses)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._warn(f"the call of {call.task} is not recorded ({_text_of(error)})")
            return None

    def end(self, open_call: OpenCall, result: TaskResult) -> None:
        """Record how a call ended."""
        try:
            self.recorder.end_soon(open_call, result, self._recorded, self._ended)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._warn(f"the record of {open_call.call.task} is incomplete ({_text_of(error)})")

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
