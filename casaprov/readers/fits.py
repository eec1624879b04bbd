"""The reader of FITS files, which uses astropy: headers parsed, data as stored."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from casaprov.errors import DigestError
from casaprov.formats.fits import Hdu

__all__ = ["AstropyFitsReader"]

_READ_BYTES = 4 * 2**20


class AstropyFitsReader:
    """The :class:`casaprov.formats.fits.FitsReader` that uses astropy."""

    def hdus(self, path: Path) -> Iterator[Hdu]:
        """Yield the units of a file.

        Raises
        ------
        DigestError
            If a header cannot be parsed, or the file ends before its data do.
        """
        with warnings.catch_warnings():
            # astropy warns of faults of other programs that it can mend; the cards stay as they are.
            warnings.simplefilter("ignore")
            try:
                with fits.open(path, memmap=False, disable_image_compression=True) as opened:
                    yield from [_hdu(path, hdu) for hdu in opened]
            except (fits.VerifyError, OSError, ValueError, TypeError, LookupError, ArithmeticError) as error:
                raise DigestError(f"{path} is a damaged FITS file: {error}") from error


def _hdu(path: Path, hdu: Any) -> Hdu:
    start, size = hdu.fileinfo()["datLoc"], hdu.size
    if start + size > path.stat().st_size:
        raise DigestError(f"{path} ends in the middle of its data: it was truncated.", hint="Fetch or write it again.")
    return Hdu(
        name=hdu.name,
        cards=tuple((card.keyword, _plain(card.value)) for card in hdu.header.cards),
        data=lambda: _read(path, start, size),
        dtype=_dtype(hdu),
    )


def _dtype(hdu: Any) -> np.dtype[Any] | None:
    """Type of an image or of random groups; None for tables, whose rows mix types."""
    if not isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU | fits.GroupsHDU):
        return None
    bitpix = hdu.header["BITPIX"]
    return np.dtype(f">{'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'}{abs(bitpix) // 8}")


def _plain(value: Any) -> Any:
    return None if isinstance(value, fits.card.Undefined) else value


def _read(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        while size > 0:
            data = stream.read(min(size, _READ_BYTES))
            if not data:
                raise DigestError(f"{path} became shorter while it was read.")
            size -= len(data)
            yield data
