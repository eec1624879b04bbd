"""What is shown of task calls below their cell: a live line while they run, then their log, folded.

All logs of a cell are one output, which is updated; so a loop of two hundred
calls stays one block. A terminal shows what CASA prints, as it always did.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from casaprov.kernel.display.captured_output import Printed, joined, taken, unlogged
from casaprov.kernel.display.cell_block import INTERVAL_S, CellBlock
from casaprov.kernel.display.figures import PICTURES, Figures
from casaprov.kernel.display.log_block import Running, call_log, progress
from casaprov.kernel.display.task_tables import page_of
from casaprov.kernel.page import bundle_of, has_front_end
from casaprov.records.model import Activity
from casaprov.tasks.calls import Executor, TaskCall, TaskResult

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CasaLog", "TaskOutput"]

_log = logging.getLogger(__name__)

_FIRST_S = 1.0  # a call that takes less has no live line
_MAX_PAGES = 5  # tables of a cell
_DRAWING = ("casaplotms", "casaviewer")  # their pictures are shown where they are drawn, also while recording pauses


class CasaLog(Protocol):
    """The log file of CASA: :mod:`casaprov.casa.installed.log`."""

    def log_offset(self) -> int:
        """Size of the file now."""
        ...

    def log_since(self, offset: int) -> str:
        """What was logged since."""
        ...


@dataclass
class _Watch:
    """One call, while it runs and until it is shown."""

    call: TaskCall
    recorded: bool
    began: float = field(default_factory=time.monotonic)
    result: TaskResult | None = None
    activity: Activity | None = None
    pictures: list[Path] = field(default_factory=list)


class TaskOutput:
    """Shows task calls in the notebook of a kernel.

    Parameters
    ----------
    casa_log
        Where CASA logs to.
    journal
        Returns the journal folder.
    wanted
        Whether the user wants to see logs.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        casa_log: CasaLog,
        *,
        journal: Callable[[], Path],
        wanted: Callable[[], bool],
    ) -> None:
        self._shell = shell
        self._casa_log = casa_log
        self._journal = journal
        self._wanted = wanted
        # A terminal shows no HTML, and prints what CASA prints by itself.
        self._in_notebook = has_front_end(shell)
        self._cell: CellBlock | None = None
        self._figures = Figures(shell)
        self._here = threading.local()  # the call that this thread is in

    # -- cells ---------------------------------------------------------------

    def begin_cell(self) -> None:
        """Begin the block of a new cell."""
        self.end_cell()

    def end_cell(self) -> None:
        """Show what is not shown yet of the cell that ends."""
        cell, self._cell = self._cell, None
        if cell is not None:
            with _harmless("the end of a cell"):
                cell.finish()
        self._figures.end_cell()

    # -- calls ---------------------------------------------------------------

    @contextlib.contextmanager
    def public_call(self) -> Iterator[None]:
        """Take what CASA prints around a task: that it failed, which the user sees anyway."""
        if not (self._in_notebook and self._wanted()):
            yield
            return
        printed = Printed(None)
        try:
            with taken() as printed:
                yield
        finally:
            if rest := unlogged(printed.text()):
                sys.stdout.write(rest)

    def run(
        self,
        call: TaskCall,
        executor: Executor,
        run: Callable[[TaskCall, Executor], TaskResult] | None = None,
    ) -> TaskResult:
        """Run a call and show it; calls that it makes itself are part of it.

        Parameters
        ----------
        run
            Runs it under recording; None if it is not to be recorded.
        """
        __tracebackhide__ = True
        if not self._in_notebook or getattr(self._here, "watch", None) is not None:
            return run(call, executor) if run is not None else executor.run(call)
        watch = self._here.watch = _Watch(call, recorded=run is not None)
        opened: dict[int, Any] = {}
        try:
            with _harmless("an earlier figure"):
                opened = self._figures.begin_call()
            with self._followed(watch) as printed:
                watched = _Watched(executor, watch, printed)
                return run(call, watched) if run is not None else watched.run(call)
        finally:
            self._here.watch = None
            with _harmless(call.task):
                self._show(watch)
            watch.result = None  # see :class:`casaprov.tasks.calls.TaskResult`
            with _harmless(f"what {call.task} drew"):
                self._figures.end_call(opened, watch.pictures)

    def ended(self, activity: Activity, written: Iterable[Path]) -> None:
        """Take note of how a call ended and which files it wrote, before it is shown."""
        watch = getattr(self._here, "watch", None)
        if watch is None:
            return
        if activity.task == watch.call.task:
            watch.activity = activity  # the call ends after all that it made
        if activity.package not in _DRAWING:
            pictures = (path for path in written if path.suffix.lower() in PICTURES)
            watch.pictures += [path for path in pictures if path not in watch.pictures]

    def _show(self, watch: _Watch) -> None:
        if watch.result is None:
            return
        activity, result = watch.activity, watch.result
        cell = self._cell = self._cell or CellBlock(self._shell)
        if self._wanted():
            path = self._journal() / activity.log.path if activity is not None and activity.log is not None else None
            cell.add(
                call_log(
                    watch.call.task,
                    result.log,
                    outcome=result.outcome,
                    seconds=(activity.seconds if activity is not None else None) or time.monotonic() - watch.began,
                    number=activity.number_in_session if activity is not None else None,
                    path=os.path.relpath(path, self._journal().parent.parent) if path is not None else "",
                    recorded=watch.recorded,
                )
            )
        parts = page_of(watch.call, result)
        if parts and parts not in cell.pages and len(cell.pages) < _MAX_PAGES:
            cell.pages.append(parts)
            self._shell.display_pub.publish(bundle_of(parts))

    # -- while it runs -------------------------------------------------------

    @contextlib.contextmanager
    def _followed(self, watch: _Watch) -> Iterator[Callable[[], contextlib.AbstractContextManager[Printed]]]:
        """Show a live line if the call takes long."""
        if not self._wanted():
            yield _nothing
            return
        cell = self._cell = self._cell or CellBlock(self._shell)
        ended = threading.Event()
        current: list[Printed] = []

        @contextlib.contextmanager
        def printed() -> Iterator[Printed]:
            with taken() as text:
                current.append(text)
                yield text

        # What is published belongs to the cell that this thread is in.
        context = contextvars.copy_context()
        follower = threading.Thread(
            target=context.run, args=(self._follow, watch, cell, current, ended), name="casaprov-live", daemon=True
        )
        follower.start()
        try:
            yield printed
        finally:
            ended.set()
            follower.join()
            cell.cleared()

    def _follow(self, watch: _Watch, cell: CellBlock, current: list[Printed], ended: threading.Event) -> None:
        offset, percent, said = self._casa_log.log_offset(), None, ""
        pause_s = _FIRST_S
        with _harmless(watch.call.task):
            while not ended.wait(pause_s):
                pause_s = INTERVAL_S
                size = self._casa_log.log_offset()
                news = self._casa_log.log_since(offset) if size > offset else ""
                offset = size
                found, last = progress(news, current[0].text()[-4000:] if current else "")
                percent = found if found is not None else percent
                said = last or said
                if watch.result is not None:
                    percent, said = None, "it has ended; casaprov reads what it wrote"
                cell.live(
                    Running(task=watch.call.task, seconds=time.monotonic() - watch.began, percent=percent, said=said)
                )


class _Watched:
    """An executor whose call is watched: what it prints joins its log."""

    def __init__(
        self,
        executor: Executor,
        watch: _Watch,
        printed: Callable[[], contextlib.AbstractContextManager[Printed]],
    ) -> None:
        self._executor = executor
        self._watch = watch
        self._printed = printed

    def run(self, call: TaskCall) -> TaskResult:
        """Run the call."""
        __tracebackhide__ = True
        with self._printed() as printed:
            result = self._executor.run(call)
        self._watch.result = replace(result, log=joined(result.log, printed.text()))
        del result  # see :class:`casaprov.tasks.calls.TaskResult`
        return self._watch.result


@contextlib.contextmanager
def _nothing() -> Iterator[Printed]:
    yield Printed(None)


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Nothing that is shown is worth breaking a cell."""
    try:
        yield
    except Exception:  # noqa: BLE001 - see above
        _log.info("%s is not shown", what, exc_info=True)
