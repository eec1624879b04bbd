"""The cells of a kernel: which one runs, and the provenance that its output shows when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from casaprov.hashing import Digest
from casaprov.kernel.cell_bundle import CellBundle
from casaprov.kernel.cell_tags import NO_CACHE, cell_tags
from casaprov.kernel.page import Line, has_front_end
from casaprov.kernel.read_only_cells import is_read_only
from casaprov.kernel.requests import request_of
from casaprov.kernel.stale_warnings import StaleWarnings
from casaprov.lineage.inspection import observed_note
from casaprov.lineage.saved_cells import source_digest
from casaprov.notebook.notebook_name import UNNAMED
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Activity, Entity, Step
from casaprov.tasks.calls import Executor, TaskCall, TaskResult

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["Cells", "Display"]


class Display(Protocol):
    """Shows task calls below their cell: :class:`casaprov.kernel.display.task_output.TaskOutput`."""

    def begin_cell(self) -> None:
        """Begin the output of a new cell."""
        ...

    def end_cell(self) -> None:
        """Show the rest of the output of the cell that ends."""
        ...

    def run(
        self, call: TaskCall, executor: Executor, run: Callable[[TaskCall, Executor], TaskResult] | None = None
    ) -> TaskResult:
        """Run a call and show it; by means of `run` if it is recorded."""
        ...

    def ended(self, activity: Activity, written: Iterable[Path]) -> None:
        """Take in the outcome of a call and the files that it wrote, before it is shown."""
        ...


class Cells:
    """Follows the cells of a kernel, and publishes a bundle for each cell that made calls.

    Parameters
    ----------
    notebook
        Returns the path of the notebook.

    Attributes
    ----------
    step
        The cell that runs; None between two cells.
    executed
        Digest of the source that was executed last, by the id of the cell, where the front end sends one.
    """

    def __init__(
        self, shell: InteractiveShell, notebook: Callable[[], Path], display: Display, finish_queue: FinishQueue
    ) -> None:
        self._shell = shell
        self._notebook = notebook
        self._display = display
        self._finish_queue = finish_queue
        self._stale_warnings = StaleWarnings(notebook)
        self._bundle = CellBundle(shell)  # of the cell that runs
        self._bundles: dict[str, CellBundle] = {}  # by call, until its record is finished
        # Number of the last cell. In pre_run_cell IPython's own count depends on the front end: it has grown
        # already, or not yet.
        self._executed = 0
        self._guarded = False
        self._observed: list[Line] = []  # about files that changed while the calls of the cell ran
        self.step: Step | None = None
        self.executed: dict[str, Digest] = {}

    # -- events of IPython -----------------------------------------------------

    def begin(self, info: ExecutionInfo) -> None:
        """Take in the cell that is about to run (``pre_run_cell``)."""
        cell = info.raw_cell or ""
        self._display.begin_cell()
        if self._finish_queue.busy:
            guard_writes(self._finish_queue, read_only_programs=self._is_read_only(cell))
            self._guarded = True
        self._begin(cell, getattr(info, "cell_id", None), counted=info.store_history)

    def begin_running(self) -> None:
        """Take in the cell that runs already, if there is one: it loads the extension, and may call tasks afterwards."""
        request = request_of(self._shell)
        if request is not None:
            history = self._shell.history_manager
            self._executed = len(history.input_hist_raw) - 1 - request.counted if history is not None else 0
            self._begin(request.source, request.cell_id, counted=request.counted)

    def _begin(self, source: str, cell_id: str | None, *, counted: bool) -> None:
        self.step = Step(
            source_digest=source_digest({"source": source}),
            cell_id=cell_id,
            execution_count=self._executed + 1 if counted else None,
        )
        if cell_id is not None:
            self.executed[cell_id] = self.step.source_digest

    def end(self, result: ExecutionResult) -> None:
        """Publish the bundle of the cell that ran, now or when its records are finished (``post_run_cell``)."""
        if self._guarded:  # the next cell may change files
            guard_writes(self._finish_queue)
            self._guarded = False
        self._executed = max(self._executed, result.execution_count or 0)  # a cell may run inside another one
        if self._waits_for_records():
            self._finish_queue.wait()
        self._display.end_cell()
        bundle, self._bundle, self.step = self._bundle, CellBundle(self._shell), None
        if not bundle:
            return
        observed, self._observed = self._observed, []
        if bundle.is_whole:
            bundle.publish([*observed, *self._stale_warnings.take()])
        else:
            bundle.publish(observed)
            self._finish_queue.add((), lambda: bundle.publish([*observed, *self._stale_warnings.take()], update=True))

    # -- calls -----------------------------------------------------------------

    @property
    def is_left_out(self) -> bool:
        """True if the cell that runs has the tag ``nocache``."""
        return self.step is not None and NO_CACHE in cell_tags(self._shell, self.step, self._notebook())

    def run(
        self, call: TaskCall, executor: Executor, run: Callable[[TaskCall, Executor], TaskResult] | None = None
    ) -> TaskResult:
        """Run a call of the cell and show it; by means of `run` if it is recorded."""
        __tracebackhide__ = True
        return self._display.run(call if call.step is not None else replace(call, step=self.step), executor, run)

    def call_ended(self, activity: Activity, written: tuple[Path, ...]) -> None:
        """Add a call to the cell that runs; its record is not finished yet."""
        self._bundle.add_unfinished(activity)
        self._bundles[activity.id] = self._bundle
        self._display.ended(activity, written)
        self._stale_warnings.note_end(activity)
        if activity.observed:
            self._observed.append(Line(observed_note(activity), "Not its products:"))

    def call_recorded(self, activity: Activity, entities: tuple[Entity, ...]) -> None:
        """Complete a call with its finished record; in the thread that finishes records."""
        self._bundles.pop(activity.id, self._bundle).add(activity, entities)
        self._stale_warnings.note_record(activity, entities)

    # -- parts -----------------------------------------------------------------

    def _is_read_only(self, cell: str) -> bool:
        try:
            return is_read_only(cell, self._shell.transform_cell, dict(self._shell.alias_manager.aliases))
        except Exception:  # noqa: BLE001 - a cell that IPython cannot read; it reports that itself
            return False

    def _waits_for_records(self) -> bool:
        """Return True if the cell must not end before the records of its calls are finished.

        In a notebook with a name the bundle can be updated later, and the journal is at hand. A notebook without one
        (nbclient, papermill) may be saved and its kernel ended at once. A terminal cannot show stale results later.
        """
        return self._notebook().name == UNNAMED if has_front_end(self._shell) else self._stale_warnings.again
