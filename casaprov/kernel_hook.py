"""``%load_ext casaprov``: recording inside an IPython kernel.

A shim: cell events and task calls go to the recorder, what was recorded goes
into the cell's output as an invisible display bundle. Nothing here raises
into a cell.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wrapt

from casaprov import activities
from casaprov.calls import FileTable, TaskCall, TaskResult
from casaprov.casa.data import prepare
from casaprov.casa.session import new_session, open_recorder, tier_by_size
from casaprov.casa.task_help import read_task_help, tasks_by_category
from casaprov.casa.tasks import FunctionExecutor, TaskHook, hooked_modules
from casaprov.casa.tools import TOOL_PACKAGE, ToolHook
from casaprov.config import Config, load_config
from casaprov.digest import digest_bytes
from casaprov.digester import Digester
from casaprov.errors import UsageError
from casaprov.journal import journal_folder
from casaprov.model import Activity, Entity, Step
from casaprov.notebook.adopt import adopt_sessions
from casaprov.notebook.bundle import call_summary, display_data
from casaprov.notebook.help_magic import register_help, unregister_help
from casaprov.notebook.name import NotebookName
from casaprov.notebook.shell_magic import MAGIC, run_shell_cell
from casaprov.readers import open_digester
from casaprov.recorder import Opened
from casaprov.runner import Runner

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["KernelRecording", "load_ipython_extension", "unload_ipython_extension"]

_log = logging.getLogger(__name__)
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
    global _recording  # noqa: PLW0603
    if _recording is not None:
        _recording.stop()
        _recording = None


class KernelRecording:
    """Recording of one kernel, from ``%load_ext`` to its end.

    The session starts with the first task call: a notebook that calls no task
    leaves nothing behind. The worker processes start at once.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._process = os.getpid()
        self._folder = Path.cwd()
        self._notebook = NotebookName(shell.user_ns, self._folder)
        self._hook = TaskHook(self._run)
        self._tools = ToolHook(self)
        self._config = _settings(self._folder)
        self._digester: Digester | None = None
        self._runner: Runner | None = None
        self._opening = threading.Lock()
        self._step: Step | None = None
        self._executed = 0  # number of the last cell; IPython's own has grown already, or not yet, before a cell
        self._calls: list[dict[str, Any]] = []
        self._stopped = False

    def start(self) -> None:
        """Listen to the shell and wrap the tasks, now or when they are imported."""
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)
        for module in hooked_modules():
            wrapt.when_imported(module)(partial(self._imported, self._hook))
        wrapt.when_imported(TOOL_PACKAGE)(partial(self._imported, self._tools))
        activities.attach(self)
        self._shell.register_magic_function(partial(run_shell_cell, self._shell), "cell", MAGIC)
        register_help(self._shell, read_task_help, tasks_by_category)
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self._forked)
        self._start_workers()

    def stop(self) -> None:
        """Close the session and take every wrapper out."""
        if self._stopped:
            return
        self._stopped = True
        activities.attach(None)
        self._shell.magics_manager.magics["cell"].pop(MAGIC, None)
        unregister_help(self._shell)
        self._tools.remove()
        self._hook.remove()
        atexit.unregister(self.stop)
        for event, callback in (("pre_run_cell", self._before_cell), ("post_run_cell", self._after_cell)):
            with contextlib.suppress(ValueError):
                self._shell.events.unregister(event, callback)
        try:
            if self._runner is not None:
                self._runner.recorder.close()
            if self._digester is not None:
                self._digester.close()
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a kernel
            _log.info("closing the session failed", exc_info=True)

    def _forked(self) -> None:
        self._stopped = True  # the session is the parent's: a child that ends does not close it

    # -- task calls ----------------------------------------------------------

    def _imported(self, hook: TaskHook | ToolHook, package: Any) -> None:
        if self._stopped:
            return
        try:
            hook.install(package)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks an import
            _tell(f"casaprov: calls of {package.__name__} cannot be recorded ({type(error).__name__}: {error}).")

    def _start_workers(self) -> None:
        """Start the workers while the notebook imports CASA, so that the first task call does not wait for them."""
        try:
            self._opened_digester().start()
        except Exception:  # noqa: BLE001 - it is tried again, and told, with the first call
            _log.info("the workers were not started", exc_info=True)

    def _opened_digester(self) -> Digester:
        if self._digester is None:
            self._digester = open_digester(self._config)
        return self._digester

    def _run(self, call: TaskCall, executor: FunctionExecutor) -> TaskResult:
        runner = self._open_session()
        if runner is None:
            return executor.run(call)
        self._tools.settle()
        return runner.run(replace(call, step=self._step), executor)

    def begin(self, call: TaskCall, files: FileTable | None) -> Opened | None:
        """Record that an activity begins that is no task (:mod:`casaprov.activities`)."""
        if os.getpid() != self._process:  # a fork has no journal of its own
            return None
        runner = self._open_session()
        if runner is None:
            return None
        by_tool = call.package == TOOL_PACKAGE
        if not by_tool:
            self._tools.settle()
        return runner.begin(replace(call, step=self._step), files, encloses=not by_tool)

    @property
    def busy(self) -> bool:
        """Whether a task or an activity is under way in this thread or asyncio task."""
        return self._runner is not None and self._runner.recorder.busy

    def end(self, opened: Opened, result: TaskResult) -> None:
        """Record how it ended."""
        if self._runner is not None and os.getpid() == self._process:
            self._runner.end(opened, result)

    def _open_session(self) -> Runner | None:
        with self._opening:  # calls from several threads are of one session
            if self._runner is None and not self._stopped:
                try:
                    notebook = self._notebook.path()
                    adopt_sessions(notebook)  # it may have had another name
                    session = new_session(self._folder, notebook.name)
                    tier = tier_by_size(self._config)
                    recorder = open_recorder(session, journal_folder(notebook), self._opened_digester(), tier)
                    self._runner = Runner(recorder, on_recorded=self._recorded, on_trouble=_tell)
                except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
                    _tell(f"casaprov: this session is not recorded ({type(error).__name__}: {error}).")
                    self.stop()
            return self._runner

    def _recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        self._calls.append(call_summary(activity, entities))

    # -- cells ---------------------------------------------------------------

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._step = Step(
            source_digest=digest_bytes((info.raw_cell or "").encode("utf-8", "surrogatepass")),
            cell_id=getattr(info, "cell_id", None),
            execution_count=self._executed + 1 if info.store_history else None,
        )

    def _after_cell(self, result: ExecutionResult) -> None:
        self._executed = result.execution_count or self._executed
        self._tools.settle()
        calls, self._calls, self._step = self._calls, [], None
        if calls and self._runner is not None:
            self._shell.display_pub.publish(display_data(self._runner.recorder.session.id, calls))


def _settings(folder: Path) -> Config:
    """Return the user's settings, the defaults if they cannot be understood."""
    try:
        return load_config(folder)
    except UsageError as error:
        _tell(f"casaprov: {error} Until then the defaults hold.")
        return Config()


def _tell(sentence: str) -> None:
    """Say something to the user, below the cell."""
    print(sentence, file=sys.stderr)  # noqa: T201 - a kernel's stderr is its way to speak
