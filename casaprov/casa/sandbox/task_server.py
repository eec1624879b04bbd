"""The server in the child process of a replay: it runs CASA tasks that are named over a pipe."""

from __future__ import annotations

import atexit
import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from casaprov.casa.hooks.tasks import TASK_PACKAGES, task_names
from casaprov.casa.installed.data import data_folders, import_casatasks
from casaprov.casa.installed.environment import computing_environment, current_environment
from casaprov.casa.installed.held import held_reason
from casaprov.casa.installed.log import log_offset, log_since
from casaprov.casa.plots.appimages import PLOT_PACKAGES
from casaprov.casa.plots.headless import arguments, draw, log_file
from casaprov.casa.plots.old_protobuf import accept_old_messages
from casaprov.casa.plots.programs import PlotPrograms
from casaprov.confinement.limits import apply_limits
from casaprov.errors import CasaMissing, ReplayError
from casaprov.processes.worker import serve
from casaprov.records.model import Environment
from casaprov.records.serialise import structure, unstructure
from casaprov.records.values import from_json, to_json
from casaprov.replays import work_folder
from casaprov.tasks.calls import TaskCall
from casaprov.version import install_command

__all__ = ["arguments_for", "main"]


def environment(folder: str) -> Any:
    """Return the Environment of this process, with CASA imported."""
    import_casatasks()
    return unstructure(current_environment(Path(folder)))


def facts(environment: Any) -> dict[str, Any]:
    """Return the versions, threads and variables of this process, on which results depend."""
    return computing_environment(structure(environment, Environment))


def held(paths: list[str]) -> str:
    """Return a sentence about files below these paths that this process has open; empty without any."""
    return held_reason([Path(path) for path in paths])


def run(task: str, package: str, parameters: dict[str, Any], given: list[str], cwd: str) -> dict[str, Any]:
    """Run one task in `cwd`; an error of the task is part of the answer."""
    import_casatasks()
    os.chdir(cwd)
    function = _task(package, task)
    chosen = arguments_for(inspect.signature(function), parameters, given)
    offset = log_offset()
    try:
        returned = _drawn(task, package, function, chosen) if package in PLOT_PACKAGES else function(**chosen)
    except Exception as error:  # noqa: BLE001 - every error of a task is its outcome
        failure = {"type": type(error).__name__, "message": str(error)}
        return {"returned": None, "error": failure, "log": log_since(offset)}
    return {"returned": to_json(returned), "error": None, "log": log_since(offset)}


def defaults(task: str, package: str) -> dict[str, Any]:
    """Return the default of each parameter of a task."""
    import_casatasks()
    parameters = inspect.signature(_task(package, task)).parameters.values()
    return {one.name: to_json(one.default) for one in parameters if one.default is not one.empty}


def lacking(calls: list[dict[str, Any]]) -> list[str]:
    """Return why this CASA cannot run each of these calls, empty if it can: a task or a given parameter is missing."""
    import_casatasks()
    return [_lack(call["task"], call["package"], call["given"]) for call in calls]


def _lack(task: str, package: str, given: list[str]) -> str:
    try:
        arguments_for(inspect.signature(_task(package, task)), dict.fromkeys(given), given)
    except ReplayError as error:
        return error.message.removesuffix(".")
    except ImportError as error:
        return f"{package} cannot be loaded: {error}"
    return ""


def ready(package: str) -> None:
    """Start the program of a package that draws, so that its tasks can be run."""
    import_casatasks()
    accept_old_messages()
    try:
        importlib.import_module(package)
    except ImportError as error:
        message = f"{package} cannot be loaded: {error}."
        raise CasaMissing(message, hint=f"Run '{install_command('gui')}'.") from error
    _programs().ready(package, log_file(), str(data_folders()[0]))


def _drawn(task: str, package: str, function: Callable[..., Any], chosen: Mapping[str, Any]) -> Any:
    call = TaskCall(task=task, package=package, parameters=chosen, given=tuple(chosen), cwd=Path.cwd())
    return draw(call, lambda: function(**arguments(call)), _programs(), str(data_folders()[0]))


@cache
def _programs() -> PlotPrograms:
    # Unpacked, because a confined process can mount nothing; in memory, because an X server needs Unix sockets.
    programs = PlotPrograms(xvfb=False, fuse=False)
    atexit.register(programs.close)
    return programs


def arguments_for(signature: inspect.Signature, parameters: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Choose the arguments that repeat a recorded call with this version of the task.

    Parameters that the user gave are passed on. A recorded default is passed on only if this version has another
    default: parameters that were added or removed between two versions of CASA do no harm.

    Raises
    ------
    ReplayError
        If the user gave a parameter that this version does not have.
    """
    arguments = {}
    further = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    for name, value in parameters.items():
        parameter = signature.parameters.get(name)
        if parameter is None:
            if name in given and further:  # sdcal takes its last parameters as **kwargs
                arguments[name] = from_json(value)
            elif name in given:
                raise ReplayError(
                    f"This version of the task has no parameter {name!r}.",
                    hint="Replay with the CASA version that the crate names.",
                )
            continue
        if name in given or to_json(parameter.default) != value:
            arguments[name] = from_json(value)
    return arguments


def _task(package: str, task: str) -> Any:
    # A crate may come from a stranger: only tasks of known packages are ever called.
    if package not in TASK_PACKAGES:
        raise ReplayError(
            f"{package!r} is no package of CASA tasks.", hint=f"Tasks of {', '.join(TASK_PACKAGES)} can be replayed."
        )
    if package in PLOT_PACKAGES:
        accept_old_messages()
    module = importlib.import_module(package)
    found = getattr(module, task, None) if task in task_names(module) else None
    if found is None:
        raise ReplayError(
            f"This CASA has no task {package}.{task}.", hint="Replay with the CASA version that the crate names."
        )
    return found


def _copy(source: str, target: str) -> None:
    work_folder.copy(Path(source), Path(target))


def _remove(path: str) -> None:
    work_folder.remove(Path(path))


def _make_folder(path: str) -> None:
    work_folder.make_folder(Path(path))


def main() -> None:
    """Serve until the parent closes the pipe."""
    apply_limits()
    serve(
        {
            "defaults": defaults,
            "environment": environment,
            "facts": facts,
            "held": held,
            "lacking": lacking,
            "ready": ready,
            "run": run,
            "copy": _copy,
            "remove": _remove,
            "make_folder": _make_folder,
        }
    )


if __name__ == "__main__":
    main()
