"""The digester: measures products in worker processes, and only what has changed since.

What was measured is kept, in memory and in a cache on disk, and holds as long
as the stat stamps of all files are what they were. How a product is read is
the matter of :mod:`casaprov.digests.parallel`.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from casaprov.digests.measurement import Measurement
from casaprov.digests.memory_cache import RecentDigests
from casaprov.digests.parallel import Cache, CallPool, ParallelMeasurement
from casaprov.errors import WorkerDied
from casaprov.files.stamps import Stamps, is_self_contained, is_settled, settle, stamp
from casaprov.files.time_resolution import TimeSteps
from casaprov.processes.exempt import ExemptLock
from casaprov.records.model import Tier

__all__ = ["Digester"]

_REMEMBERED = 32


class Digester:
    """Measures products in worker processes, and remembers what has not changed since.

    Parameters
    ----------
    pool
        Workers that serve the functions of :mod:`casaprov.readers.digest_worker`.
    cache
        Keeps what was measured for later sessions; None for none.
    """

    def __init__(self, pool: CallPool, cache: Cache | None) -> None:
        self._pool = pool
        self._cache = RecentDigests(cache)
        self._steps = TimeSteps()
        self._lock = ExemptLock()
        self._known: OrderedDict[tuple[Path, Tier], tuple[Stamps, Measurement]] = OrderedDict()
        self._pending: dict[tuple[Path, Tier], tuple[Stamps, Future[Measurement]]] = {}
        # One more than there are workers keeps these busy; many would only take turns with the user's thread.
        self._threads = ThreadPoolExecutor(pool.size + 1, thread_name_prefix="casaprov-digest")

    def start(self) -> None:
        """Start the workers, so that the first product need not wait for them; one by one, to leave CASA a processor."""
        self._prepare([kind for kind in ("tables", "fits") for _ in range(self._pool.size)])

    def _prepare(self, kinds: list[str]) -> None:
        if kinds:
            with suppress(WorkerDied):  # closed meanwhile
                first, *rest = kinds
                self._pool.submit("prepare", kind=first).add_done_callback(lambda _: self._prepare(rest))

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        """Start to measure a product; the Future is finished already if nothing changed since the last time.

        Parameters
        ----------
        tier
            ``fast`` reads only samples of large columns and files.
        stamps
            Its stamps, from who has them already.

        Returns
        -------
        Future
            It raises what :func:`casaprov.digests.measurement.measure` raises, and
            :class:`casaprov.errors.WorkerDied`.
        """
        path = path.absolute()
        what = (path, tier)
        now = stamps or stamp(path)
        with self._lock:
            known, pending = self._known.get(what), self._pending.get(what)
            if known is not None and known[0] == now:
                self._known.move_to_end(what)
                finished: Future[Measurement] = Future()
                finished.set_result(known[1])
                return finished
            if pending is not None and pending[0] == now:
                return pending[1]
        # Only a stamp that a later write would change can stand for what is measured from now on.
        before = now if is_settled(now, self._steps.at(path)) else None
        with self._lock:
            try:
                result = self._threads.submit(self._measure, path, tier, before)
            except RuntimeError:  # its threads have ended
                closed: Future[Measurement] = Future()
                closed.set_exception(WorkerDied(f"{path} was not measured: the workers were closed."))
                return closed
            self._pending[what] = (now, result)
        result.add_done_callback(lambda done: self._no_longer_pending(what, done))
        return result

    def measure(self, path: Path, *, tier: Tier = "full") -> Measurement:
        """Measure a product and wait for it."""
        return self.submit(path, tier=tier).result()

    def cached_bytes(self) -> int:
        """Bytes that the cache holds."""
        return self._cache.size_bytes()

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._cache.close()

    def _no_longer_pending(self, what: tuple[Path, Tier], done: Future[Measurement]) -> None:
        with self._lock:
            if what in self._pending and self._pending[what][1] is done:
                del self._pending[what]

    def _measure(self, path: Path, tier: Tier, before: Stamps | None) -> Measurement:
        before = before or settle(path, self._steps.at(path))
        if before is None:  # its stamps say nothing: who asks from now on gets a reading of his own
            with self._lock:
                self._pending.pop((path, tier), None)
        whole = before if before and is_self_contained(path, before) else None
        reading = ParallelMeasurement(path, whole, pool=self._pool, cache=self._cache, tier=tier)
        measured = reading.known()
        if measured is None:
            measured = reading.measure()
            # Only what did not change while it was read, and would have shown it, is remembered.
            if reading.stamps is None or stamp(path) != reading.stamps:
                return measured
            self._cache.put(reading.found)
        if reading.stamps is not None:
            with self._lock:
                self._known[path, tier] = (reading.stamps, measured)
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return measured
