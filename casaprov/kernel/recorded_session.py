"""The recorded session of a kernel: it opens with the first call, pauses on request, and settles its records."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from casaprov.config import Config
from casaprov.hashing import Digest
from casaprov.journal.folder import journal_folder
from casaprov.kernel.notices import print_notice
from casaprov.kernel.settings import Settings
from casaprov.notebook.adopt_sessions import adopt_session, adopt_sessions
from casaprov.notebook.notebook_name import UNNAMED
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Activity, Entity, Step
from casaprov.records.wording import now
from casaprov.scripts.call_sites import CallSites
from casaprov.tasks.calls import Executor, FileTable, TaskCall, TaskResult

if TYPE_CHECKING:
    from casaprov.digests.digester import Digester
    from casaprov.recompute.lookup import Recomputation
    from casaprov.recorder import Recorder
    from casaprov.recording.open_call import OpenCall
    from casaprov.runner import Runner

__all__ = ["Cells", "Name", "RecordedSession"]

_log = logging.getLogger(__name__)


class Name(Protocol):
    """Finds the notebook or script: :class:`casaprov.notebook.notebook_name.NotebookName`."""

    folder: Path

    def path(self) -> Path:
        """Return its present path."""
        ...

    def note_cell(self, cell_id: str | None) -> None:
        """Note the id of a cell that runs."""
        ...


class Cells(Protocol):
    """Takes part in calls: :class:`casaprov.kernel.cells.Cells`."""

    step: Step | None
    executed: dict[str, Digest]

    def run(
        self, call: TaskCall, executor: Executor, run: Callable[[TaskCall, Executor], TaskResult] | None = None
    ) -> TaskResult:
        """Run a call; by means of `run` if it is recorded."""
        ...

    def call_ended(self, activity: Activity, written: tuple[Path, ...]) -> None:
        """Take in a call that ended."""
        ...

    def call_recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        """Take in the finished record of a call."""
        ...


class RecordedSession:
    """The session of one kernel; calls from several threads belong to the same one.

    The session opens with the first call: a notebook without calls leaves nothing behind, and VS Code names the
    notebook only after the kernel has started. A forked process has no session.

    Parameters
    ----------
    name
        Finds the notebook, and gives the folder that the kernel started in.
    cells
        The cells in which calls run.
    sites
        Finds the lines of Python files that lead to a call.
    finish_queue
        Finishes records while the user's code goes on.
    open_recorder
        Opens a recorder for the notebook at a path.
    open_recomputation
        Opens the store of results for a recorder and a notebook; without it all calls run.
    settle_tools
        Ends the records of tools, each of which may stand for several writes.
    on_failure
        Called when the session cannot be opened.

    Attributes
    ----------
    settings
        The settings in force.
    paused_at
        Time since which recording is paused; empty if it is not.
    """

    def __init__(
        self,
        name: Name,
        cells: Cells,
        finish_queue: FinishQueue,
        *,
        sites: CallSites,
        open_recorder: Callable[[Path], Recorder],
        settle_tools: Callable[[], None],
        on_failure: Callable[[], None],
        open_recomputation: Callable[[Recorder, Path], Recomputation] | None = None,
    ) -> None:
        self.settings = Settings(name.folder, self._apply)
        self.paused_at = ""
        self._process = os.getpid()
        self._name = name
        self._cells = cells
        self._sites = sites
        self._finish_queue = finish_queue
        self._open_recorder = open_recorder
        self._open_recomputation = open_recomputation
        self._settle_tools = settle_tools
        self._on_failure = on_failure
        self._notebook: Path | None = None
        self._runner: Runner | None = None
        self._recomputation: Recomputation | None = None
        self._has_no_store = False
        self._opening = threading.Lock()
        self._pauses: list[tuple[str, str]] = []
        self._digester: Digester | None = None
        self._old_digesters: list[Digester] = []  # calls that still run may wait for them
        self._closed = False

    @property
    def notebook(self) -> Path:
        """The notebook that is recorded; certain from the first call on, if it has been saved by then."""
        if self._notebook is None or self._notebook.name == UNNAMED:
            self._name.note_cell(self._cells.step.cell_id if self._cells.step is not None else None)
        if self._notebook is None:
            return self._name.path()
        if self._notebook.name == UNNAMED and (present := self._name.path()).name != UNNAMED:
            self._notebook = present  # renamed while the kernel started, and saved since
            adopt_session(present, self.session_id)
        return self._notebook

    @property
    def session_id(self) -> str:
        """Id of the session; empty before the first call."""
        return self._runner.recorder.session.id if self._runner is not None else ""

    @property
    def closed(self) -> bool:
        """True after the session was closed, and in a forked process: the session is the parent's."""
        return self._closed or os.getpid() != self._process

    @property
    def executed(self) -> Mapping[str, Digest]:
        """Digest of the source that was executed last, by the id of the cell."""
        return self._cells.executed

    # -- calls -----------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """True while a task or an activity runs in this thread or asyncio task."""
        return self._runner is not None and self._runner.recorder.busy

    def run(self, call: TaskCall, executor: Executor) -> TaskResult:
        """Run a task call of the cell, and record it unless recording is paused or failed."""
        if self.paused_at:
            return self._cells.run(call, executor)
        runner = self._open()
        if runner is None:
            return executor.run(call)
        self._settle_tools()
        return self._cells.run(self._placed(call), executor, runner.run)

    def compute(self, call: TaskCall, files: FileTable | None, executor: Executor) -> TaskResult | None:
        """Run a user's function like a task, or restore its results; None where the cache is off: it did not run.

        Parameters
        ----------
        files
            The files that it reads and writes, as far as they are declared.
        """
        if self.closed or self.paused_at or self.settings.config.cache != "on":
            return None
        runner = self._open()
        if runner is None:
            return None
        self._settle_tools()
        call = self._placed(call)
        return self._cells.run(call, executor, lambda call, executor: runner.run(call, executor, files))

    def begin(self, call: TaskCall, files: FileTable | None, *, by_tool: bool = False) -> OpenCall | None:
        """Record the begin of an activity that is no task; None if it is not recorded.

        Parameters
        ----------
        files
            The files that it reads and writes, as far as they are declared.
        by_tool
            True for the writes of a tool: later calls are not part of such an activity, and it does not end the
            records of other tools.
        """
        if self.closed or self.paused_at:
            return None
        runner = self._open()
        if runner is None:
            return None
        if not by_tool:
            self._settle_tools()
        return runner.begin(self._placed(call), files, encloses=not by_tool)

    def end(self, open_call: OpenCall, result: TaskResult) -> None:
        """Record the end of an activity."""
        if self._runner is not None and os.getpid() == self._process:
            self._runner.end(open_call, result)

    def _placed(self, call: TaskCall) -> TaskCall:
        """Return a call with its step, after storing the texts of the Python files that it came from."""
        try:
            step = self._sites.step(self._cells.step)
            self._sites.store(journal_folder(self.notebook))
        except Exception:  # noqa: BLE001 - a recorder failure never breaks a cell
            _log.info("the lines that called %s are not recorded", call.task, exc_info=True)
            step = self._cells.step
        return replace(call, step=step)

    def _open(self) -> Runner | None:
        with self._opening:
            if self._runner is None and not self.closed:
                try:
                    from casaprov.runner import Runner  # loaded after the first cell: see start_workers

                    self._notebook = self.notebook
                    adopt_sessions(self._notebook)  # recorded while the notebook had another name
                    recorder = self._open_recorder(self._notebook)
                    guard_writes(self._finish_queue)
                    for pause in self._pauses:
                        recorder.was_paused(*pause)
                    self._runner = Runner(
                        recorder,
                        on_ended=self._cells.call_ended,
                        on_recorded=self._cells.call_recorded,
                        on_trouble=print_notice,
                        recomputation=self.recomputation,
                    )
                except Exception as error:  # noqa: BLE001 - a recorder failure never breaks a cell
                    print_notice(f"casaprov: this session is not recorded ({type(error).__name__}: {error}).")
                    self._on_failure()
            return self._runner

    def recomputation(self) -> Recomputation | None:
        """Return the store of results; None where the cache is off, or there is no store."""
        if self.settings.config.cache != "on" or self._runner is None or self._has_no_store:
            return None
        if self._recomputation is None and self._open_recomputation is not None:
            try:
                self._recomputation = self._open_recomputation(self._runner.recorder, self.notebook)
            except Exception as error:  # noqa: BLE001 - without a store all calls run
                self._has_no_store = True
                print_notice(f"casaprov: results are not restored or kept ({type(error).__name__}: {error}).")
        return self._recomputation

    # -- pauses, settings, the end ---------------------------------------------

    def pause(self) -> None:
        """Record nothing from now on; the records of earlier calls are finished first."""
        self.settle()
        self.paused_at = now()

    def resume(self) -> None:
        """Record again; a file that changed meanwhile shows when a call uses it."""
        self._pauses.append((self.paused_at, now()))
        self.paused_at = ""
        if self._runner is not None:
            self._runner.recorder.was_paused(*self._pauses[-1])

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until the records of all calls and tools so far are finished, or until the timeout."""
        self._settle_tools()
        self._finish_queue.wait(timeout_s)
        if timeout_s is None and self._recomputation is not None:
            self._recomputation.settle()

    def digester(self) -> Digester:
        """Return the digester of this session, chosen by the settings."""
        if self._digester is None:
            from casaprov.readers.installed import open_digester  # loaded after the first cell: see start_workers

            config = self.settings.config
            self._digester, self._measured_with = (
                open_digester(config, observes="headers"),
                (config.workers, config.cache_size),
            )
        return self._digester

    def start_workers(self) -> None:
        """Start the workers and load the recorder, so that neither the kernel's start nor the first call waits for it."""
        if self._digester is not None:
            return
        try:
            self.digester().start()
            import casaprov.runner  # noqa: F401 - loaded here, used in _open
        except Exception:  # noqa: BLE001 - the first call tries again, and reports the reason
            _log.info("the workers were not started", exc_info=True)

    def close(self) -> None:
        """Finish all records and end the worker processes; in a forked process do nothing."""
        if self.closed:
            return
        self._closed = True
        for close in self._closing():
            try:
                close()
            except Exception:  # noqa: BLE001 - a recorder failure never breaks a kernel
                _log.info("closing the session failed", exc_info=True)

    def _closing(self) -> Iterator[Callable[[], None]]:
        if self._runner is not None:
            yield self._runner.recorder.close
        if self._recomputation is not None:
            yield self._recomputation.close
        yield lambda: guard_writes(None)
        yield from (digester.close for digester in (self._digester, *self._old_digesters) if digester is not None)

    def _apply(self, config: Config) -> None:
        """Apply settings that the user chose in the session."""
        if self._digester is not None and (config.workers, config.cache_size) != self._measured_with:
            self._old_digesters.append(self._digester)
            self._digester = None
            if self._runner is not None:
                self._runner.recorder.measure_with(self.digester())
