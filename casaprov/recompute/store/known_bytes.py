"""Digests of the bytes of files that were read before, valid while the stamp of the file is the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from casaprov.digests.parallel import Cache
from casaprov.files.stamps import StatStamp
from casaprov.hashing import Digest

__all__ = ["KnownBytes"]

_REMEMBERED = 50_000  # files: some hundred MeasurementSets
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class KnownBytes:
    """Digests by path and stamp. Safe for threads.

    Parameters
    ----------
    cache
        Keeps digests for later sessions on this host (:class:`casaprov.digests.disk_cache.DigestCache`).
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[StatStamp, Digest]] = OrderedDict()

    def get(self, path: Path | str, stamp: StatStamp | None) -> Digest | None:
        """Return the digest of a file under its stamp; None if it is not known, or there is no stamp."""
        if stamp is None:
            return None
        with self._lock:
            known = self._known.get(str(path))
        if known is not None:
            return known[1] if known[0] == stamp else None
        found = None if self._cache is None else self._cache.get(_name(path), _text(stamp))
        if not isinstance(found, str):
            return None
        self._remember(path, stamp, Digest(found))
        return Digest(found)

    def put(self, found: Iterable[tuple[Path | str, StatStamp, Digest]]) -> None:
        """Remember digests."""
        entries = list(found)
        for path, stamp, digest in entries:
            self._remember(path, stamp, digest)
        if self._cache is not None:
            self._cache.put([(_name(path), _text(stamp), digest) for path, stamp, digest in entries])

    def close(self) -> None:
        """Release the cache on disk."""
        if self._cache is not None:
            self._cache.close()

    def _remember(self, path: Path | str, stamp: StatStamp, digest: Digest) -> None:
        with self._lock:
            self._known[str(path)] = (stamp, digest)
            self._known.move_to_end(str(path))
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def _name(path: Path | str) -> str:
    return f"bytes:{path}"


def _text(stamp: StatStamp) -> str:
    """Return a stamp as text that is valid on this host until it starts again: a crash can lose bytes that were written."""
    return f"{_boot()} {' '.join(map(str, stamp))}"


@cache
def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
