"""Queue of captured results: their files are hashed and kept by a thread of its own, while other code runs.

A result is captured before anything may change its products. Hashing takes longer, reads the originals or the clones,
and nobody waits for it but a call that asks for the same key, and the end of the session.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from casaprov.hashing import Digest
from casaprov.processes.exempt import THREAD_PREFIX, ExemptLock

__all__ = ["KeepQueue"]

_log = logging.getLogger(__name__)

_MOST = 16
"""Results that wait at a time: their clones keep bytes on the disk that the user may have deleted."""


class KeepQueue:
    """Keeps results in the order in which they were captured. Safe for threads."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_PREFIX}-keep")
        self._lock = ExemptLock()
        self._pending: dict[Digest, Future[None]] = {}
        self._room = threading.Semaphore(_MOST)

    def add(self, key: Digest, keep: Callable[[], object]) -> None:
        """Call `keep` after all earlier ones; wait while too many results are not kept yet.

        Parameters
        ----------
        key
            Key of the result.
        """
        self._room.acquire()
        with self._lock:
            try:
                pending = self._pending[key] = self._thread.submit(self._keep, key, keep)
            except RuntimeError:  # Python is shutting down and starts no thread
                pending = None
        if pending is None:
            self._keep(key, keep)
        else:
            pending.add_done_callback(lambda done: self._forget(key, done))

    def wait_for(self, key: Digest) -> None:
        """Wait until the result of a key is kept, if it was captured."""
        with self._lock:
            pending = self._pending.get(key)
        if pending is not None:
            wait([pending])

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until all results so far are kept."""
        with self._lock:
            pending = tuple(self._pending.values())
        wait(pending, timeout_s)

    def close(self) -> None:
        """Keep the remaining results, and end the thread."""
        self._thread.shutdown()

    def _keep(self, key: Digest, keep: Callable[[], object]) -> None:
        try:
            keep()
        except Exception:  # noqa: BLE001 - results that are not kept are computed again
            _log.info("the results of %s were not kept", key, exc_info=True)
        finally:
            self._room.release()

    def _forget(self, key: Digest, done: Future[None]) -> None:
        with self._lock:
            if self._pending.get(key) is done:  # a later result with this key may have taken its place
                del self._pending[key]
