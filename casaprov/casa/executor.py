"""Running tasks in a CASA of its own: the executor of a replay.

CASA runs in a child process, so that a crash in its C++ ends in a sentence
and not in the end of the replay, and so that another Python with another CASA
can be used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from casaprov.calls import TaskCall, TaskFailed, TaskResult
from casaprov.errors import ReplayError
from casaprov.model import Environment, structure
from casaprov.values import from_json, to_json
from casaprov.worker import Worker

__all__ = ["CasaProcess"]


class CasaProcess:
    """A child process with CASA that runs task calls, one after the other.

    Parameters
    ----------
    folder
        Where the process starts; CASA writes its log there.
    python
        The interpreter whose CASA is used; by default this one's.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self._worker = Worker("casaprov.casa.task_server", python=python, cwd=folder)

    def environment(self, folder: Path) -> Environment:
        """Return what the child runs in.

        Raises
        ------
        CasaMissing, CasaDataMissing
            If CASA cannot be imported there.
        """
        return structure(self._worker.call("environment", folder=folder.as_posix()), Environment)

    def run(self, call: TaskCall) -> TaskResult:
        """Run a call; a failing task and a dying CASA are both outcomes."""
        try:
            answer: dict[str, Any] = self._worker.call(
                "run",
                task=call.task,
                package=call.package,
                parameters={name: to_json(value) for name, value in call.parameters.items()},
                given=list(call.given),
                cwd=call.cwd.as_posix(),
            )
        except ReplayError as error:
            return TaskResult(error=error)
        if answer["error"]:
            failed = TaskFailed(answer["error"]["type"], answer["error"]["message"])
            return TaskResult(error=failed, log=answer["log"])
        return TaskResult(returned=from_json(answer["returned"]), log=answer["log"])

    def close(self) -> None:
        """End the child process."""
        self._worker.close()
