"""Calls that have ended, while casaprov still reads what they left.

The user's code goes on meanwhile. Whoever is about to change one of these
files waits first: the recorder for the calls that it records,
:mod:`casaprov.guard` for all other code.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from casaprov.stamps import Stamps

__all__ = ["Endings", "is_own_thread"]

_log = logging.getLogger(__name__)

_THREADS = "casaprov"  # names of all threads of this package begin so


class _UnderWay(NamedTuple):
    """An ending under way: what it reads, by all names, and how much that is at most."""

    paths: frozenset[Path]
    size_bytes: int


class Endings:
    """Finishes records in the order in which their calls ended, in a thread of its own. Safe for threads."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{_THREADS}-ending")
        # Garbage that is collected while it is held may remove files, which asks what is read.
        self._lock = threading.RLock()
        self._last: Future[None] | None = None
        self._reading: list[_UnderWay] = []
        self._used: set[Path] = set()
        self._waited_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether an ending is under way."""
        return bool(self._reading) and os.getpid() == self._process

    @property
    def size_bytes(self) -> int:
        """Size of what is still read, at most."""
        with self._lock:
            return sum(under_way.size_bytes for under_way in self._reading)

    def reads(self, paths: Iterable[Path], *, below: bool = True) -> bool:
        """Tell whether one of these paths is still read, is part of something that is, or holds something that is.

        Parameters
        ----------
        below
            Whether what lies below a path matters.
        """
        with self._lock:
            reading = [other for under_way in self._reading for other in under_way.paths]
        return any(_holds(other, path) or (below and _holds(path, other)) for path in paths for other in reading)

    def put(self, files: Mapping[Path, Stamps], finish: Callable[[], None]) -> None:
        """Call `finish` when its turn has come, in another thread; at once where Python is ending and has none any more.

        Parameters
        ----------
        files
            What it reads, as it is now.
        """
        paths = frozenset(files) | {path.resolve() for path in files}
        under_way = _UnderWay(paths, sum(stamps.size_bytes for stamps in files.values()))
        with self._lock:
            self._reading.append(under_way)
            with suppress(RuntimeError):
                self._last = self._thread.submit(self._finish, under_way, finish)
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

    def settle(self) -> None:
        """Wait until all that has ended is recorded; no more than a look if nothing is under way."""
        last = self._last
        if last is None or last.done() or os.getpid() != self._process or is_own_thread():
            return
        began = time.monotonic()
        try:
            wait([last])
        finally:
            with self._lock:
                self._waited_s += time.monotonic() - began

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


def _holds(folder: Path, path: Path) -> bool:
    return folder == path or folder in path.parents


def is_own_thread() -> bool:
    """Tell whether casaprov started this thread."""
    return threading.current_thread().name.startswith(_THREADS)
