"""The digester: measures products in worker processes, and only what has changed since.

What was measured is kept, in memory and in a cache on disk, and holds as long
as the stat stamps of all files are what they were. How a product is read is
the matter of :mod:`casaprov.reading`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from casaprov.checksum import Measurement
from casaprov.errors import WorkerDied
from casaprov.reading import Cache, CallPool, Reading, product_name
from casaprov.stamps import Stamps, is_self_contained, is_settled, settle, stamp

__all__ = ["Digester"]

_REMEMBERED = 32
_THREADS = 8


class Digester:
    """Measures products in worker processes, and remembers what has not changed since.

    Parameters
    ----------
    pool
        Workers that serve the functions of :mod:`casaprov.readers.digest_worker`.
    cache
        Keeps what was measured.
    """

    def __init__(self, pool: CallPool, cache: Cache) -> None:
        self._pool = pool
        self._cache = cache
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, tuple[Stamps, Measurement]] = OrderedDict()
        self._pending: dict[Path, tuple[Stamps, Future[Measurement]]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="casaprov-digest")

    def start(self) -> None:
        """Start the workers now, so that the first product need not wait for them."""
        for _ in range(self._pool.size):
            self._pool.submit("prepare")

    def submit(self, path: Path) -> Future[Measurement]:
        """Start to measure a product; the Future is finished already if nothing changed since the last time.

        The Future raises what :func:`casaprov.checksum.measure` raises, and
        :class:`casaprov.errors.WorkerDied`.
        """
        path = path.absolute()
        now = stamp(path)
        with self._lock:
            known, pending = self._known.get(path), self._pending.get(path)
            if known is not None and known[0] == now:
                self._known.move_to_end(path)
                finished: Future[Measurement] = Future()
                finished.set_result(known[1])
                return finished
            if pending is not None and pending[0] == now:
                return pending[1]
        # Only a stamp that a later write would change can stand for what is measured from now on.
        before = now if is_settled(now, time.time_ns()) else None
        try:
            result = self._threads.submit(self._measure, path, before)
        except RuntimeError as error:
            raise WorkerDied("The workers that compute digests were closed.") from error
        if before is not None:
            with self._lock:
                self._pending[path] = (before, result)
            result.add_done_callback(lambda done: self._no_longer_pending(path, done))
        return result

    def measure(self, path: Path) -> Measurement:
        """Measure a product and wait for it."""
        return self.submit(path).result()

    def forget(self, path: Path) -> None:
        """Measure this product anew the next time, whatever its stamps say."""
        with self._lock:
            self._known.pop(path.absolute(), None)
        self._cache.forget(product_name(path.absolute()))

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._cache.close()

    def _no_longer_pending(self, path: Path, done: Future[Measurement]) -> None:
        with self._lock:
            if path in self._pending and self._pending[path][1] is done:
                del self._pending[path]

    def _measure(self, path: Path, before: Stamps | None) -> Measurement:
        before = before or settle(path)
        reading = Reading(
            path, before if before and is_self_contained(path, before) else None, pool=self._pool, cache=self._cache
        )
        measured = reading.known()
        if measured is None:
            measured = reading.measure()
            # Only what did not change while it was read, and would have shown it, is remembered.
            if reading.stamps is None or stamp(path) != reading.stamps:
                return measured
            self._cache.put(reading.found)
        if reading.stamps is not None:
            with self._lock:
                self._known[path] = (reading.stamps, measured)
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return measured
