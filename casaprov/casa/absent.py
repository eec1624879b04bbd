"""Names of tasks that are not there: each says in one sentence why, whatever is done with it.

Without them ``default(plotms); vis = "n.ms"; go()`` would run whichever task
was used before, for the shell's ``default`` prints an error and goes on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, NoReturn

from casaprov.errors import TaskMissing

__all__ = ["GUI_PACKAGES", "RETIRED", "AbsentTask", "absent_tasks", "retired"]

GUI_PACKAGES: Mapping[str, str] = {"plotms": "casaplotms", "imview": "casaviewer", "msview": "casaviewer"}
"""Tasks with a window, and the package that each comes in."""

RETIRED: Mapping[str, str] = {
    "clean": "tclean",
    "importevla": "importasdm",
    "oldstatwt": "statwt",
    "plotcal": "plotms",
    "viewer": "imview",
}
"""Tasks of CASA 5, in which many notebooks were written, that CASA 6 has no more, and what took their place."""


class AbsentTask:
    """Stands for a task that is not there; its own name shows why, and so does every use of it.

    Parameters
    ----------
    name
        The task's name.
    reason, remedy
        What is missing, and what to do.
    """

    def __init__(self, name: str, reason: str, remedy: str) -> None:
        self.__name__ = name
        self._reason = reason
        self._remedy = remedy
        self.__doc__ = repr(self)

    def __repr__(self) -> str:
        return f"{self._reason} {self._remedy}"

    def _refuse(self, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise TaskMissing(self._reason, hint=self._remedy)

    # What the CASA shell's inp, go, default, tget and tput ask of a task.
    __call__ = inp = set_global_defaults = tget = tput = _refuse


def absent_tasks(present: Mapping[str, Any]) -> dict[str, AbsentTask]:
    """Return stand-ins for known tasks that are not in the namespace `present`, by name."""
    found = {}
    for name, package in GUI_PACKAGES.items():
        lacking = importlib.util.find_spec(package) is None
        reason = f"{name} is not there: the package {package} {'is not installed' if lacking else 'does not load'}."
        remedy = f"Run 'pip install {package}' and restart the kernel." if lacking else "'casaprov doctor' may say more."
        found[name] = AbsentTask(name, reason, remedy)
    for name in RETIRED:
        found[name] = AbsentTask(name, *retired(name))
    return {name: task for name, task in found.items() if name not in present}


def retired(name: str) -> tuple[str, str]:
    """What there is to say about a task of the table :data:`RETIRED`."""
    return f"{name} is no longer part of CASA.", f"{RETIRED[name]} has taken its place."
