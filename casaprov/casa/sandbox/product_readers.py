"""Readers for the products of a replay: processes with no more rights than the calls that made the products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from casaprov.casa.sandbox.confined_reader import MODULE, reader_environment
from casaprov.comparison.products import Comparison, Tolerance
from casaprov.digests.digester import Digester
from casaprov.errors import LimitReached, UsageError, WorkerDied
from casaprov.readers.installed import WORKER_MODULE, open_digester
from casaprov.readers.products import ProductComparer

__all__ = ["ProductReaders"]


class ProductReaders:
    """Measures and compares the products of replayed calls, confined as the calls are.

    Parameters
    ----------
    digester
        Measures products if the readers are not confined.
    readable
        All paths that may be read, besides the folders of the system and of CASA.
    confined
        True if the Linux kernel enforces these limits.

    Attributes
    ----------
    digester
        Measures products.
    """

    def __init__(self, digester: Digester, readable: Iterable[Path], *, confined: bool) -> None:
        module = MODULE if confined else WORKER_MODULE
        environment: Mapping[str, str] = reader_environment(readable) if confined else {}
        self._own = open_digester(module=module, environment=environment) if confined else None
        self._comparer = ProductComparer(module, environment)
        self.digester = self._own or digester

    def compare(self, original: Path, path: Path, tolerance: Tolerance) -> Comparison:
        """Compare a product with the original; the verdict is "not verifiable" if one cannot be read."""
        try:
            return self._comparer.compare(original, path, tolerance)
        except (UsageError, LimitReached, WorkerDied) as error:
            return Comparison("not-verifiable", (), error.message)

    def same_listing(
        self, recorded: Path, recorded_at: datetime, present: Path, present_at: datetime, moved: Mapping[str, str]
    ) -> bool:
        """Return True if two texts agree but for folders and times; False if one cannot be read."""
        try:
            return self._comparer.same_listing(recorded, recorded_at, present, present_at, moved)
        except (LimitReached, WorkerDied):
            return False

    def close(self) -> None:
        """End the reading processes."""
        self._comparer.close()
        if self._own is not None:
            self._own.close()
