"""Execution of a notebook's cells: nbclient with a time limit, and with signals that lose no output."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbformat import NotebookNode

__all__ = ["CellRun"]

# CASA's C++ notices an interrupt only when it is back in Python. A cell that goes on for longer than this, in seconds,
# is ended with its kernel.
_GRACE_S = 10.0

# One interrupt may not be enough: a cell can catch it, and the system may deliver it to a thread of the kernel that does
# not wake code that sleeps.
_INTERRUPTS = 4

# Time, in seconds, that the output of a cell may take to arrive after its end. nbclient's own limit is four seconds.
_OUTPUT_S = 60

_AWAKE_S = 0.2

_SETTLE = "import sys; 'casaprov.kernel_hook' in sys.modules and sys.modules['casaprov.kernel_hook'].settle()"


class _Stopped(Exception):
    """Raised to execute no further cell."""


class _Client(NotebookClient):  # type: ignore[misc]
    """nbclient with a hook that runs before the kernel is shut down."""

    before_shutdown: Callable[[], Awaitable[None]] | None = None

    @contextlib.asynccontextmanager
    async def async_setup_kernel(self, **kwargs: Any) -> AsyncGenerator[None, None]:
        async with super().async_setup_kernel(**kwargs):
            try:
                yield
            finally:
                if self.before_shutdown is not None:
                    await self.before_shutdown()


class CellRun:
    """One execution of a notebook's cells.

    Parameters
    ----------
    notebook
        Its outputs are filled in, cell by cell.
    folder
        Folder that the kernel starts in.
    kernel
        Name of the kernelspec; by default the notebook's own.
    timeout_s
        Longest time for one cell, in seconds; None for no limit.
    unlimited
        A cell without this limit.
    on_cell
        Called with each code cell before it is executed.

    Attributes
    ----------
    signal
        Number of the signal that stopped it; None if none did.
    timed_out
        True if a cell took longer than `timeout_s`.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        folder: Path,
        *,
        kernel: str | None = None,
        timeout_s: float | None = None,
        unlimited: NotebookNode | None = None,
        on_cell: Callable[[NotebookNode], None] = lambda _cell: None,
    ) -> None:
        self.signal: int | None = None
        self.timed_out = False
        self._timeout_s = timeout_s
        self._unlimited = unlimited
        self._on_cell = on_cell
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[Any] | None = None
        self._timers: list[asyncio.TimerHandle] = []  # of the cell that is executed
        self._interrupting: asyncio.Task[None] | None = None
        self._ready = self._in_cell = False
        self._client = _Client(
            notebook,
            timeout=None,
            iopub_timeout=_OUTPUT_S,
            resources={"metadata": {"path": str(folder)}},
            on_cell_start=self._check,
            on_cell_execute=self._begin,
            on_cell_executed=self._end,
            # ipykernel warns about TCP on every start, and about being stopped in a cell; the errors of cells are in the
            # notebook.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            **({"kernel_name": kernel} if kernel else {}),
        )
        self._client.before_shutdown = self._settle

    def execute(self, environment: Mapping[str, str]) -> None:
        """Execute all cells, in a kernel with this environment; return when it has ended.

        Errors of nbclient are raised, unless a signal or the time limit was the reason.
        """
        # In the main thread nbclient would handle signals itself and shut the kernel down while it waits for it. It runs
        # in another thread, so that the main thread handles them.
        with ThreadPoolExecutor(1, thread_name_prefix="casaprov-run") as pool:
            running = pool.submit(asyncio.run, self._execute(dict(environment)))
            # The system may deliver a signal to any thread; Python runs the handler in this one, once it is awake.
            while not running.done():
                wait([running], _AWAKE_S)
            running.result()

    def stop(self, number: int) -> None:
        """Stop because of a signal: interrupt the cell; a second time, kill the kernel. Safe in a signal handler."""
        again = self.signal is not None
        self.signal = self.signal or number
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._kill if again else self._interrupt)

    async def _execute(self, environment: dict[str, str]) -> None:
        self._main = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        try:
            if self.signal is None:
                await self._client.async_execute(env=environment)
        except (Exception, asyncio.CancelledError):
            if self.signal is None and not self.timed_out:
                raise
        finally:
            self._loop = None

    def _check(self, cell: NotebookNode, cell_index: int) -> None:
        self._ready = True
        if self.signal is not None:
            raise _Stopped

    def _begin(self, cell: NotebookNode, cell_index: int) -> None:
        self._on_cell(cell)
        # As JupyterLab does: a cell that is edited later is known by its id.
        self._client.kc.session.metadata = {"cellId": cell.id} if "id" in cell else {}
        self._in_cell = True
        if self._timeout_s is not None and cell is not self._unlimited:
            self._timers.append(asyncio.get_running_loop().call_later(self._timeout_s, self._time_out))

    def _end(self, cell: NotebookNode, cell_index: int, execute_reply: Any) -> None:
        self._in_cell = False
        while self._timers:
            self._timers.pop().cancel()
        if self.timed_out or self.signal is not None:  # also if the cell caught the interrupt
            raise _Stopped

    async def _settle(self) -> None:
        """Wait until the kernel has finished its records; a kernel that is shut down has only a few seconds."""
        if self._in_cell or not self._ready:  # the kernel does not answer, or has not started
            return
        self._in_cell = True  # a signal may interrupt this, too
        if self.signal is not None:  # the sender of the signal does not wait for ever
            self._timers.append(asyncio.get_running_loop().call_later(_GRACE_S, self._cancel))
        with contextlib.suppress(Exception):  # the kernel has died
            await self._client.async_wait_for_reply(self._client.kc.execute(_SETTLE, silent=True, store_history=False))
        self._in_cell = False

    def _time_out(self) -> None:
        self.timed_out = True
        self._interrupt()

    def _interrupt(self) -> None:
        if self._in_cell:  # else the next cell is not begun
            loop = asyncio.get_running_loop()
            turns = [turn * _GRACE_S / _INTERRUPTS for turn in range(_INTERRUPTS)]
            self._timers += [loop.call_later(turn_s, self._interrupt_cell) for turn_s in turns]
            self._timers.append(loop.call_later(_GRACE_S, self._cancel))

    def _interrupt_cell(self) -> None:
        if self._in_cell:
            self._interrupting = asyncio.get_running_loop().create_task(self._interrupt_kernel())

    async def _interrupt_kernel(self) -> None:
        with contextlib.suppress(RuntimeError):  # the kernel has just died
            await self._client.km.interrupt_kernel()

    def _kill(self) -> None:
        self._client.shutdown_kernel = "immediate"
        self._cancel()

    def _cancel(self) -> None:
        if self._main is not None and (self._in_cell or not self._ready):  # else it is shutting the kernel down
            self._main.cancel()
