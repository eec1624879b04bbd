"""``%load_ext casaprov``: recording inside an IPython kernel.

This module wires: task and tool calls go to :mod:`casaprov.kernel.recorded_session`, events of cells to
:mod:`casaprov.kernel.cells`, and CASA is handed to both. A failure of the recorder never breaks a cell.
"""

from __future__ import annotations

import atexit
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from casaprov.casa.hooks.wrappers import Wrappers
from casaprov.casa.installed import held
from casaprov.casa.installed import log as casa_log
from casaprov.casa.installed.data import prepare
from casaprov.casa.plots.kernel_plots import KernelPlots
from casaprov.errors import MissingDependency
from casaprov.journal.folder import journal_folder
from casaprov.kernel.cells import Cells
from casaprov.kernel.display.figures import show_pictures
from casaprov.kernel.display.task_errors import TaskErrors
from casaprov.kernel.display.task_output import TaskOutput
from casaprov.kernel.display.task_values import TaskValues
from casaprov.kernel.magics.casahelp import TaskHelpSource, register_help, unregister_help
from casaprov.kernel.magics.casaprov_magic import CasaprovMagic
from casaprov.kernel.magics.shell import register_shell, unregister_shell
from casaprov.kernel.notices import print_notice, show_wait
from casaprov.kernel.recorded_session import RecordedSession
from casaprov.notebook.notebook_name import NotebookName
from casaprov.recording import activities
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.scripts.call_sites import CallSites

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from casaprov.recompute.lookup import Recomputation
    from casaprov.recorder import Recorder
    from casaprov.records.model import Tier

__all__ = ["KernelRecording", "load_ipython_extension", "settle", "start_casa", "unload_ipython_extension"]

_recording: KernelRecording | None = None


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Start recording in this kernel; loading twice changes nothing."""
    global _recording  # noqa: PLW0603 - one kernel, one recording
    if _recording is None:
        prepare()
        _recording = KernelRecording(shell)
        _recording.start()


def unload_ipython_extension(_shell: InteractiveShell) -> None:
    """Stop recording: tasks and shell are as they were before."""
    global _recording  # noqa: PLW0603 - one kernel, one recording
    if _recording is not None:
        _recording.stop()
        _recording = None


def start_casa(shell: InteractiveShell) -> MissingDependency | None:
    """Give `shell` the names of CASA's own shell; return the error if a part of CASA is missing."""
    from casaprov.casa import startup

    return startup.start_casa(shell)


def settle() -> None:
    """Wait until the records of all calls so far are finished."""
    if _recording is not None:
        _recording.session.settle()


class KernelRecording:
    """Recording of one kernel, from ``%load_ext`` to its end."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._folder = Path.cwd()
        self._finish_queue = FinishQueue(lambda names: show_wait(shell, names))
        self._values = TaskValues(shell)
        # The parts refer to each other: a lambda finds the session when it is called.
        self._output = TaskOutput(
            shell,
            casa_log,
            journal=lambda: journal_folder(self.session.notebook),
            wanted=lambda: self.session.settings.config.show_log == "yes",
            keeps_figures=lambda: self.session.settings.config.cache == "on",
            on_returned=self._values.note,
        )
        self._errors = TaskErrors(shell)
        self._cells = cells = Cells(shell, lambda: self.session.notebook, self._output, self._finish_queue)
        self.session = RecordedSession(
            NotebookName(shell.user_ns, self._folder),
            cells,
            self._finish_queue,
            sites=CallSites(self._folder),
            open_recorder=self._open_recorder,
            open_recomputation=self._open_recomputation,
            settle_tools=lambda: self._wrappers.settle_tools(),  # noqa: PLW0108 - the wrappers are made below
            on_failure=self.stop,
        )
        self._plots = KernelPlots(lambda: journal_folder(self.session.notebook) / "plots", show_pictures)
        self._wrappers = Wrappers(self.session, self._output.public_call, self._plots, print_notice)
        self._magic = CasaprovMagic(shell, self.session, held.held_reason)
        self._callbacks = (
            ("pre_run_cell", lambda _info: self._wrappers.release_tools()),
            ("pre_run_cell", cells.begin),
            ("pre_run_cell", lambda _info: self._values.forget()),
            ("post_run_cell", lambda _result: self._wrappers.settle_tools()),
            ("post_run_cell", cells.end),
            ("post_run_cell", lambda _result: self.session.start_workers()),
        )

    def start(self) -> None:
        """Listen to the shell, wrap tasks and tools, and add the magics."""
        for event, callback in self._callbacks:
            self._shell.events.register(event, callback)
        self._wrappers.install()
        activities.attach(self.session)
        self._errors.install()
        self._values.install()
        register_shell(self._shell)
        self._magic.register()
        if self.session.settings.trouble:
            print_notice(f"casaprov: {self.session.settings.trouble} Until then the defaults hold.")
        register_help(self._shell, _task_help)
        atexit.register(self.stop)

    def stop(self) -> None:
        """Take all of it out again and close the session."""
        if self.session.closed:
            return
        activities.attach(None)
        self._errors.remove()
        self._values.remove()
        unregister_shell(self._shell)
        self._magic.unregister()
        self._output.end_cell()
        unregister_help(self._shell)
        self._wrappers.remove()
        self._plots.close()
        atexit.unregister(self.stop)
        for event, callback in self._callbacks:
            with contextlib.suppress(ValueError):
                self._shell.events.unregister(event, callback)
        self.session.close()

    def _open_recorder(self, notebook: Path) -> Recorder:
        from casaprov.casa.session import new_session, open_recorder, tier_by_size  # loaded with the first call

        def tier(path: Path) -> Tier:
            return tier_by_size(self.session.settings.config)(path)  # the settings may have changed

        session, folder = new_session(self._folder, notebook.name), journal_folder(notebook)
        return open_recorder(
            session,
            folder,
            self.session.digester(),
            tier,
            self._finish_queue,
            keep_up_to=lambda: self.session.settings.config.keep_up_to,
            patience=Patience(lambda: self.session.settings.config.patience / 100),
        )

    def _open_recomputation(self, recorder: Recorder, notebook: Path) -> Recomputation:
        from casaprov.casa.recomputing import open_recomputation  # loaded where the cache is on

        def left_out(task: str) -> str:
            if task in self.session.settings.config.not_cached:
                return f"The setting not_cached names {task}."
            return "Its cell has the tag nocache." if self._cells.is_left_out else ""

        return open_recomputation(
            recorder,
            notebook,
            self.session.settings.config,
            digester=self.session.digester,
            left_out=left_out,
            on_notice=print_notice,
        )


def _task_help() -> TaskHelpSource:
    from casaprov.casa import task_help  # rarely needed, and loading it takes a tenth of '%load_ext'

    return task_help
