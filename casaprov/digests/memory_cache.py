"""What was measured last, in memory, before the cache on disk.

A table that is changed again and again is asked for each of its columns and
sub-tables each time; and whoever waits for a digest need not wait until it is on disk.
It goes there a few seconds later: what was changed again meanwhile, never.
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

_REMEMBERED = 1000


class RecentDigests:
    """A :class:`casaprov.digests.parallel.Cache` that remembers, and writes to another one later. Safe for threads.

    Values are not copied: nobody is to change them.

    Parameters
    ----------
    cache
        Where values are written; None for nowhere.
    delay_s
        How long a value waits to be written.
    """

    def __init__(self, cache: Cache | None, *, delay_s: float = 3.0) -> None:
        self._cache = cache
        self._delay_s = delay_s
        self._lock = ExemptLock()
        self._writing = ExemptLock()  # whoever closes waits for it
        self._known: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._waiting: dict[str, tuple[str, Any]] = {}
        self._timer: threading.Timer | None = None

    def get(self, name: str, stamp: str) -> Any:
        """Return what is known under a name and a stamp, else None."""
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
                timer.daemon = True  # close() writes what the end of Python leaves
                with suppress(RuntimeError):  # no thread can begin, or none any more
                    timer.start()
                    self._timer = timer

    def size_bytes(self) -> int:
        """Bytes that are kept on disk."""
        return 0 if self._cache is None else self._cache.size_bytes()

    def close(self) -> None:
        """Keep nothing any more; what was to be kept before is."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        if self._cache is not None:
            self._write(self._cache)
            self._cache.close()

    def _write(self, cache: Cache) -> None:
        with self._writing:
            with self._lock:
                entries = [(name, *kept) for name, kept in self._waiting.items()]
                self._waiting, self._timer = {}, None
            try:
                cache.put(entries)
            except Exception:  # noqa: BLE001 - without it they are measured again
                _log.info("what was measured was not kept on disk", exc_info=True)

    def _remember(self, found: Mapping[str, tuple[str, Any]]) -> None:
        for name, kept in found.items():
            self._known[name] = kept
            self._known.move_to_end(name)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
