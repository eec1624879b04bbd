"""What casaprov does itself, and nobody has to wait for: its threads, and moments of the user's thread.

An audit hook holds back code that is about to change files which are still read
(:mod:`casaprov.recording.write_guard`). In casaprov's own code that would wait for itself.
"""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["THREADS", "ExemptLock", "is_own_work"]

THREADS = "casaprov"
"""Names of all threads of this package begin so."""

_here = threading.local()


def is_own_work() -> bool:
    """Tell whether casaprov started this thread, or this thread holds an :class:`ExemptLock`."""
    return getattr(_here, "held", 0) > 0 or threading.current_thread().name.startswith(THREADS)


class ExemptLock:
    """A lock that what is still read may need: who holds it is not held back.

    That goes for files that casaprov writes under it, and for garbage that happens to be collected meanwhile and
    removes files. A thread may take it twice.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        _here.held = getattr(_here, "held", 0) + 1
        try:
            self._lock.acquire()
        except BaseException:  # an interrupt while it waits
            _here.held -= 1
            raise

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._lock.release()
        _here.held -= 1
