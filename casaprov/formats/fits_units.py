"""Units of a FITS file by their headers and columns: the seam between :mod:`casaprov.observations` and its reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["FitsUnit", "FitsUnits"]


class FitsUnit(Protocol):
    """A header and data unit, of which columns are read one by one."""

    name: str
    """``EXTNAME``; ``PRIMARY`` for the first unit."""
    cards: Mapping[str, Any]
    """Header cards by keyword, the first one where a keyword is repeated."""

    def column(self, name: str) -> np.ndarray[Any, Any] | None:
        """Return a column of a binary table, or the sum of the random parameters of this name; None if there is none."""
        ...


class FitsUnits(Protocol):
    """A library that opens FITS files without reading their data."""

    def units(self, path: Path) -> AbstractContextManager[Iterator[FitsUnit]]:
        """Open a file; raise :class:`casaprov.errors.DigestError` if it is damaged."""
        ...
