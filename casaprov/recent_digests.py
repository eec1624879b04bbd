"""What was measured last, in memory, before the cache on disk.

A table that is changed again and again is asked for each of its columns and
sub-tables each time; and whoever waits for a digest need not wait until it is on disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from casaprov.own_work import OwnLock
from casaprov.reading import Cache

__all__ = ["RecentDigests"]

_REMEMBERED = 1000


class RecentDigests:
    """A :class:`casaprov.reading.Cache` that remembers, and writes to another one in a thread of its own. Safe for threads.

    Values are not copied: nobody is to change them.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = OwnLock()
        self._known: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="casaprov-cache")

    def get(self, name: str, stamp: str) -> Any:
        """Return what is known under a name and a stamp, else None."""
        with self._lock:
            known = self._known.get(name)
            if known is not None and known[0] == stamp:
                self._known.move_to_end(name)
                return known[1]
        value = self._cache.get(name, stamp)
        if value is not None:
            self._remember([(name, stamp, value)])
        return value

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Keep values."""
        entries = list(entries)
        self._remember(entries)
        with suppress(RuntimeError):  # Python is ending, and begins nothing in other threads any more
            self._keeper.submit(self._cache.put, entries)

    def forget(self, name: str) -> None:
        """Drop a value."""
        with self._lock:
            self._known.pop(name, None)
        self._keeper.submit(self._cache.forget, name).result()  # after what is still to be kept

    def size_bytes(self) -> int:
        """Bytes that are kept on disk."""
        return self._cache.size_bytes()

    def close(self) -> None:
        """Keep nothing any more; what was to be kept before is."""
        self._keeper.shutdown(wait=True)
        self._cache.close()

    def _remember(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        with self._lock:
            for name, stamp, value in entries:
                self._known[name] = (stamp, value)
                self._known.move_to_end(name)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
