"""Output of task calls below their cell: a live line while they run, then their log, folded, with tables and pictures.

All logs of a cell are one output, which is updated; so a loop of two hundred calls stays one block. A terminal shows
the text that CASA prints, as without casaprov.
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

from casaprov.kernel.display.call_end import CallEnd
from casaprov.kernel.display.captured_output import CapturedText, add_printed, captured, without_logged
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
_MAX_PAGES = 5  # of a cell: tables and texts beside the logs
_DRAWING = ("casaplotms", "casaviewer")  # their pictures are shown where they are drawn, also while recording pauses


class CasaLog(Protocol):
    """The log file of CASA: :mod:`casaprov.casa.installed.log`."""

    def log_offset(self) -> int:
        """Return the size of the file now, in bytes."""
        ...

    def log_since(self, offset: int) -> str:
        """Return the text that was logged since."""
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
        The log file of CASA.
    journal
        Returns the journal folder.
    wanted
        Returns True if the user wants to see logs.
    keeps_figures
        Returns True if figures that a call leaves open are part of its result.
    on_returned
        Called with the name of each task and its return value.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        casa_log: CasaLog,
        *,
        journal: Callable[[], Path],
        wanted: Callable[[], bool],
        keeps_figures: Callable[[], bool] = lambda: False,
        on_returned: Callable[[str, object], None] = lambda _task, _value: None,
    ) -> None:
        self._shell = shell
        self._casa_log = casa_log
        self._journal = journal
        self._wanted = wanted
        self._keeps_figures = keeps_figures
        self._on_returned = on_returned
        # A terminal shows no HTML; text that CASA prints reaches it without help.
        self._in_notebook = has_front_end(shell)
        self._cell: CellBlock | None = None
        self._figures = Figures(shell)
        self._here = threading.local()  # the call that this thread is in

    # -- cells ---------------------------------------------------------------

    def begin_cell(self) -> None:
        """Begin the block of a new cell."""
        self.end_cell()

    def end_cell(self) -> None:
        """Show the rest of the output of the cell that ends."""
        cell, self._cell = self._cell, None
        if cell is not None:
            with _harmless("the end of a cell"):
                cell.finish()
        self._figures.end_cell()

    # -- calls ---------------------------------------------------------------

    @contextlib.contextmanager
    def public_call(self) -> Iterator[None]:
        """Keep text from the cell that CASA prints around a task and logs too, such as the error of a failed task."""
        if not (self._in_notebook and self._wanted()):
            yield
            return
        printed = CapturedText(None)
        try:
            with captured() as printed:
                yield
        finally:
            if rest := without_logged(printed.text()):
                sys.stdout.write(rest)

    def run(
        self,
        call: TaskCall,
        executor: Executor,
        run: Callable[[TaskCall, Executor], TaskResult] | None = None,
    ) -> TaskResult:
        """Run a call and show it; calls that the task makes itself are part of it.

        Parameters
        ----------
        run
            Runs the call under recording; None if it is not to be recorded.
        """
        __tracebackhide__ = True
        if not self._in_notebook or getattr(self._here, "watch", None) is not None:
            return run(call, executor) if run is not None else executor.run(call)
        watch = self._here.watch = _Watch(call, recorded=run is not None)
        opened: dict[int, Any] = {}
        try:
            with _harmless("an earlier figure"):
                opened = self._figures.begin_call()
            with self._followed(watch) as capture:
                watched = _Watched(executor, watch, capture, lambda: self._drawn(opened))
                if run is None:
                    return watched.run(call)
                result = run(call, watched)
                try:
                    if result.restored is not None:
                        watch.result = result
                        _print_again(result)
                    return result
                finally:
                    del result  # see :class:`casaprov.tasks.calls.TaskResult`
        finally:
            self._here.watch = None
            restored_figures = watch.result.figures if watch.result is not None and watch.result.restored else ()
            with _harmless(call.task):
                self._show(watch)
            watch.result = None  # see :class:`casaprov.tasks.calls.TaskResult`
            with _harmless(f"the figure of {call.task}"):
                self._figures.end_call(opened, watch.pictures)
                for figure in restored_figures if not watch.pictures else ():  # the files are shown
                    self._shell.display_pub.publish(dict(figure))

    def _drawn(self, opened: dict[int, Any]) -> list[dict[str, str]]:
        """Return the figures that a call left open; none where the cache is off."""
        return self._figures.drawn(opened) if self._keeps_figures() else []

    def ended(self, activity: Activity, written: Iterable[Path]) -> None:
        """Take in the outcome of a call and the files that it wrote, before it is shown."""
        watch = getattr(self._here, "watch", None)
        if watch is None:
            return
        if activity.task == watch.call.task:
            watch.activity = activity  # calls of the same task inside have ended before, so the outer one is kept
        if activity.package not in _DRAWING:
            pictures = (path for path in written if path.suffix.lower() in PICTURES)
            watch.pictures += [path for path in pictures if path not in watch.pictures]

    def _show(self, watch: _Watch) -> None:
        if watch.result is None:
            return
        activity, result = watch.activity, watch.result
        self._on_returned(watch.call.task, result.returned)
        cell = self._cell = self._cell or CellBlock(self._shell)
        if self._wanted():
            path = self._journal() / activity.log.path if activity is not None and activity.log is not None else None
            cell.add(
                call_log(
                    watch.call.task,
                    result.log,
                    outcome=result.outcome,
                    seconds=(activity.seconds if activity is not None else None) or time.monotonic() - watch.began,
                    reference=activity.reference if activity is not None else "",
                    path=os.path.relpath(path, self._journal().parent.parent) if path is not None else "",
                    recorded=watch.recorded,
                    restored=result.restored,
                )
            )
        parts = page_of(watch.call, result)
        if parts and parts not in cell.pages and len(cell.pages) < _MAX_PAGES:
            cell.pages.append(parts)
            self._shell.display_pub.publish(bundle_of(parts))

    # -- while it runs -------------------------------------------------------

    @contextlib.contextmanager
    def _followed(self, watch: _Watch) -> Iterator[Callable[[], contextlib.AbstractContextManager[CapturedText]]]:
        """Show a live line if the call takes long; yield the context in which its printed text is captured."""
        if not self._wanted():
            yield _nothing
            return
        cell = self._cell = self._cell or CellBlock(self._shell)
        end = CallEnd()
        current: list[CapturedText] = []

        @contextlib.contextmanager
        def capture() -> Iterator[CapturedText]:
            with captured() as text:
                current.append(text)
                yield text

        # ipykernel finds the cell of an output through context variables, which a new thread does not inherit.
        context = contextvars.copy_context()
        follower = threading.Thread(
            target=context.run, args=(self._follow, watch, cell, current, end), name="casaprov-live", daemon=True
        )
        follower.start()
        try:
            yield capture
        finally:
            end.note()
            follower.join()
            end.close()
            cell.clear_running()

    def _follow(self, watch: _Watch, cell: CellBlock, current: list[CapturedText], end: CallEnd) -> None:
        offset, percent, message = self._casa_log.log_offset(), None, ""
        pause_s = _FIRST_S
        with _harmless(watch.call.task):
            while not end.wait(pause_s):
                pause_s = INTERVAL_S
                size = self._casa_log.log_offset()
                news = self._casa_log.log_since(offset) if size > offset else ""
                offset = size
                found, last = progress(news, current[0].text()[-4000:] if current else "")
                percent = found if found is not None else percent
                message = last or message
                if watch.result is not None:
                    percent, message = None, "it has ended; casaprov reads its products"
                seconds = time.monotonic() - watch.began
                cell.update(
                    Running(
                        task=watch.call.task,
                        seconds=seconds,
                        percent=percent,
                        message=message,
                        interrupted=end.interrupted and watch.result is None,
                    )
                )


class _Watched:
    """An executor that keeps the result of its call for display, with the printed text added to the log."""

    def __init__(
        self,
        executor: Executor,
        watch: _Watch,
        capture: Callable[[], contextlib.AbstractContextManager[CapturedText]],
        drawn: Callable[[], list[dict[str, str]]],
    ) -> None:
        self._executor = executor
        self._watch = watch
        self._capture = capture
        self._drawn = drawn

    def _figures(self, call: TaskCall) -> tuple[dict[str, str], ...]:
        """Return the figures that the call left open, if they may be wanted again."""
        try:
            return tuple(self._drawn())
        except Exception:  # noqa: BLE001 - a failing display never breaks a cell
            _log.info("the figure of %s is not kept", call.task, exc_info=True)
            return ()

    def run(self, call: TaskCall) -> TaskResult:
        """Run the call."""
        __tracebackhide__ = True
        with self._capture() as printed:
            result = self._executor.run(call)
        self._watch.result = replace(result, log=add_printed(result.log, printed.text()), figures=self._figures(call))
        del result  # see :class:`casaprov.tasks.calls.TaskResult`
        return self._watch.result


def _print_again(result: TaskResult) -> None:
    """Print the text of a restored result again."""
    for name, text in result.printed:
        (sys.stderr if name == "stderr" else sys.stdout).write(text)


@contextlib.contextmanager
def _nothing() -> Iterator[CapturedText]:
    yield CapturedText(None)


@contextlib.contextmanager
def _harmless(name: str) -> Iterator[None]:
    """Log all errors of a block that shows something: a failing display never breaks a cell."""
    try:
        yield
    except Exception:  # noqa: BLE001 - see above
        _log.info("%s is not shown", name, exc_info=True)
