"""Queue of the records that are finished while the user's code goes on.

It keeps two promises of :mod:`casaprov.recording`: final records are written in order by one thread, and a writer to
a path waits for the records that read it. The recorder waits for the calls that it records,
:mod:`casaprov.recording.write_guard` makes all other code wait.
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

from casaprov.processes.exempt import THREAD_PREFIX, ExemptLock, is_exempt

__all__ = ["FinishQueue", "Patience"]

_log = logging.getLogger(__name__)

_LONG_WAIT_S = 2.0
"""Time after which a user is told what the wait is for."""


_FIRST_S = 1.0
"""Seconds that a session may always wait: its first tasks took no time yet."""


class _Unfinished(NamedTuple):
    """A record that is not finished.

    Attributes
    ----------
    files
        Paths that its digests are read from.
    names
        The same paths, and what they are when links are followed.
    refers_elsewhere
        Tells whether some of its content lies at other paths.
    finished
        Set when the record is finished, or could not be.
    """

    files: frozenset[Path]
    names: frozenset[Path]
    refers_elsewhere: Callable[[], bool]
    finished: threading.Event


class FinishQueue:
    """Finishes records in the order in which their calls ended, in one thread. Safe for threads.

    Parameters
    ----------
    on_long_wait
        Called with the names of the files that are still read, when code has waited for them for two seconds.
    """

    def __init__(self, on_long_wait: Callable[[list[str]], None] = lambda _names: None) -> None:
        self._on_long_wait = on_long_wait
        self._process = os.getpid()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_PREFIX}-finish")
        self._lock = ExemptLock()
        self._unfinished: list[_Unfinished] = []  # in the order in which they will be finished
        self._read_by_calls: set[Path] = set()
        self._copied: set[Path] = set()
        self._waited_s = 0.0

    @property
    def busy(self) -> bool:
        """True while a record is not finished."""
        # A fork has a copy of the list, and no thread that would ever shorten it.
        return bool(self._unfinished) and os.getpid() == self._process

    def add(
        self, files: Iterable[Path], finish: Callable[[], None], *, refers_elsewhere: Callable[[], bool] = lambda: False
    ) -> None:
        """Call `finish` after all functions that were added before, in another thread.

        Parameters
        ----------
        files
            Paths that are read for the record.
        refers_elsewhere
            Tells whether some of their content lies at other paths: a table that refers to another one, a link.
        """
        files = frozenset(files)
        record = _Unfinished(files, files | {path.resolve() for path in files}, refers_elsewhere, threading.Event())
        # Listed and submitted under one lock: otherwise another call could be listed before and finished after.
        with self._lock:
            self._unfinished.append(record)
            with suppress(RuntimeError):
                self._thread.submit(self._finish, record, finish)
                return
        self._finish(record, finish)  # Python is shutting down and starts no thread

    def note_reader(self, paths: Iterable[Path]) -> None:
        """Note that a call is about to read these paths. CASA may write into tables that it only reads."""
        with self._lock:
            if self._unfinished:
                self._read_by_calls.update(paths)

    def may_be_touched(self, path: Path) -> bool:
        """Return True if a noted call may have written at a path, above it or below it."""
        with self._lock:
            return any(_holds(path, other) or _holds(other, path) for other in self._read_by_calls)

    def note_copied(self, paths: Iterable[Path]) -> None:
        """Note that code is about to copy these paths: their content must be known to recognise the copies."""
        with self._lock:
            if self._unfinished:
                self._copied.update(paths)

    def reads_once(self, path: Path) -> bool:
        """Return True if one unfinished record reads a path, no other does, and no code has copied it."""
        with self._lock:
            names = {name for record in self._unfinished if path in record.names for name in record.names}
            copied = any(_holds(name, other) or _holds(other, name) for name in names for other in self._copied)
            return not copied and sum(path in record.names for record in self._unfinished) == 1

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all records are finished.

        Parameters
        ----------
        timeout_s
            Longest wait. Without a limit, a long wait is reported to `on_long_wait`.
        """
        if self.busy:
            with self._lock:
                last = self._unfinished[-1] if self._unfinished else None
            self._wait_until(last, timeout_s)

    def wait_for(self, paths: Iterable[Path], *, below: bool = True, timeout_s: float | None = None) -> None:
        """Wait until the records that read one of these paths are finished, and all records before them.

        A record that reads a folder above a path counts as well.

        Parameters
        ----------
        paths
            Every path under all its names.
        below
            Whether a record that reads something below a path counts, too.
        timeout_s
            Longest wait.
        """
        if self.busy:
            self._wait_until(self._last_reader(tuple(paths), below=below), timeout_s)

    def take_waited(self) -> float:
        """Return the seconds that code waited here since the last call of this method."""
        with self._lock:
            waited, self._waited_s = self._waited_s, 0.0
            return waited

    # -- parts -----------------------------------------------------------------

    def _last_reader(self, paths: Collection[Path], *, below: bool) -> _Unfinished | None:
        """Return the last record that reads one of these paths; records are finished in order."""
        with self._lock:
            newest_first = self._unfinished[::-1]
        # A record whose content lies elsewhere may read any path, but none where nothing is yet.
        exists = any(os.path.lexists(path) for path in paths)
        for record in newest_first:
            if exists and record.refers_elsewhere():
                return record
            for name in record.names:
                if any(_holds(name, path) or (below and _holds(path, name)) for path in paths):
                    return record
        return None

    def _wait_until(self, last: _Unfinished | None, timeout_s: float | None = None) -> None:
        if last is None or is_exempt():
            return
        began = time.monotonic()
        try:
            if not last.finished.wait(_LONG_WAIT_S if timeout_s is None else timeout_s) and timeout_s is None:
                with suppress(Exception):  # the user's stderr may be closed
                    self._on_long_wait(self._names_until(last))
                last.finished.wait()
        finally:
            with self._lock:
                self._waited_s += time.monotonic() - began

    def _names_until(self, last: _Unfinished) -> list[str]:
        """Return the names of the files that are read until a record is finished."""
        with self._lock:
            until = self._unfinished[: self._unfinished.index(last) + 1] if last in self._unfinished else []
        return sorted({path.name for record in until for path in record.files})

    def _finish(self, record: _Unfinished, finish: Callable[[], None]) -> None:
        try:
            finish()
        except Exception:  # noqa: BLE001 - one failure must not stop the records after it
            _log.info("a record was not finished", exc_info=True)
        finally:
            with self._lock:
                self._unfinished.remove(record)
                if not self._unfinished:
                    self._read_by_calls.clear()
                    self._copied.clear()
            # Only now: a waiter that goes on must find the record gone from the list.
            record.finished.set()


class Patience:
    """Part of the task time for which calls may wait. Safe for threads.

    Parameters
    ----------
    part
        Returns the part, as a number from 0; infinite for calls that always wait.
    """

    def __init__(self, part: Callable[[], float]) -> None:
        self._part = part
        self._lock = threading.Lock()
        self._tasks_s = 0.0
        self._waited_s = 0.0

    @property
    def left_s(self) -> float:
        """Seconds that a call may wait now."""
        part = self._part()
        allowed = part * self._tasks_s if self._tasks_s or part == 0 else 0.0
        return max(0.0, max(_FIRST_S if part else 0.0, allowed) - self._waited_s)

    @property
    def endless(self) -> bool:
        """True if calls always wait."""
        return self._part() == float("inf")

    def note(self, seconds: float, waited_s: float) -> None:
        """Note a call that has ended: its duration, and for how long it waited for casaprov."""
        with self._lock:
            self._tasks_s += max(0.0, seconds - waited_s)
            self._waited_s += waited_s


def _holds(folder: Path, path: Path) -> bool:
    return folder == path or folder in path.parents
