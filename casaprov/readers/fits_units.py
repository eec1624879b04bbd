"""The reader of headers and single columns of FITS files, which uses astropy; other data stay on the disk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from casaprov.errors import DigestError

__all__ = ["AstropyFitsUnits"]

_FORMATS = {8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}


class AstropyFitsUnits:
    """The :class:`casaprov.formats.fits_units.FitsUnits` that uses astropy."""

    @contextmanager
    def units(self, path: Path) -> Iterator[Iterator[_Unit]]:
        """Open a file."""
        with warnings.catch_warnings():
            # astropy warns of faults of other programs that it can mend.
            warnings.simplefilter("ignore")
            try:
                with fits.open(path, memmap=True, lazy_load_hdus=True, disable_image_compression=True) as opened:
                    yield (_Unit(path, hdu) for hdu in opened)
            except (fits.VerifyError, OSError, ValueError, TypeError, KeyError, IndexError) as error:
                raise DigestError(f"The headers of {path} cannot be read: {error}") from error


class _Unit:
    """The :class:`casaprov.formats.fits_units.FitsUnit` of astropy's unit."""

    def __init__(self, path: Path, hdu: Any) -> None:
        self.name: str = hdu.name or "PRIMARY"
        cards: dict[str, Any] = {}
        for card in hdu.header.cards:
            if card.keyword and not isinstance(card.value, fits.card.Undefined):
                cards.setdefault(card.keyword, card.value)
        self.cards: Mapping[str, Any] = cards
        self._path = path
        self._hdu = hdu

    def column(self, name: str) -> np.ndarray[Any, Any] | None:
        """Return a column, or the sum of random parameters of one name: times come in two, one for each half of the digits."""
        if isinstance(self._hdu, fits.BinTableHDU):
            known = {column.name.strip(): column.name for column in self._hdu.columns}
            return np.array(self._hdu.data[known[name]]) if name in known and self._hdu.data is not None else None
        count = int(self.cards.get("PCOUNT", 0)) if self.cards.get("GROUPS") is True else 0
        numbers = [n for n in range(1, count + 1) if str(self.cards.get(f"PTYPE{n}", "")).strip() == name]
        if not numbers:
            return None
        groups = self._groups(count)
        return np.asarray(sum(self._scaled(groups, number) for number in numbers))

    def _groups(self, parameters: int) -> np.ndarray[Any, Any]:
        """Map the groups, of which only the parameters are touched."""
        cards = self.cards
        values = parameters + int(np.prod([int(cards[f"NAXIS{n}"]) for n in range(2, int(cards["NAXIS"]) + 1)]))
        dtype = np.dtype(_FORMATS[int(cards["BITPIX"])])
        start, shape = self._hdu.fileinfo()["datLoc"], (int(cards["GCOUNT"]), values)
        return np.memmap(self._path, dtype, mode="r", offset=start, shape=shape)

    def _scaled(self, groups: np.ndarray[Any, Any], number: int) -> np.ndarray[Any, Any]:
        scale, zero = float(self.cards.get(f"PSCAL{number}", 1.0)), float(self.cards.get(f"PZERO{number}", 0.0))
        return groups[:, number - 1].astype(np.float64) * scale + zero
