"""FITS files as casaprov sees them: the seam between the core and its reader.

The core never imports astropy. The reader of FITS files implements
:class:`FitsReader` in ``casaprov/readers/``: it parses headers and gives the data as
they are stored. Which cards are content is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from casaprov.formats.keywords import MEASURED_BY_TCLEAN, encode

__all__ = ["FitsReader", "Hdu", "science_cards"]

_NOT_SCIENCE = frozenset(
    {"", "COMMENT", "HISTORY", "DATE", "DATE-MAP", "ORIGIN", "CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM"}
).union(name.upper() for name in MEASURED_BY_TCLEAN)
"""Keywords of cards that say when, where and by which program a file was written."""


@dataclass(frozen=True, kw_only=True)
class Hdu:
    """A header and data unit of a FITS file.

    Attributes
    ----------
    cards
        Header cards as (keyword, value), in order, values as plain Python.
    data
        Yields the bytes of the data section, without padding, in order.
    dtype
        Type of the data as stored if they are one array of numbers, else None.
    """

    name: str
    cards: tuple[tuple[str, Any], ...]
    data: Callable[[], Iterator[bytes]]
    dtype: np.dtype[Any] | None = None


class FitsReader(Protocol):
    """A library that reads FITS files."""

    def hdus(self, path: Path) -> Iterator[Hdu]:
        """Yield the units of a file; raise :class:`DigestError` if it is damaged."""
        ...


def science_cards(cards: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Return the encoded values of the cards that are content, by keyword.

    The order of cards matters only between cards of one keyword.
    """
    kept: dict[str, list[Any]] = {}
    for keyword, value in cards:
        if keyword not in _NOT_SCIENCE:
            kept.setdefault(keyword, []).append(encode(value))
    return kept
