"""A user of a cache of digests. Processes of a test import it: they find modules by name, not those of tests."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from casaprov.digests.disk_cache import DigestCache


def write_and_read(file: Path, number: int) -> None:
    """Write values under a few names, and find none but our own."""
    with closing(DigestCache(file, max_bytes=10**7)) as cache:
        for n in range(100):
            cache.put([(f"{n % 7}", f"{number}", [number, n])])
            found = cache.get(f"{n % 7}", f"{number}")
            assert found is None or found == [number, n]
