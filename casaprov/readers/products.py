"""Comparison of products by a child process, with the readers that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from casaprov.comparison.products import Comparison, Tolerance
from casaprov.config import load_config
from casaprov.confinement.reader_limits import reader_watch
from casaprov.errors import LimitReached, WorkerDied, within
from casaprov.processes.worker import Worker
from casaprov.readers.installed import WORKER_MODULE
from casaprov.records.serialise import structure, unstructure

__all__ = ["ProductComparer", "compare_products"]


class ProductComparer:
    """Compares products in a child process, which starts with the first comparison.

    Parameters
    ----------
    module, environment
        The module that the child runs, and its variables beside those of this process.
    """

    def __init__(self, module: str = WORKER_MODULE, environment: Mapping[str, str] | None = None) -> None:
        watch = reader_watch(load_config(Path.cwd()).reader_limits)
        self._worker = Worker(module, environment=environment, watch=watch())

    def compare(self, left: Path, right: Path, tolerance: Tolerance) -> Comparison:
        """Compare two products; see :func:`compare_products`."""
        paths = {"left": str(left.absolute()), "right": str(right.absolute())}
        try:
            return structure(self._worker.call("compare", **paths, tolerance=unstructure(tolerance)), Comparison)
        except (LimitReached, WorkerDied) as error:
            message = f"{left} and {right} cannot be compared: {within(error.message)}"
            raise type(error)(message, hint=error.hint) from error

    def same_listing(
        self, recorded: Path, recorded_at: datetime, present: Path, present_at: datetime, moved: Mapping[str, str]
    ) -> bool:
        """Return True if two texts agree but for folders and times (:func:`casaprov.comparison.listings.same_listing`)."""
        answer = self._worker.call(
            "same_listing",
            recorded=str(recorded.absolute()),
            recorded_at=recorded_at.isoformat(),
            present=str(present.absolute()),
            present_at=present_at.isoformat(),
            moved=dict(moved),
        )
        return answer is True

    def close(self) -> None:
        """End the child process."""
        self._worker.close()


def compare_products(
    left: Path,
    right: Path,
    tolerance: Tolerance = Tolerance(),  # noqa: B008 - frozen
    *,
    module: str = WORKER_MODULE,
    environment: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare two tables, FITS files, other files or directories, value by value, in a process of its own.

    Parameters
    ----------
    left, right
        The product as it should be, and the one to judge.
    tolerance
        Tolerance between floating-point values.
    module, environment
        As for :class:`ProductComparer`.

    Raises
    ------
    casaprov.errors.UsageError
        If one of the paths does not exist or cannot be read.
    casaprov.errors.LimitReached, casaprov.errors.WorkerDied
        If reading them takes more than it may, or ends the process.
    casaprov.errors.MissingDependency
        If no library that can read them is installed.
    """
    with closing(ProductComparer(module, environment)) as comparer:
        return comparer.compare(left, right, tolerance)
