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
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wrapt

from casaprov.casa.hooks.tasks import FunctionExecutor, TaskHook, hooked_modules
from casaprov.casa.hooks.tool_lifetimes import ToolLifetimes
from casaprov.casa.hooks.tools import TOOL_PACKAGE, ToolHook
from casaprov.casa.installed import log as casa_log
from casaprov.casa.installed.data import prepare
from casaprov.casa.plots.kernel_plots import KernelPlots
from casaprov.casa.session import new_session, open_recorder, tier_by_size
from casaprov.config import Config
from casaprov.digests.digester import Digester
from casaprov.errors import MissingDependency
from casaprov.hashing import digest_bytes
from casaprov.journal.folder import journal_folder
from casaprov.kernel.cell_bundle import CellBundle
from casaprov.kernel.display.figures import show_pictures
from casaprov.kernel.display.task_output import TaskOutput
from casaprov.kernel.magics.casahelp import TaskHelpSource, register_help, unregister_help
from casaprov.kernel.magics.casaprov_magic import CasaprovMagic
from casaprov.kernel.magics.shell import MAGIC, run_shell_cell
from casaprov.kernel.page import has_front_end
from casaprov.kernel.read_only_cells import only_looks
from casaprov.kernel.settings import Settings
from casaprov.kernel.stale_warnings import StaleWarnings
from casaprov.notebook.adopt_sessions import adopt_sessions
from casaprov.notebook.notebook_name import UNNAMED, NotebookName
from casaprov.readers.installed import open_digester
from casaprov.recording import activities
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.open_call import OpenCall
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Activity, Entity, Step, Tier
from casaprov.records.wording import now
from casaprov.runner import Runner
from casaprov.tasks.calls import FileTable, TaskCall, TaskResult

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["KernelRecording", "load_ipython_extension", "settle", "start_casa", "unload_ipython_extension"]

_log = logging.getLogger(__name__)

_MOST_NAMES = 3

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


def start_casa(shell: InteractiveShell) -> MissingDependency | None:
    """Give `shell` what CASA's own shell offers; return what of CASA is missing."""
    from casaprov.casa import startup

    return startup.start_casa(shell)


def settle() -> None:
    """Wait until the records of all calls so far are finished."""
    if _recording is not None:
        _recording.settle()


class KernelRecording:
    """Recording of one kernel, from ``%load_ext`` to its end.

    The session starts with the first task call: a notebook that calls no task
    leaves nothing behind. The worker processes start after the first cell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._process = os.getpid()
        self._folder = Path.cwd()
        self._name = NotebookName(shell.user_ns, self._folder)
        self._notebook: Path | None = None
        self.settings = Settings(self._folder, self._configured)
        self.paused_at = ""
        self._pauses: list[tuple[str, str]] = []
        self._magic = CasaprovMagic(shell, self)
        self._reruns = StaleWarnings(lambda: self.notebook)
        self._shown = TaskOutput(
            shell,
            casa_log,
            journal=lambda: journal_folder(self.notebook),
            wanted=lambda: self.settings.config.show_log == "yes",
        )
        self._plots = KernelPlots(lambda: journal_folder(self.notebook) / "plots", show_pictures)
        self._hook = TaskHook(self._run, self._shown.public_call, self._plots)
        self._tools = ToolHook(self)
        self._lives = ToolLifetimes()
        self._digester: Digester | None = None
        self._runner: Runner | None = None
        self._old_digesters: list[Digester] = []  # calls that run may still wait for them
        self._opening = threading.Lock()
        self._step: Step | None = None
        self._executed = 0  # number of the last cell; IPython's own has grown already, or not yet, before a cell
        self._endings = FinishQueue(_tell_wait)
        self._bundle = CellBundle(shell)  # of this cell
        self._bundles: dict[str, CellBundle] = {}  # by call, until its record is finished
        self._stopped = False

    def start(self) -> None:
        """Listen to the shell and wrap the tasks, now or when they are imported."""
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)
        for module in hooked_modules():
            wrapt.when_imported(module)(partial(self._imported, self._hook))
        for hook in (self._tools, self._lives):
            wrapt.when_imported(TOOL_PACKAGE)(partial(self._imported, hook))
        activities.attach(self)
        self._shell.register_magic_function(partial(run_shell_cell, self._shell), "cell", MAGIC)
        self._magic.register()
        if self.settings.trouble:
            _tell(f"casaprov: {self.settings.trouble} Until then the defaults hold.")
        register_help(self._shell, _task_help)
        atexit.register(self.stop)
        os.register_at_fork(after_in_child=self._forked)

    def stop(self) -> None:
        """Close the session and take every wrapper out."""
        if self._stopped:
            return
        self._stopped = True
        activities.attach(None)
        self._shell.magics_manager.magics["cell"].pop(MAGIC, None)
        self._magic.unregister()
        self._shown.end_cell()
        unregister_help(self._shell)
        self._tools.remove()
        self._lives.remove()
        self._hook.remove()
        self._plots.close()
        atexit.unregister(self.stop)
        for event, callback in (("pre_run_cell", self._before_cell), ("post_run_cell", self._after_cell)):
            with contextlib.suppress(ValueError):
                self._shell.events.unregister(event, callback)
        for close in self._closing():
            try:
                close()
            except Exception:  # noqa: BLE001 - a recorder failure never breaks a kernel
                _log.info("closing the session failed", exc_info=True)

    def _closing(self) -> Iterator[Callable[[], None]]:
        if self._runner is not None:
            yield self._runner.recorder.close
        yield lambda: guard_writes(None)
        yield from (digester.close for digester in (self._digester, *self._old_digesters) if digester is not None)

    # -- what %casaprov asks for -----------------------------------------------

    @property
    def notebook(self) -> Path:
        """The notebook that is recorded; known for certain from the first call on."""
        return self._notebook or self._name.path()

    @property
    def session_id(self) -> str:
        """Id of the session; empty before the first call."""
        return self._runner.recorder.session.id if self._runner is not None else ""

    def pause(self) -> None:
        """Record nothing from now on; what was recorded so far is whole before anything can disturb it."""
        self.settle()
        self.paused_at = now()

    def resume(self) -> None:
        """Record again; what changed meanwhile shows when it is used."""
        self._pauses.append((self.paused_at, now()))
        self.paused_at = ""
        if self._runner is not None:
            self._runner.recorder.was_paused(*self._pauses[-1])

    def digester(self) -> Digester:
        """What measures files in this session, as the settings say."""
        if self._digester is None:
            config = self.settings.config
            self._digester, self._measured_with = open_digester(config), (config.workers, config.cache_size)
        return self._digester

    def _configured(self, config: Config) -> None:
        """Apply settings that were chosen."""
        if self._digester is not None and (config.workers, config.cache_size) != self._measured_with:
            self._old_digesters.append(self._digester)
            self._digester = None
            if self._runner is not None:
                self._runner.recorder.measure_with(self.digester())

    def _forked(self) -> None:
        self._stopped = True  # the session is the parent's: a child that ends does not close it

    # -- task calls ----------------------------------------------------------

    def _imported(self, hook: TaskHook | ToolHook | ToolLifetimes, package: Any) -> None:
        if self._stopped:
            return
        try:
            hook.install(package)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks an import
            _tell(f"casaprov: calls of {package.__name__} cannot be recorded ({type(error).__name__}: {error}).")

    def _start_workers(self) -> None:
        """Start the workers while the user looks at the first cell, so that no call waits for them, nor the kernel's start."""
        try:
            self.digester().start()
        except Exception:  # noqa: BLE001 - it is tried again, and told, with the first call
            _log.info("the workers were not started", exc_info=True)

    def _tier(self, path: Path) -> Tier:
        return tier_by_size(self.settings.config)(path)

    def _run(self, call: TaskCall, executor: FunctionExecutor) -> TaskResult:
        if self.paused_at:
            return self._shown.run(call, executor)
        runner = self._open_session()
        if runner is None:
            return executor.run(call)
        self._tools.settle()
        return self._shown.run(replace(call, step=self._step), executor, runner.run)

    def begin(self, call: TaskCall, files: FileTable | None) -> OpenCall | None:
        """Record that an activity begins that is no task (:mod:`casaprov.recording.activities`)."""
        if os.getpid() != self._process or self.paused_at:  # a fork has no journal of its own
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

    def end(self, opened: OpenCall, result: TaskResult) -> None:
        """Record how it ended."""
        if self._runner is not None and os.getpid() == self._process:
            self._runner.end(opened, result)

    def _open_session(self) -> Runner | None:
        with self._opening:  # calls from several threads are of one session
            if self._runner is None and not self._stopped:
                try:
                    # Only now: VS Code names the notebook after the kernel has started.
                    self._notebook = self.notebook
                    adopt_sessions(self._notebook)  # it may have had another name
                    session = new_session(self._folder, self._notebook.name)
                    folder = journal_folder(self._notebook)
                    recorder = open_recorder(session, folder, self.digester(), self._tier, self._endings)
                    guard_writes(self._endings)
                    for pause in self._pauses:
                        recorder.was_paused(*pause)
                    self._runner = Runner(recorder, on_ended=self._ended, on_recorded=self._recorded, on_trouble=_tell)
                except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
                    _tell(f"casaprov: this session is not recorded ({type(error).__name__}: {error}).")
                    self.stop()
            return self._runner

    def _ended(self, activity: Activity, written: tuple[Path, ...]) -> None:
        self._bundle.ended(activity)
        self._bundles[activity.id] = self._bundle
        self._shown.ended(activity, written)
        self._reruns.ran(activity)

    def _recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        self._bundles.pop(activity.id, self._bundle).recorded(activity, entities)
        self._reruns.note(activity, entities)

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until the records of all calls so far are finished, what tools wrote included, or for some seconds."""
        self._tools.settle()
        self._endings.wait(timeout_s)

    # -- cells ---------------------------------------------------------------

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._lives.release()
        self._shown.begin_cell()
        if self._endings.busy:
            guard_writes(self._endings, read_only_programs=self._only_looks(info.raw_cell or ""))
        self._step = Step(
            source_digest=digest_bytes((info.raw_cell or "").encode("utf-8", "surrogatepass")),
            cell_id=getattr(info, "cell_id", None),
            execution_count=self._executed + 1 if info.store_history else None,
        )

    def _after_cell(self, result: ExecutionResult) -> None:
        if self._runner is not None and not self._stopped:
            guard_writes(self._endings)
        self._executed = result.execution_count or self._executed
        self._tools.settle()
        if self._must_be_whole():
            self._endings.wait()
        self._shown.end_cell()
        if self._digester is None:
            self._start_workers()
        bundle, self._bundle, self._step = self._bundle, CellBundle(self._shell), None
        if bundle:
            whole = bundle.is_whole
            bundle.publish(self.session_id, self._reruns.warnings() if whole else ())
            if not whole:
                self._endings.add((), lambda: bundle.publish(self.session_id, self._reruns.warnings(), update=True))

    def _only_looks(self, cell: str) -> bool:
        try:
            return only_looks(cell, self._shell.transform_cell, dict(self._shell.alias_manager.aliases))
        except Exception:  # noqa: BLE001 - IPython cannot read it, and says so itself
            return False

    def _must_be_whole(self) -> bool:
        """Tell whether the cell that ends must not do so before the records of its calls are finished.

        Where the notebook has a name, somebody goes on listening after the cell, or looks into the journal. What
        is stale cannot be told below a cell of a terminal later.
        """
        return self.notebook.name == UNNAMED if has_front_end(self._shell) else self._reruns.again


def _task_help() -> TaskHelpSource:
    from casaprov.casa import task_help  # few ask for help, and it takes a tenth of '%load_ext' to load

    return task_help


def _tell_wait(names: list[str]) -> None:
    if names:
        others = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        _tell(f"casaprov: still digesting {', '.join(names[:_MOST_NAMES])}{others}; this waits until that is done.")


def _tell(sentence: str) -> None:
    """Say something to the user, below the cell."""
    print(sentence, file=sys.stderr)  # noqa: T201 - a kernel's stderr is its way to speak
