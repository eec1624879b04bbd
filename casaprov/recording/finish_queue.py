"""Calls that have ended, while casaprov still reads what they left.

The user's code goes on meanwhile. Whoever is about to change one of these
files waits first: the recorder for the calls that it records,
:mod:`casaprov.recording.write_guard` for all other code.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from casaprov.processes.exempt import THREADS, ExemptLock, is_own_work

__all__ = ["FinishQueue"]

_log = logging.getLogger(__name__)

_PATIENCE_S = 2.0


class _UnderWay(NamedTuple):
    """An ending under way: what it reads, the same by all names, and whether some of it lies elsewhere."""

    files: frozenset[Path]
    paths: frozenset[Path]
    elsewhere: Callable[[], bool]
    finished: threading.Event


class FinishQueue:
    """Finishes records in the order in which their calls ended, in a thread of its own. Safe for threads.

    Parameters
    ----------
    on_long_wait
        Called with the names of what is still read, when somebody has waited for two seconds.
    """

    def __init__(self, on_long_wait: Callable[[list[str]], None] = lambda _names: None) -> None:
        self._on_long_wait = on_long_wait
        self._process = os.getpid()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{THREADS}-ending")
        self._lock = ExemptLock()
        self._reading: list[_UnderWay] = []  # in the order in which they finish
        self._used: set[Path] = set()
        self._waited_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether an ending is under way."""
        return bool(self._reading) and os.getpid() == self._process

    def put(
        self, files: Iterable[Path], finish: Callable[[], None], *, elsewhere: Callable[[], bool] = lambda: False
    ) -> None:
        """Call `finish` when its turn has come, in another thread; at once where Python is ending and has none any more.

        Parameters
        ----------
        files
            What it reads.
        elsewhere
            Tells whether some of that lies at other paths: a table that refers to another one, a link.
        """
        files = frozenset(files)
        under_way = _UnderWay(files, files | {path.resolve() for path in files}, elsewhere, threading.Event())
        with self._lock:
            self._reading.append(under_way)
            with suppress(RuntimeError):
                self._thread.submit(self._finish, under_way, finish)
                return
        self._finish(under_way, finish)

    def use(self, paths: Iterable[Path]) -> None:
        """Take note that a call is about to read these files; CASA may touch what it reads."""
        with self._lock:
            if self._reading:
                self._used.update(paths)

    def is_used(self, path: Path) -> bool:
        """Tell whether a call may have touched a file since it is read here."""
        with self._lock:
            return any(_holds(path, other) or _holds(other, path) for other in self._used)

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until all that has ended is recorded; no more than a look if nothing is under way.

        Parameters
        ----------
        timeout_s
            Most that is waited; by default there is no limit, and who waits long is told.
        """
        if self.busy:
            with self._lock:
                last = self._reading[-1] if self._reading else None
            self._wait(last, timeout_s)

    def settle_for(self, paths: Iterable[Path], *, below: bool = True) -> None:
        """Wait until what reads one of these paths is recorded, reads what they are part of, or what they hold.

        Parameters
        ----------
        paths
            With all names that they have.
        below
            Whether what they hold matters.
        """
        if self.busy:
            self._wait(self._last_of(tuple(paths), below=below))

    def _last_of(self, paths: Collection[Path], *, below: bool) -> _UnderWay | None:
        with self._lock:
            reading = self._reading[::-1]
        is_there = any(os.path.lexists(path) for path in paths)  # nobody reads what is only to come
        for under_way in reading:
            if is_there and under_way.elsewhere():
                return under_way
            for other in under_way.paths:
                if any(_holds(other, path) or (below and _holds(path, other)) for path in paths):
                    return under_way
        return None

    def _wait(self, last: _UnderWay | None, timeout_s: float | None = None) -> None:
        if last is None or is_own_work():
            return
        began = time.monotonic()
        try:
            if not last.finished.wait(_PATIENCE_S if timeout_s is None else timeout_s) and timeout_s is None:
                with suppress(Exception):  # the user's stderr may be closed
                    self._on_long_wait(self._names(last))
                last.finished.wait()
        finally:
            with self._lock:
                self._waited_s += time.monotonic() - began

    def _names(self, last: _UnderWay) -> list[str]:
        """Names of what is read until an ending is finished."""
        with self._lock:
            waited_for = self._reading[: self._reading.index(last) + 1] if last in self._reading else []
        return sorted({path.name for under_way in waited_for for path in under_way.files})

    def take_waited(self) -> float:
        """Seconds that were waited here since this was last asked."""
        with self._lock:
            waited, self._waited_s = self._waited_s, 0.0
            return waited

    def _finish(self, under_way: _UnderWay, finish: Callable[[], None]) -> None:
        try:
            finish()
        except Exception:  # noqa: BLE001 - the next one has its turn all the same
            _log.info("a record was not finished", exc_info=True)
        finally:
            with self._lock:
                self._reading.remove(under_way)
                if not self._reading:
                    self._used.clear()
            under_way.finished.set()


def _holds(folder: Path, path: Path) -> bool:
    return folder == path or folder in path.parents
