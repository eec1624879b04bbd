"""Names of tasks that are not there: each says in one sentence why, whatever is done with it.

Without them ``default(plotms); vis = "n.ms"; go()`` would run whichever task
was used before, for the shell's ``default`` prints an error and goes on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, NoReturn

from casaprov.casa.plots.appimages import PLOT_TASKS
from casaprov.errors import TaskMissing

__all__ = ["GUI_PACKAGES", "RETIRED", "AbsentTask", "absent_tasks", "why_absent"]

GUI_PACKAGES: Mapping[str, str] = {**PLOT_TASKS, "msview": "casaviewer"}
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
    told
        Why it is not there, and what to do, as a sentence.
    """

    def __init__(self, name: str, told: str) -> None:
        self.__name__ = name
        self.__doc__ = told

    def __repr__(self) -> str:
        return self.__doc__ or self.__name__

    def _refuse(self, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise TaskMissing(repr(self))

    # What the CASA shell's inp, go, default, tget and tput ask of a task.
    __call__ = inp = set_global_defaults = tget = tput = _refuse


def absent_tasks(present: Mapping[str, Any]) -> dict[str, AbsentTask]:
    """Return stand-ins for known tasks that are not in the namespace `present`, by name."""
    names = (*GUI_PACKAGES, *RETIRED)
    return {name: AbsentTask(name, why_absent(name)) for name in names if name not in present}


def why_absent(name: str) -> str:
    """Why a task of :data:`GUI_PACKAGES` or :data:`RETIRED` is not there, and what to do; empty for any other."""
    if name in RETIRED:
        return f"{name} is no longer part of CASA; {RETIRED[name]} has taken its place."
    if name not in GUI_PACKAGES:
        return ""
    package = GUI_PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        return f"{name} is not there: install it with 'pip install {package}' and restart the kernel."
    return f"{name} is not there: its package {package} does not load; 'casaprov doctor' may say why."
