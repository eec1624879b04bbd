"""Stand-ins for tasks that are missing: every use of one gives the reason in a sentence.

Without them ``default(plotms); vis = "n.ms"; go()`` would run the task that was used before, for the shell's
``default`` prints an error and goes on.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, NoReturn

from casaprov.casa.plots.appimages import PLOT_TASKS
from casaprov.errors import TaskMissing

__all__ = ["GUI_PACKAGES", "RETIRED", "AbsentTask", "absent_tasks", "why_absent"]

GUI_PACKAGES: Mapping[str, str] = {**PLOT_TASKS, "msview": "casaviewer"}
"""Tasks with a window, and the package of each."""

RETIRED: Mapping[str, str] = {
    "clean": "tclean",
    "importevla": "importasdm",
    "oldstatwt": "statwt",
    "plotcal": "plotms",
    "viewer": "imview",
}
"""Tasks of CASA 5, in which many notebooks were written, and the task of CASA 6 in place of each."""


class AbsentTask:
    """Stands for a task that is missing; its representation gives the reason, and so does every use of it.

    Parameters
    ----------
    name
        Name of the task.
    reason
        The reason and the remedy, as a sentence.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.__name__ = name
        self.__doc__ = reason

    def __repr__(self) -> str:
        return self.__doc__ or self.__name__

    def _refuse(self, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise TaskMissing(repr(self))

    # The methods of a task that inp, go, default, tget and tput of the CASA shell call.
    __call__ = inp = set_global_defaults = tget = tput = _refuse


def absent_tasks(present: Mapping[str, Any]) -> dict[str, AbsentTask]:
    """Return stand-ins for the known tasks that the namespace `present` lacks, by name."""
    names = (*GUI_PACKAGES, *RETIRED)
    return {name: AbsentTask(name, why_absent(name)) for name in names if name not in present}


def why_absent(name: str) -> str:
    """Return a sentence with reason and remedy for a task of :data:`GUI_PACKAGES` or :data:`RETIRED`, else nothing."""
    if name in RETIRED:
        return f"{name} is no longer part of CASA; {RETIRED[name]} has taken its place."
    if name not in GUI_PACKAGES:
        return ""
    package = GUI_PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        return f"{name} is not there: install it with 'pip install {package}' and restart the kernel."
    return f"{name} is not there: its package {package} does not load; 'casaprov doctor' may know the reason."
