"""``python -m casaprov.script_hook -- SCRIPT ARGUMENTS``: a script runs as under plain Python, and is recorded.

There is no kernel: the script is the main module of this process, its output and its tracebacks go where they would
go without casaprov, and its exit code is that of the process. A failure of the recorder never reaches it. This module
wires the session of :mod:`casaprov.kernel.recorded_session` to it, as :mod:`casaprov.kernel_hook` does for a kernel.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import ModuleType

from casaprov.casa.hooks.wrappers import Wrappers
from casaprov.casa.installed.data import prepare
from casaprov.casa.opening import Opening
from casaprov.casa.plots.kernel_plots import KernelPlots
from casaprov.errors import CasaprovError
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.folder import journal_folder
from casaprov.kernel.notices import print_notice
from casaprov.kernel.recorded_session import RecordedSession
from casaprov.recording import activities
from casaprov.recording.finish_queue import FinishQueue
from casaprov.records.model import Activity, Entity, ScriptRun, Step
from casaprov.scripts.call_sites import CallSites, RunningScript
from casaprov.scripts.cells import ScriptCell, decoded, script_cells
from casaprov.scripts.main_module import end_by_interrupt, execute, main_module
from casaprov.tasks.calls import Executor, TaskCall, TaskResult
from casaprov.version import install_command

__all__ = ["CASA_SHELL", "ScriptRecording", "command", "main"]

CASA_SHELL = "--casa-shell"

_log = logging.getLogger(__name__)


def command(script: Path, arguments: Sequence[str], *, casa_shell: bool) -> list[str]:
    """Return the command that runs a script under recording."""
    return [sys.executable, "-P", "-m", __name__, *([CASA_SHELL] if casa_shell else []), "--", str(script), *arguments]


def main(arguments: Sequence[str]) -> None:
    """Run a script with its arguments; return when it has ended without an exception.

    Parameters
    ----------
    arguments
        Perhaps :data:`CASA_SHELL`, then ``--``, the script, and its own arguments.
    """
    place = arguments.index("--")
    argv, casa_shell = list(arguments[place + 1 :]), CASA_SHELL in arguments[:place]
    ending = ExitStack()
    atexit.register(ending.close)  # first, and so the last to run
    path = Path(os.path.abspath(argv[0]))  # noqa: PTH100 - as Python does: links are not followed
    data = path.read_bytes()
    with suppress(ImportError):
        importlib.import_module("sqlite3")  # the script may import CASA, whose SQLite does not serve every Python
    prepare()
    recording = ScriptRecording(path, data, argv[1:], casa_shell=casa_shell)
    recording.start()
    sys.argv = argv
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, str(path.resolve().parent))
    module = main_module(path)
    if casa_shell:
        _start_casa_shell(module)
    failure = execute(data, path, module)
    recording.settle()
    if isinstance(failure, SystemExit):
        raise failure
    if failure is not None:
        if isinstance(failure, KeyboardInterrupt):
            ending.callback(end_by_interrupt)
        sys.exit(1)


def _start_casa_shell(module: ModuleType) -> None:
    """Put the names of CASA's own shell into the main module; they need a shell of IPython, which shows nothing."""
    from casaprov.casa.startup import start_casa
    from casaprov.kernel.quiet_shell import quiet_shell

    missing = start_casa(quiet_shell(module))
    if missing is not None:
        print_notice(f"casaprov: {missing} 'casaprov doctor' tells more.")


class ScriptRecording:
    """Recording of one run of a script, beside the files that it makes.

    The record lies in ``.casaprov/<name>.py`` of the working folder: a script that runs for several data sets, each in
    its own folder, has a record in each of them.
    """

    def __init__(self, path: Path, data: bytes, arguments: Sequence[str], *, casa_shell: bool) -> None:
        self._folder = Path.cwd()
        self._calls = _Calls()
        opening = Opening(
            folder=self._folder,
            finish_queue=FinishQueue(lambda _names: None),
            config=lambda: self.session.settings.config,
            digester=lambda: self.session.digester(),  # noqa: PLW0108 - the session is made below
            on_notice=print_notice,
            script=ScriptRun(digest=digest_bytes(data), arguments=tuple(arguments), casa_shell=casa_shell),
        )
        self.session = RecordedSession(
            _Name(self._folder, path.name),
            self._calls,
            opening.finish_queue,
            sites=CallSites(self._folder, RunningScript(path, data, _cells(path, data))),
            open_recorder=opening.recorder,
            open_recomputation=opening.recomputation,
            settle_tools=lambda: self._wrappers.settle_tools(),  # noqa: PLW0108 - the wrappers are made below
            on_failure=self.stop,
        )
        self._plots = KernelPlots(lambda: journal_folder(self.session.notebook) / "plots", lambda _pages: None)
        self._wrappers = Wrappers(self.session, nullcontext, self._plots, print_notice)

    def start(self) -> None:
        """Wrap tasks and tools."""
        self._wrappers.install()
        activities.attach(self.session)
        if self.session.settings.trouble:
            print_notice(f"casaprov: {self.session.settings.trouble} Until then the defaults hold.")
        atexit.register(self.stop)

    def settle(self) -> None:
        """Wait until all records so far are finished; the threads that finish them end before functions of atexit run."""
        if self.session.closed:
            return
        try:
            self.session.settle()
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a script
            _log.info("records are not finished", exc_info=True)

    def stop(self) -> None:
        """Close the session, and say where its record is."""
        if self.session.closed:
            return
        activities.attach(None)
        self._wrappers.remove()
        self._plots.close()
        atexit.unregister(self.stop)
        self.session.close()
        if self._calls.ended:
            calls = "1 call is" if self._calls.ended == 1 else f"{self._calls.ended} calls are"
            where = journal_folder(self.session.notebook).relative_to(self._folder)
            print_notice(f"casaprov: {calls} recorded in {where}.")


class _Name:
    """The name under which a script is recorded (:class:`casaprov.kernel.recorded_session.Name`)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._name = name

    def path(self) -> Path:
        return self.folder / self._name

    def note_cell(self, cell_id: str | None) -> None:
        """Do nothing: a script has no ids of cells."""


class _Calls:
    """The calls of a script, which are shown nowhere (:class:`casaprov.kernel.recorded_session.Cells`)."""

    def __init__(self) -> None:
        self.step: Step | None = None
        self.executed: dict[str, Digest] = {}
        self.ended = 0

    def run(
        self, call: TaskCall, executor: Executor, run: Callable[[TaskCall, Executor], TaskResult] | None = None
    ) -> TaskResult:
        return run(call, executor) if run is not None else executor.run(call)

    def call_ended(self, _activity: Activity, _written: tuple[Path, ...]) -> None:
        self.ended += 1

    def call_recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        """Do nothing: the journal has the record."""


def _cells(path: Path, data: bytes) -> tuple[ScriptCell, ...]:
    text = decoded(data)
    try:
        return script_cells(text)
    except Exception as error:  # noqa: BLE001 - the script runs without cells
        more = f"Install it with: {install_command('jupyter')}" if isinstance(error, ImportError) else ""
        print_notice(f"casaprov: the cells of {path.name} are recorded as one ({error}). {more}".strip())
        return (ScriptCell("code", text, 1),)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CasaprovError as error:  # of prepare(): CASA or its data are missing
        print_notice(f"casaprov: {error}")
        sys.exit(3)
