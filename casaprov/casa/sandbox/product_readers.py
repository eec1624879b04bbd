"""Readers for the products of a replay: processes with no more rights than the calls that made the products."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from casaprov.casa.sandbox.confined_reader import MODULE, reader_environment
from casaprov.comparison.products import Comparison, Tolerance
from casaprov.digests.digester import Digester
from casaprov.errors import UsageError
from casaprov.readers.installed import WORKER_MODULE, open_digester
from casaprov.readers.products import compare_products

__all__ = ["ProductReaders"]


class ProductReaders:
    """Measures and compares the products of replayed calls, confined as the calls are.

    Parameters
    ----------
    digester
        Measures products if the readers are not confined.
    readable
        The work folder, the crate and the inputs: all paths that may be read.
    confined
        True if the Linux kernel enforces these limits.

    Attributes
    ----------
    digester
        Measures products.
    """

    def __init__(self, digester: Digester, readable: Iterable[Path], *, confined: bool) -> None:
        self._module = MODULE if confined else WORKER_MODULE
        self._environment: Mapping[str, str] = reader_environment(readable) if confined else {}
        self._own = open_digester(module=self._module, environment=self._environment) if confined else None
        self.digester = self._own or digester

    def compare(self, original: Path, path: Path, tolerance: Tolerance) -> Comparison:
        """Compare a product with the original; the verdict is "not verifiable" if one cannot be read."""
        try:
            return compare_products(original, path, tolerance, module=self._module, environment=self._environment)
        except UsageError as error:
            return Comparison("not-verifiable", (), error.message)

    def close(self) -> None:
        """End the reading processes."""
        if self._own is not None:
            self._own.close()
