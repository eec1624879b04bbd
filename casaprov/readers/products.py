"""Comparing products with whatever readers are installed."""

from __future__ import annotations

from pathlib import Path

from casaprov.compare import Comparison, Tolerance, compare_paths
from casaprov.readers import fits_reader, table_reader

__all__ = ["compare_products"]


def compare_products(left: Path, right: Path, tolerance: Tolerance = Tolerance()) -> Comparison:  # noqa: B008 - frozen
    """Compare two tables, FITS files, other files or directories, value by value.

    Parameters
    ----------
    left, right
        The product as it should be, and the one to judge.
    tolerance
        What is tolerated between floating-point values.

    Raises
    ------
    casaprov.errors.UsageError
        If one of the paths does not exist or cannot be read.
    casaprov.errors.MissingDependency
        If no library that can read them is installed.
    """
    return compare_paths(left, right, reader=table_reader, fits=fits_reader, tolerance=tolerance)
