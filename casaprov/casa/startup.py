"""CASA's own shell in a plain IPython kernel: its names and its calls without parentheses.

The shell of CASA is IPython with start scripts of the package casashell. Three of them define the names that users
know: tasks that take their parameters from global variables, instances of the tools (``tb``, ``ia``, ``qa``, ...), and
``inp``, ``go``, ``default``, ``tget``, ``tput``. They run here unchanged. The other scripts are left out: they are for a
terminal, set the prompt, open a logger window, write to ``~/.casa``, and end the process if data are missing. The
filter that refuses to assign to CASA's names is left out too: it also refuses ``from casatasks import tclean``.

CASA's shell also calls a word that stands alone in a line: ``inp tclean`` means ``inp(tclean)``. An input transformer
does that here, for cells that hold nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from casaprov.casa.absent_tasks import GUI_PACKAGES, absent_tasks
from casaprov.casa.hooks.tasks import task_names
from casaprov.casa.installed.data import import_casatasks, prepare
from casaprov.casa.installed.log import held_log, place_log
from casaprov.casa.plots.old_protobuf import accept_old_messages
from casaprov.errors import CasaMissing, MissingDependency
from casaprov.version import install_command

__all__ = ["MODULES", "SCRIPTS", "WORDS", "start_casa", "without_parentheses"]

SCRIPTS = ("load_tasks.py", "load_tools.py", "init_subparam.py")
"""Start scripts of casashell that run in the user's namespace, in this order."""

WORDS = ("inp", "go", "default", "tget", "tput", "saveinputs")
"""Words of CASA's shell that need no parentheses.

CASA's shell lets IPython call everything that can be called (``autocall=2``). In a notebook that would also call an
object that is only looked at, such as a model of astropy.
"""

MODULES = ("os", "platform", "re", "sys")
"""Modules that CASA's shell has imported: old scripts use them without importing them."""

_LINE = re.compile(rf"({'|'.join(WORDS)})(?:[ \t]+([A-Za-z_]\w*))?[ \t]*(;?)")
_HELP_SCRIPT = "init_doc.py"
_HELP = ("doc", "taskhelp", "toolhelp")

_NO_SHELL = "casashell is not installed, so inp, go, default and the tools' instances are missing."


def start_casa(shell: Any) -> MissingDependency | None:
    """Put the names of CASA's own shell into the namespace of an IPython shell.

    Parameters
    ----------
    shell
        The ``InteractiveShell`` of the kernel. Values that its namespace holds under CASA's names are replaced.

    Returns
    -------
    MissingDependency or None
        The error if a package is missing. Without casashell there are only the tasks of casatasks, without CASA nothing.
    """
    prepare()
    with held_log():
        try:
            casatasks = import_casatasks()
        except MissingDependency as error:
            return error
        missing = _fill(shell, casatasks)
    # A task places the log before it runs; this is for tools, and for messages of the user's own.
    shell.events.register("post_run_cell", lambda _result: place_log(only_if_used=True))
    atexit.register(place_log, only_if_used=True)
    return missing


def _fill(shell: Any, casatasks: ModuleType) -> MissingDependency | None:
    """Put the names into the namespace; return the error if CASA's shell is missing."""
    namespace = shell.user_ns
    namespace |= {name: getattr(casatasks, name) for name in task_names(casatasks)}
    namespace |= {"casatasks": casatasks, "casatools": importlib.import_module("casatools")}
    namespace |= {"casalog": casatasks.casalog, "ctsys": namespace["casatools"].ctsys}
    namespace |= {name: importlib.import_module(name) for name in MODULES if name not in namespace}
    missing = None
    if importlib.util.find_spec("casashell") is None:
        missing = CasaMissing(_NO_SHELL, hint=f"Run '{install_command('kernel')}' and restart the kernel.")
    else:
        _start_shell(shell, casatasks)
    namespace |= absent_tasks(namespace)
    return missing


def _start_shell(shell: Any, casatasks: ModuleType) -> None:
    namespace = shell.user_ns
    casashell: Any = importlib.import_module("casashell")
    config = casashell.casa_config_master
    # casashell itself would set these from its command line; that of a kernel has other options.
    quiet = {"log2term": config.log2term, "nologger": True, "nogui": config.nogui, "agg": config.agg}
    config.flags = casashell.flags = SimpleNamespace(pipeline=False, execute=[], **quiet)
    folder = Path(casashell.__file__).parent / "private"
    # The scripts look for the first three; the tasks, whenever they are called, for the last two.
    for_scripts = {"config": config, "casa_builtin_state": {}, "casa_nonbuiltin_state": {}}
    namespace |= for_scripts | {"casa_inp_go_state": {"last": None}, "__casashell_state__": {}}
    filters = list(shell.ast_transformers)
    try:
        with shell.builtin_trap:  # one of them asks for get_ipython()
            for name in SCRIPTS:
                _execute(folder / name, namespace)
            helping = {"__name__": "casashell.private.init_doc"}
            _execute(folder / _HELP_SCRIPT, helping)
    finally:
        shell.ast_transformers[:] = filters
        for name in (*for_scripts, "register_builtin"):
            namespace.pop(name, None)
    namespace |= {name: helping[name] for name in _HELP}
    namespace["execfile"] = _execfile(namespace)
    shell.input_transformers_cleanup.append(without_parentheses(namespace))
    accept_old_messages()
    namespace |= _window_tasks(namespace["casa_inp_go_state"])
    for name in task_names(casatasks):
        _show_defaults(namespace[name], getattr(casatasks, name))


def _execute(path: Path, namespace: dict[str, Any]) -> None:
    exec(compile(path.read_bytes(), str(path), "exec"), namespace)  # noqa: S102 - CASA's own start scripts


def _execfile(namespace: dict[str, Any]) -> Any:
    def execfile(filename: str) -> None:
        """Run a Python file in the notebook's namespace, as in CASA's own shell."""
        _execute(Path(filename), namespace)

    return execfile


def _window_tasks(casa_inp_go_state: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - looked for by its name
    """Return the installed tasks with a window, in the form that works with ``inp`` and ``go``.

    Parameters
    ----------
    casa_inp_go_state
        State shared by ``default`` and ``go``. The modules of the tasks, when they are imported, look for a local
        variable of this name in the frames above.
    """
    found = {}
    for name, package in GUI_PACKAGES.items():
        # These packages may lack a library of the system; the kernel starts without them.
        with contextlib.suppress(Exception):
            if importlib.util.find_spec(package) is not None:
                task = getattr(importlib.import_module(f"{package}.gotasks.{name}"), name)
                _show_defaults(task, getattr(importlib.import_module(package), name))
                found[name] = task
    return found


def _show_defaults(task: Any, original: Any) -> None:
    """Put the defaults of casatasks into the signature of a task of the shell, whose own are None."""
    call: Any = type(task).__call__
    own, public = inspect.signature(call), inspect.signature(type(original).__call__).parameters
    parameters = [
        parameter.replace(default=public[name].default) if name in public else parameter
        for name, parameter in own.parameters.items()
    ]
    call.__signature__ = own.replace(parameters=parameters)


def without_parentheses(namespace: Mapping[str, Any]) -> Callable[[list[str]], list[str]]:
    """Return an input transformer of IPython that adds parentheses to a cell of one word, with an argument or not.

    Parameters
    ----------
    namespace
        The user's namespace, with the functions of CASA's shell. A word that is bound to another value later is left
        as it is.
    """
    functions = {word: namespace[word] for word in WORDS if word in namespace}

    def transform(lines: list[str]) -> list[str]:
        found = _LINE.fullmatch("".join(lines).strip())
        if found is None or namespace.get(found[1]) is not functions.get(found[1], transform):
            return lines
        return [f"{found[1]}({found[2] or ''}){found[3]}\n"]

    return transform
