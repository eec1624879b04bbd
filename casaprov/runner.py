"""The one execution path of a task call: the notebook and the replay share it.

A call is recorded, run through an :class:`~casaprov.tasks.calls.Executor`, and recorded again. The
recorder's own troubles become a warning and a record marked incomplete; they
never reach the task.
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
        Called with each finished Activity and the Entities it names; it may be in another thread, later.
    on_trouble
        Called once, with a sentence for the user, when recording itself fails.
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
        self._troubled = False

    def run(self, call: TaskCall, executor: Executor) -> TaskResult:
        """Run `call` under recording and return how it ended."""
        opened = self.begin(call)
        result = executor.run(call)
        try:
            if opened is not None:
                self.end(opened, result)
            return result
        finally:  # see :class:`casaprov.tasks.calls.TaskResult`
            del result

    def begin(self, call: TaskCall, files: FileTable | None = None, *, encloses: bool = True) -> OpenCall | None:
        """Record that something begins; None if that failed. See :meth:`casaprov.recorder.Recorder.begin`."""
        try:
            return self.recorder.begin(call, files, encloses=encloses)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._trouble(f"the call of {call.task} is not recorded ({_told(error)})")
            return None

    def end(self, opened: OpenCall, result: TaskResult) -> None:
        """Record how it ended."""
        try:
            self.recorder.end_soon(opened, result, self._recorded, self._ended)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._trouble(f"the record of {opened.call.task} is incomplete ({_told(error)})")

    def _ended(self, activity: Activity, written: tuple[Path, ...]) -> None:
        if activity.problems:  # in the cell of the call; what is found later may come too late for it
            self._trouble(f"the record of {activity.task} is incomplete ({activity.problems[0]})")
        self._on_ended(activity, written)

    def _recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        try:
            if activity.problems:
                self._trouble(f"the record of {activity.task} is incomplete ({activity.problems[0]})")
            self._on_recorded(activity, entities)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
            self._trouble(f"the record of {activity.task} is incomplete ({_told(error)})")

    def _trouble(self, told: str) -> None:
        _log.info("recording: %s", told, exc_info=True)
        if not self._troubled:
            self._troubled = True
            self._on_trouble(f"casaprov: {told}. Your tasks run on as before; this is said once.")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error_text(error)}"
