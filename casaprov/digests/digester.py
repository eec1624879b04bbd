"""The digester, which measures products in worker processes, and only those that changed.

Measurements are kept, in memory and in a cache on disk, and hold as long as the
stat stamps of all files are the same. :mod:`casaprov.digests.parallel` has a
product read.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement
from casaprov.digests.memory_cache import RecentDigests
from casaprov.digests.parallel import Cache, CallPool, Observes, ParallelMeasurement
from casaprov.errors import WorkerClosed, WorkerDied
from casaprov.files.stamps import Stamps, is_self_contained, is_settled, settle, stamp
from casaprov.files.time_resolution import TimeSteps
from casaprov.processes.exempt import ExemptLock
from casaprov.records.model import Tier

__all__ = ["Digester"]

_REMEMBERED = 32  # products whose measurements are kept in memory


class Digester:
    """Measures products in worker processes, and remembers the measurements until a product changes.

    Parameters
    ----------
    pool
        Workers that serve the functions of :mod:`casaprov.readers.digest_worker`.
    cache
        Keeps measurements for later sessions; None for none.
    observes
        How much is read of what headers say about the observation.
    """

    def __init__(self, pool: CallPool, cache: Cache | None, *, observes: Observes = "nothing") -> None:
        self._pool = pool
        self._observes: Observes = observes
        self._cache = RecentDigests(cache)
        self._steps = TimeSteps()
        self._lock = ExemptLock()
        self._known: OrderedDict[tuple[Path, Tier], tuple[Stamps, Measurement]] = OrderedDict()
        self._pending: dict[tuple[Path, Tier], tuple[Stamps, Future[Measurement]]] = {}
        # One more than there are workers keeps these busy; more would only compete with the user's thread.
        self._threads = ThreadPoolExecutor(pool.size + 1, thread_name_prefix="casaprov-digest")

    def start(self) -> None:
        """Start the workers before the first product needs them, one by one, to leave CASA a processor."""
        self._prepare([kind for kind in ("tables", "fits") for _ in range(self._pool.size)])

    def _prepare(self, kinds: list[str]) -> None:
        if kinds:
            with suppress(WorkerDied):  # race: the pool may be closed meanwhile
                first, *rest = kinds
                self._pool.submit("prepare", kind=first).add_done_callback(lambda _: self._prepare(rest))

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        """Start to measure a product; its Future is finished already if nothing changed since the last time.

        Parameters
        ----------
        tier
            ``fast`` reads only samples of large columns and files.
        stamps
            Its stamps, if they were just taken.

        Returns
        -------
        Future
            It raises the errors of :func:`casaprov.digests.measurement.measure`, and
            :class:`casaprov.errors.WorkerClosed`.
        """
        path = path.absolute()
        key = (path, tier)
        now = stamps or stamp(path)
        with self._lock:
            known, pending = self._known.get(key), self._pending.get(key)
            if known is not None and known[0] == now:
                self._known.move_to_end(key)
                finished: Future[Measurement] = Future()
                finished.set_result(known[1])
                return finished
            if pending is not None and pending[0] == now:
                return pending[1]
        # Race: a write within the same step of the clock would leave these stamps as they are. Only stamps that are older
        # than a step can stand for the content that is measured from now on.
        before = now if is_settled(now, self._steps.at(path)) else None
        with self._lock:
            try:
                result = self._threads.submit(self._measure, path, tier, before)
            except RuntimeError:  # its threads have ended
                closed: Future[Measurement] = Future()
                closed.set_exception(WorkerClosed(f"{path} was not measured: the workers were closed."))
                return closed
            self._pending[key] = (now, result)
        result.add_done_callback(lambda done: self._no_longer_pending(key, done))
        return result

    def remember(self, path: Path, stamps: Stamps, measured: Measurement) -> None:
        """Take in the measurement of a product that was put in its place with these stamps.

        The caller knows the content; as elsewhere, the measurement holds as long as the stamps are the same.
        """
        path = path.absolute()
        # Race: a write within the same step of the clock would leave these stamps as they are.
        settled = settle(path, self._steps.at(path))
        if settled is None or settled != stamps or not is_self_contained(path, stamps):
            return
        with self._lock:
            self._remember((path, measured.tier), settled, measured)

    def measure(self, path: Path, *, tier: Tier = "full") -> Measurement:
        """Measure a product and wait for it."""
        return self.submit(path, tier=tier).result()

    def quick_looks(self, paths: list[Path]) -> Future[list[dict[str, Any] | None]]:
        """Start to draw a small picture of each image, as JSON values; None of one that is no image or cannot be read.

        One worker draws all: each that starts loads its libraries first, which takes longer than the pictures.
        """
        return self._pool.submit("quick_looks", paths=[str(path.absolute()) for path in paths])

    def cached_bytes(self) -> int:
        """Return how many bytes the cache holds."""
        return self._cache.size_bytes()

    def rest(self) -> None:
        """Finish the measurements, end the workers and close the cache; the next product starts them again."""
        with self._lock:
            pending = [result for _, result in self._pending.values()]
        wait(pending)
        self._pool.rest()
        self._cache.rest()

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._cache.close()

    def _no_longer_pending(self, key: tuple[Path, Tier], done: Future[Measurement]) -> None:
        with self._lock:
            # A later measurement of the same product may have taken its place.
            if key in self._pending and self._pending[key][1] is done:
                del self._pending[key]

    def _measure(self, path: Path, tier: Tier, before: Stamps | None) -> Measurement:
        before = before or settle(path, self._steps.at(path))
        if before is None:  # the stamps show no change: calls from now on get a measurement of their own
            with self._lock:
                self._pending.pop((path, tier), None)
        covered = before if before and is_self_contained(path, before) else None
        measurement = ParallelMeasurement(
            path, covered, pool=self._pool, cache=self._cache, tier=tier, observes=self._observes
        )
        measured = measurement.known()
        if measured is None:
            measured = measurement.measure()
            # Race: the product may have changed while it was read. A measurement is remembered only if that would show.
            if measurement.stamps is None or stamp(path) != measurement.stamps:
                return measured
            self._cache.put(measurement.found)
        if measurement.stamps is not None:
            with self._lock:
                self._remember((path, tier), measurement.stamps, measured)
        return measured

    def _remember(self, key: tuple[Path, Tier], stamps: Stamps, measured: Measurement) -> None:
        self._known[key] = (stamps, measured)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
