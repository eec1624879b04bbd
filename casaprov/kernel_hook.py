"""``%load_ext casaprov``: recording inside an IPython kernel.

This module wires: task and tool calls go to :mod:`casaprov.kernel.recorded_session`, events of cells to
:mod:`casaprov.kernel.cells`, and CASA is handed to both. A failure of the recorder never breaks a cell.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from casaprov.casa.hooks.wrappers import Wrappers
from casaprov.casa.installed import held
from casaprov.casa.installed import log as casa_log
from casaprov.casa.installed.data import prepare
from casaprov.casa.opening import Opening
from casaprov.casa.plots.kernel_plots import KernelPlots
from casaprov.errors import MissingDependency
from casaprov.journal.folder import journal_folder
from casaprov.kernel.cells import Cells
from casaprov.kernel.display.figures import show_pictures
from casaprov.kernel.display.task_display import TaskDisplay
from casaprov.kernel.magics.casahelp import TaskHelpSource, register_help, unregister_help
from casaprov.kernel.magics.casaprov_magic import CasaprovMagic
from casaprov.kernel.magics.shell import register_shell, unregister_shell
from casaprov.kernel.notices import print_notice, show_wait
from casaprov.kernel.recorded_session import RecordedSession
from casaprov.notebook.notebook_name import NotebookName
from casaprov.recording import activities
from casaprov.recording.finish_queue import FinishQueue
from casaprov.scripts.call_sites import CallSites

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from casaprov.config import Config

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
        self._undo = contextlib.ExitStack()
        folder, finish_queue = Path.cwd(), FinishQueue(lambda names: show_wait(shell, names))
        # The parts refer to each other: a lambda finds the session when it is called.
        self._display = TaskDisplay(shell, casa_log, journal=self._journal, config=self._config)
        self._cells = cells = Cells(shell, lambda: self.session.notebook, self._display.output, finish_queue)
        opening = Opening(
            folder=folder,
            finish_queue=finish_queue,
            config=self._config,
            digester=lambda: self.session.digester(),  # noqa: PLW0108 - the session is made below
            on_notice=print_notice,
            left_out=lambda: "Its cell has the tag nocache." if cells.is_left_out else "",
        )
        self.session = RecordedSession(
            NotebookName(shell.user_ns, folder),
            cells,
            finish_queue,
            sites=CallSites(folder),
            open_recorder=opening.recorder,
            open_recomputation=opening.recomputation,
            settle_tools=lambda: self._wrappers.settle_tools(),  # noqa: PLW0108 - the wrappers are made below
            on_failure=self.stop,
        )
        self._plots = KernelPlots(lambda: self._journal() / "plots", show_pictures)
        self._wrappers = Wrappers(self.session, self._display.output.public_call, self._plots, print_notice)
        self._magic = CasaprovMagic(shell, self.session, held.held_reason)
        self._callbacks = (
            ("pre_run_cell", lambda _info: self._wrappers.release_tools()),
            ("pre_run_cell", cells.begin),
            ("pre_run_cell", lambda _info: self._display.begin_cell()),
            ("post_run_cell", lambda _result: self._wrappers.settle_tools()),
            ("post_run_cell", cells.end),
            ("post_run_cell", lambda _result: self.session.start_workers()),
        )

    def start(self) -> None:
        """Listen to the shell, wrap tasks and tools, and add the magics."""
        self._undo.callback(self.session.close)
        self._cells.begin_running()
        self._undo.callback(self._plots.close)
        for put_in, take_out in self._parts():
            put_in()
            self._undo.callback(take_out)
        if self.session.settings.trouble:
            print_notice(f"casaprov: {self.session.settings.trouble} Until then the defaults hold.")
        atexit.register(self.stop)

    def stop(self) -> None:
        """Take all of it out again, the last part first, and close the session."""
        if not self.session.closed:
            atexit.unregister(self.stop)
            self._undo.close()

    def _parts(self) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
        """Yield how each part is put in, and how it is taken out."""
        shell, events = self._shell, self._shell.events
        for event, callback in self._callbacks:
            yield partial(events.register, event, callback), partial(_unregister, shell, event, callback)
        yield self._wrappers.install, self._wrappers.remove
        yield self._display.install, self._display.remove
        yield partial(register_shell, shell), partial(unregister_shell, shell)
        yield self._magic.register, self._magic.unregister
        yield partial(register_help, shell, _task_help), partial(unregister_help, shell)
        yield partial(activities.attach, self.session), partial(activities.attach, None)

    def _config(self) -> Config:
        return self.session.settings.config

    def _journal(self) -> Path:
        return journal_folder(self.session.notebook)


def _unregister(shell: InteractiveShell, event: str, callback: Callable[..., None]) -> None:
    with contextlib.suppress(ValueError):
        shell.events.unregister(event, callback)


def _task_help() -> TaskHelpSource:
    from casaprov.casa import task_help  # rarely needed, and loading it takes a tenth of '%load_ext'

    return task_help
