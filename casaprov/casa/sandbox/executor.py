"""The executor of a replay: it runs tasks in a child process with a CASA of its own.

So a crash in CASA's C++ ends in a sentence and not in the end of the replay, and another Python with another CASA can
be used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from casaprov.casa.plots.appimages import PLOT_PACKAGES, PROGRAMS_VARIABLE, unpacked_programs
from casaprov.casa.sandbox.confined_server import POLICY_VARIABLE, passed_on
from casaprov.confinement.limits import Limits, limits_environment
from casaprov.confinement.watch import LimitWatch, limit_in
from casaprov.errors import CasaprovError, ReplayError, WorkerDied
from casaprov.processes.worker import Worker
from casaprov.records.model import Activity, Environment
from casaprov.records.serialise import structure, unstructure
from casaprov.records.values import from_json, to_json
from casaprov.tasks.calls import TaskCall, TaskFailed, TaskResult

__all__ = ["CasaProcess"]

_HINT = "If you trust the crate, give it more with --limit {name}=…, or {name}=none."


class CasaProcess:
    """A child process with CASA that runs task calls, one after the other.

    It also changes the files of the work folder (:class:`casaprov.replays.work_folder.Files`).

    Parameters
    ----------
    folder
        Folder in which the process starts and CASA writes its log; the process may change nothing else.
    inputs
        Files and folders elsewhere that it may read.
    python
        The interpreter whose CASA is used; by default this one's.
    confined
        True if the Linux kernel enforces these limits (:mod:`casaprov.casa.sandbox.confine`). Else a call can do
        everything that the user can.
    limits
        The most that the processes of a call may use.
    """

    def __init__(
        self,
        folder: Path,
        *,
        inputs: Iterable[Path] = (),
        python: str = sys.executable,
        confined: bool = True,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._folder = folder
        self._inputs = [path.resolve().as_posix() for path in inputs]
        self._python = python
        self._confined = confined
        self._limits = limits
        self._worker = self._process(draws=())
        self._drawing: Worker | None = None

    def _process(self, *, draws: Iterable[str]) -> Worker:
        watch = LimitWatch(self._limits_of, folder=self._folder, hint=_HINT)
        if not self._confined:
            return Worker(
                "casaprov.casa.sandbox.task_server",
                python=self._python,
                cwd=self._folder,
                environment=limits_environment(self._limits),
                watch=watch,
            )
        scratch = self._folder / ".casaprov" / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        policy = {
            "write": [self._folder.as_posix()],
            "read": self._inputs,
            "scratch": scratch.as_posix(),
            "draws": list(draws),
        }
        variables = {POLICY_VARIABLE: json.dumps(policy), PROGRAMS_VARIABLE: str(unpacked_programs())}
        variables |= limits_environment(self._limits)
        return Worker(
            "casaprov.casa.sandbox.confined_server",
            python=self._python,
            cwd=self._folder,
            environment=variables,
            inherits=passed_on,
            watch=watch,
        )

    def _limits_of(self, name: str, _arguments: Any) -> Limits:
        """Return the limits of a call of the process; the start of CASA and copies of inputs may take their time."""
        return self._limits if name == "run" else replace(self._limits, time=None, cpu=None)

    def unable(self, calls: Sequence[Activity]) -> dict[str, str]:
        """Return the reason for each of `calls` that cannot be run here, by its id.

        Tasks that draw get a process of their own, which has a few rights more than CASA alone needs.
        """
        asked = [{"task": call.task, "package": call.package, "given": list(call.given)} for call in calls]
        lacks = cast("list[str]", self._worker.call("lacking", calls=asked))
        found = {call.id: str(lack) for call, lack in zip(calls, lacks, strict=True) if lack}
        for package, reason in self._cannot_draw({call.package for call in calls if call.id not in found}).items():
            found |= {call.id: reason for call in calls if call.package == package}
        return found

    def _cannot_draw(self, packages: Container[str]) -> dict[str, str]:
        draws = [package for package in PLOT_PACKAGES if package in packages]
        found: dict[str, str] = {}
        if draws:
            self._drawing = self._process(draws=draws)
        for package in draws:
            try:
                cast("Worker", self._drawing).call("ready", package=package)
            except CasaprovError as error:
                found[package] = f"{package} cannot draw here: {error.message}"
        return found

    def environment(self, folder: Path) -> Environment:
        """Return the environment of the child.

        Raises
        ------
        CasaMissing, CasaDataMissing
            If CASA cannot be imported there.
        """
        return structure(self._worker.call("environment", folder=folder.as_posix()), Environment)

    def facts(self, environment: Environment) -> dict[str, Any]:
        """Return the versions, threads and variables of the child, on which results depend.

        Parameters
        ----------
        environment
            Its environment, as it was asked before.
        """
        return dict(self._worker.call("facts", environment=unstructure(environment)))

    def defaults(self, task: str, package: str) -> dict[str, Any]:
        """Return the default of each parameter of a task of the child, as JSON values."""
        return dict(self._worker.call("defaults", task=task, package=package))

    def held(self, paths: Sequence[Path]) -> str:
        """Return a sentence about files below these paths that the child has open; empty without any."""
        return str(self._worker.call("held", paths=[path.as_posix() for path in paths]))

    def run(self, call: TaskCall) -> TaskResult:
        """Run a call; a failed task and a crash of CASA are both returned as its result."""
        worker = self._drawing if call.package in PLOT_PACKAGES and self._drawing is not None else self._worker
        try:
            answer = worker.call(
                "run",
                task=call.task,
                package=call.package,
                parameters={name: to_json(value) for name, value in call.parameters.items()},
                given=list(call.given),
                cwd=call.cwd.as_posix(),
            )
        except ReplayError as error:
            return TaskResult(error=error)
        result = _result(call.task, answer)
        reached = limit_in(str(result.error), self._limits, _HINT) if result.error is not None else None
        return result if reached is None else TaskResult(error=reached, log=result.log)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file or directory (:func:`casaprov.replays.work_folder.copy`)."""
        self._worker.call("copy", source=source.as_posix(), target=target.as_posix())

    def remove(self, path: Path) -> None:
        """Remove a file or directory (:func:`casaprov.replays.work_folder.remove`)."""
        self._worker.call("remove", path=path.as_posix())

    def make_folder(self, path: Path) -> None:
        """Make a folder (:func:`casaprov.replays.work_folder.make_folder`)."""
        self._worker.call("make_folder", path=path.as_posix())

    def close(self) -> None:
        """End the child processes, and all processes that a call left running."""
        self._worker.close()
        if self._drawing is not None:
            self._drawing.close()


def _result(task: str, answer: Any) -> TaskResult:
    """Read the answer of the process; a stranger's call may have written anything into the pipe."""
    try:
        match answer:
            case {"error": None, "returned": returned, "log": str(log)}:
                return TaskResult(returned=from_json(returned), log=log)
            case {"error": {"type": str(kind), "message": str(message)}, "log": str(log)}:
                return TaskResult(error=TaskFailed(kind, message), log=log)
            case _:
                pass
    except (ValueError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError):
        pass  # a value whose content does not fit its type
    return TaskResult(error=WorkerDied(f"The process answered the call of {task} with nonsense."))
