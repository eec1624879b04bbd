"""The latest measurements in memory, before the cache on disk.

A table that changes again and again has each of its columns and sub-tables looked
up each time, and code that waits for a digest need not wait until it is on disk.
Values are written there a few seconds later; one that was replaced meanwhile, never.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from casaprov.digests.parallel import Cache
from casaprov.processes.exempt import THREAD_PREFIX, ExemptLock

__all__ = ["RecentDigests"]

_log = logging.getLogger(__name__)

_REMEMBERED = 1000  # values in memory: the columns and sub-tables of ten MeasurementSets


class RecentDigests:
    """A :class:`casaprov.digests.parallel.Cache` in memory, which writes to another one later. Safe for threads.

    Values are not copied, and must not be changed.

    Parameters
    ----------
    cache
        The cache that values are written to; None for none.
    delay_s
        Time in seconds that a value waits to be written.
    """

    def __init__(self, cache: Cache | None, *, delay_s: float = 3.0) -> None:
        self._cache = cache
        self._delay_s = delay_s
        self._lock = ExemptLock()
        self._writing = ExemptLock()  # held while values are written: close() waits for it
        self._known: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._waiting: dict[str, tuple[str, Any]] = {}
        self._timer: threading.Timer | None = None

    def get(self, name: str, stamp: str) -> Any:
        """Return the value that a name has under a stamp; None if it has none."""
        with self._lock:
            known = self._known.get(name) or self._waiting.get(name)
            if known is not None and known[0] == stamp:
                self._remember({name: known})
                return known[1]
        value = None if self._cache is None else self._cache.get(name, stamp)
        if value is not None:
            with self._lock:
                self._remember({name: (stamp, value)})
        return value

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Keep values."""
        found = {name: (stamp, value) for name, stamp, value in entries}
        with self._lock:
            self._remember(found)
            if self._cache is None:
                return
            self._waiting |= found
            if self._timer is None:
                timer = threading.Timer(self._delay_s, self._write, [self._cache])
                timer.name = f"{THREAD_PREFIX}-cache"
                timer.daemon = True  # Python does not wait for it at its end: close() writes what is left then
                with suppress(RuntimeError):  # no thread can be started, or Python is ending
                    timer.start()
                    self._timer = timer

    def size_bytes(self) -> int:
        """Return how many bytes are kept on disk."""
        return 0 if self._cache is None else self._cache.size_bytes()

    def rest(self) -> None:
        """Write the values that wait for it; the cache that they are written to rests."""
        self._write_now()
        if self._cache is not None:
            self._cache.rest()

    def close(self) -> None:
        """Write the values that wait for it, and release both caches."""
        self._write_now()
        if self._cache is not None:
            self._cache.close()

    def _write_now(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        if self._cache is not None:
            self._write(self._cache)

    def _write(self, cache: Cache) -> None:
        with self._writing:
            with self._lock:
                entries = [(name, *kept) for name, kept in self._waiting.items()]
                self._waiting, self._timer = {}, None
            try:
                cache.put(entries)
            except Exception:  # noqa: BLE001 - values that are not kept are measured again
                _log.info("measurements were not kept on disk", exc_info=True)

    def _remember(self, found: Mapping[str, tuple[str, Any]]) -> None:
        for name, kept in found.items():
            self._known[name] = kept
            self._known.move_to_end(name)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
