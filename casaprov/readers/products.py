"""Comparison of products by a child process, with the readers that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from casaprov.comparison.products import Comparison, Tolerance
from casaprov.processes.worker import Worker
from casaprov.readers.installed import WORKER_MODULE
from casaprov.records.serialise import structure, unstructure

__all__ = ["compare_products"]


def compare_products(
    left: Path,
    right: Path,
    tolerance: Tolerance = Tolerance(),  # noqa: B008 - frozen
    *,
    module: str = WORKER_MODULE,
    environment: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare two tables, FITS files, other files or directories, value by value.

    Parameters
    ----------
    left, right
        The product as it should be, and the one to judge.
    tolerance
        Tolerance between floating-point values.
    module, environment
        The module that the child runs, and its variables beside those of this process.

    Raises
    ------
    casaprov.errors.UsageError
        If one of the paths does not exist or cannot be read.
    casaprov.errors.MissingDependency
        If no library that can read them is installed.
    """
    paths = {"left": str(left.absolute()), "right": str(right.absolute())}
    with closing(Worker(module, environment=environment)) as worker:
        return structure(worker.call("compare", **paths, tolerance=unstructure(tolerance)), Comparison)
