"""Calls of plotms and imview without a window: changed parameters, and how the task is run with them.

Both tasks open a window and wait for their user. In a notebook they draw into a file, which the notebook shows: a file
that the user names, else one beside the journal. Parameters that are changed for this are kept in the record as the
user gave them (``Activity.replaced``).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

from casaprov.casa.installed.log import log_offset, log_path, log_since
from casaprov.casa.plots.appimages import PLOT_PACKAGES
from casaprov.errors import CasaMissing
from casaprov.tasks.calls import TaskCall
from casaprov.version import install_command

__all__ = ["Programs", "arguments", "draw", "headless", "log_file"]

_MAX_LOG_LINES = 4
_NO_REASON = ("Task ", "#####", "Exporting", "<_", ">", "status =", "debug_error_string", "details =")


class Programs(Protocol):
    """Keeps the programs that draw (:class:`casaprov.casa.plots.programs.PlotPrograms`)."""

    def ready(self, package: str, log: str, data: str) -> Mapping[str, str]:
        """Start the program of a package unless it runs; return its ``address`` and ``display``."""
        ...

    def stop(self, package: str) -> None:
        """End the program of a package."""
        ...


def headless(call: TaskCall, picture: Callable[[], str]) -> TaskCall:
    """Return `call` as it can be run without a window.

    Parameters
    ----------
    picture
        Returns the name of a PNG file; called if the user names no file.
    """
    changes = (_headless_plotms if call.task == "plotms" else _headless_imview)(call.parameters, picture)
    changed = {name: value for name, value in changes.items() if call.parameters.get(name) != value}
    return replace(
        call,
        parameters={**call.parameters, **changed},
        replaced={name: call.parameters.get(name) for name in changed},
    )


def _headless_plotms(parameters: Mapping[str, Any], picture: Callable[[], str]) -> dict[str, Any]:
    changes: dict[str, Any] = {"showgui": False}
    if not parameters.get("plotfile"):
        changes |= {"plotfile": picture(), "expformat": "png", "overwrite": True}
    if parameters.get("iteraxis") and not parameters.get("exprange"):
        changes["exprange"] = "all"  # the first page keeps its name; there is no window to turn pages in
    return changes


def _headless_imview(parameters: Mapping[str, Any], picture: Callable[[], str]) -> dict[str, Any]:
    out = parameters.get("out")
    if isinstance(out, dict) and not out.get("file"):
        return {"out": {**out, "file": picture(), "format": "png"}}
    return {} if out else {"out": picture()}


def arguments(call: TaskCall) -> dict[str, Any]:
    """Return the arguments of the task, with an absolute path: its program has another working directory."""
    plotfile = call.parameters.get("plotfile")
    if call.task != "plotms" or not isinstance(plotfile, str) or not plotfile:
        return dict(call.parameters)
    return {**call.parameters, "plotfile": os.path.abspath(call.cwd / plotfile)}  # noqa: PTH100 - links are kept


def draw(call: TaskCall, function: Callable[[], Any], programs: Programs, data: str) -> Any:
    """Run a task that draws, whose call is :func:`headless`, and return its value.

    Parameters
    ----------
    function
        Calls the task itself.
    data
        Folder of CASA's data.

    Raises
    ------
    CasaMissing
        If its program is not installed or does not start.
    RuntimeError
        If the program refuses the call, or ends. Errors of the task itself are left as they are.
    """
    program = programs.ready(call.package, log_file(), data)
    _connect(call.package, program["address"])
    offset = log_offset()
    try:
        with _display(program["display"]):
            return function()
    except KeyboardInterrupt:
        programs.stop(call.package)  # the program would go on drawing and refuse the next call
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "grpc":
            raise
        details = str(getattr(error, "details", lambda: "")() or "it ended")
        raise RuntimeError(_refusal(call, details, log_since(offset))) from None


def _refusal(call: TaskCall, details: str, log: str) -> str:
    # Columns of the log are separated by tabs: time, priority, origin, text.
    columns = [line.split("\t", 3) for line in log.splitlines()]
    texts = [c[3].strip() for c in columns if len(c) == 4 and c[1].strip() in ("WARN", "SEVERE") and c[3].strip()]
    texts += [c[3].strip() for c in columns if len(c) == 4 and "match for" in c[3]]
    texts = [text for text in dict.fromkeys(texts) if not text.startswith(_NO_REASON) and "TAI_UTC" not in text]
    reason = f" The log says: {'; '.join(texts[-_MAX_LOG_LINES:])}" if texts else " The log may say more."
    return f"{call.task} could not draw this: {details.rstrip('.')}.{reason}"


class _Ended:
    """Stands for the program where a task would end it, and start another one beyond our control."""

    def __init__(self, package: str) -> None:
        self._package = package

    def kill(self) -> None:
        raise RuntimeError(f"The program of {self._package} ended while it was drawing; call the task again.")


def _connect(package: str, address: str) -> None:
    """Give the package's own module the address of its program."""
    assert package in PLOT_PACKAGES
    module = importlib.import_module(
        f"{package}.private." + ("plotmstool" if package == "casaplotms" else "viewertool")
    )
    state = vars(module)
    if not {"__proc", "__uri", "__stub"} <= state.keys():
        raise CasaMissing(
            f"This {package} is not known to casaprov.", hint=f"'{install_command('gui')}' installs one that is."
        )
    if package == "casaplotms":
        if state["__uri"] != address:
            state.update({"__uri": None, "__stub": None})
            module.stub(address)
        state["__proc"] = _Ended(package)
        return
    if state["__uri"]["--nogui"] != address:
        state["__stub"]["--nogui"] = None
        state["__uri"]["--nogui"] = address
    state["__proc"]["--nogui"] = _Ended(package)


def log_file() -> str:
    """Return the file that casalog writes to, and the programs too; empty if there is none."""
    with suppress(ImportError):
        importlib.import_module("casatasks")
    return str(log_path() or "")


@contextmanager
def _display(name: str) -> Iterator[None]:
    """Set ``DISPLAY`` while a task runs: plotms looks for a display, but does not draw on it."""
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = name
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("DISPLAY", None)
        else:
            os.environ["DISPLAY"] = before
