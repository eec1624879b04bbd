"""Exemption of casaprov's own work from waiting: its threads, and moments of the user's thread.

An audit hook delays code that is about to change a file which is still being read
(:mod:`casaprov.recording.write_guard`). Casaprov's own code would wait for itself there.
"""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["THREAD_PREFIX", "ExemptLock", "is_exempt"]

THREAD_PREFIX = "casaprov"
"""Start of the names of all threads of this package."""

_thread = threading.local()


def is_exempt() -> bool:
    """Return True if casaprov started this thread, or this thread holds an :class:`ExemptLock`."""
    return getattr(_thread, "held", 0) > 0 or threading.current_thread().name.startswith(THREAD_PREFIX)


class ExemptLock:
    """Reentrant lock whose holder never waits for records to be finished.

    The thread that finishes records takes these locks as well: if a holder waited for that thread, neither would go
    on. The exemption also covers files that casaprov writes under the lock, and files that a garbage collection
    happens to remove meanwhile.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        # Counted before the lock is held: from the first moment of holding it on, this thread must be exempt.
        _thread.held = getattr(_thread, "held", 0) + 1
        try:
            self._lock.acquire()
        except BaseException:  # an interrupt while it waits for the lock
            _thread.held -= 1
            raise

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._lock.release()
        _thread.held -= 1
