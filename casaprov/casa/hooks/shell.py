"""Tasks of the CASA shell, which do not pass through the classes of casatasks.

A module ``casashell.private.gaincal`` holds a class ``_gaincal`` of its own and its own reference ``_gaincal_t`` to the
task function of casatasks. Its tasks can be called without arguments: their parameters are then the global variables of
the same names, as ``inp``, ``default``, ``tget`` and ``go`` use them. An argument of None counts as not given.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from casaprov.records.values import to_json

__all__ = ["given_in_shell", "shell_modules", "shell_task"]

_PACKAGE = "casashell.private"


def shell_modules() -> tuple[str, ...]:
    """Return the names of the modules of casashell that may hold a task; none if it is not installed.

    The import of casashell does not load all of them; each is hooked when it is loaded.
    """
    spec = importlib.util.find_spec("casashell")
    folders = spec.submodule_search_locations if spec is not None else None
    return tuple(
        f"{_PACKAGE}.{file.stem}" for folder in folders or () for file in sorted(Path(folder, "private").glob("*.py"))
    )


def shell_task(module: ModuleType) -> str | None:
    """Return the name of the task that a module of casashell defines; None for any other module."""
    package, _, name = module.__name__.rpartition(".")
    return name if package == _PACKAGE else None


def given_in_shell(task: Any, name: str, parameters: Iterable[str], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that the user gave: arguments, else global variables that differ from the default.

    Parameters
    ----------
    task
        Instance of casashell's class for the task `name`.
    parameters
        Names of all parameters of the task.
    arguments
        The arguments of the call.
    """
    passed = {parameter: value for parameter, value in arguments.items() if value is not None}
    if passed:
        return passed
    try:
        variables = getattr(task, f"_{name}__globals_")()
    except Exception:  # noqa: BLE001 - outside of a CASA shell the task itself raises the same
        return {}
    found = {parameter: variables[parameter] for parameter in parameters if parameter in variables}
    return {parameter: value for parameter, value in found.items() if not _is_default(task, name, parameter, found)}


def _is_default(task: Any, name: str, parameter: str, values: dict[str, Any]) -> bool:
    """Return True if a parameter has its default value, which can depend on the other parameters."""
    others = {key: value for key, value in values.items() if key != parameter}
    try:
        default = getattr(task, f"_{name}__{parameter}")(others)
        return bool(to_json(values[parameter]) == to_json(default))
    except Exception:  # noqa: BLE001 - another version of casashell: each variable that is set counts as given
        return False
