"""Running tasks in a CASA of its own: the executor of a replay.

CASA runs in a child process, so that a crash in its C++ ends in a sentence
and not in the end of the replay, and so that another Python with another CASA
can be used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from casaprov.calls import TaskCall, TaskFailed, TaskResult
from casaprov.casa.confined_server import POLICY_VARIABLE
from casaprov.errors import ReplayError
from casaprov.model import Environment, structure
from casaprov.values import from_json, to_json
from casaprov.worker import Worker

__all__ = ["CasaProcess"]


class CasaProcess:
    """A child process with CASA that runs task calls, one after the other.

    It also changes the files of the work folder (:class:`casaprov.work_folder.Files`).

    Parameters
    ----------
    folder
        Where the process starts and CASA writes its log; all that it may change.
    inputs
        Files and folders elsewhere that it may read.
    python
        The interpreter whose CASA is used; by default this one's.
    confined
        Whether the kernel holds it to that (:mod:`casaprov.casa.confine`). If
        not, a call can do whatever the user can.
    """

    def __init__(
        self, folder: Path, *, inputs: Iterable[Path] = (), python: str = sys.executable, confined: bool = True
    ) -> None:
        if not confined:
            self._worker = Worker("casaprov.casa.task_server", python=python, cwd=folder)
            return
        scratch = folder / ".casaprov" / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        policy = {
            "write": [folder.as_posix()],
            "read": [path.resolve().as_posix() for path in inputs],
            "scratch": scratch.as_posix(),
        }
        variables = {POLICY_VARIABLE: json.dumps(policy)}
        self._worker = Worker("casaprov.casa.confined_server", python=python, cwd=folder, environment=variables)

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

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file or directory (:func:`casaprov.work_folder.copy`)."""
        self._worker.call("copy", source=source.as_posix(), target=target.as_posix())

    def remove(self, path: Path) -> None:
        """Remove a file or directory (:func:`casaprov.work_folder.remove`)."""
        self._worker.call("remove", path=path.as_posix())

    def make_folder(self, path: Path) -> None:
        """Make a folder (:func:`casaprov.work_folder.make_folder`)."""
        self._worker.call("make_folder", path=path.as_posix())

    def close(self) -> None:
        """End the child process, and whatever a call left running."""
        self._worker.close()
