"""Pictures: those that plots left, read for a comparison with Pillow, and quick looks, drawn from CASA and FITS images.

A quick look is a small picture of the middle plane.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.comparison.pictures import Pixels
from casaprov.files.kinds import is_fits, is_table
from casaprov.files.regular import open_regular
from casaprov.readers.installed import fits_reader, table_reader

__all__ = ["quick_look", "read_pixels"]

_FORMATS = ("PNG", "JPEG", "PPM", "GIF", "BMP")
_EDGE = 256  # pixels of the longer side
_MOST_VALUES = 2**25  # of a plane that is read for a picture
_MOST_SKIPPED_BYTES = 2**26  # of a FITS file, to come to the middle plane
_MAP = "map"
_BLOCK_BYTES = 2**24

Plane = np.ndarray[Any, Any]


def read_pixels(path: Path) -> Pixels | None:
    """Return the pixels of a picture; None if it is none, cannot be read, or there is no Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with open_regular(path) as file, Image.open(file, formats=_FORMATS) as picture:
            pixels: Pixels = np.asarray(picture.convert("RGBA"))
            return pixels
    except Exception:  # noqa: BLE001 - a damaged or a monstrous picture is compared by its bytes
        return None


def quick_look(path: Path) -> dict[str, Any] | None:
    """Return a picture as JSON values (:class:`casaprov.previews.png.QuickLook`); None if it is no image.

    Raises
    ------
    DigestError
        If it cannot be read.
    MissingDependency
        If the library that could read it is not installed.
    """
    if is_table(path):
        found = _of_table(path)
    else:
        found = _of_fits(path) if is_fits(path) else None
    if found is None:
        return None
    plane, facts = found
    small = _small(plane)
    finite = small[np.isfinite(small)]
    if not finite.size:
        return None
    low, high = (float(value) for value in np.percentile(finite, (0.5, 99.7)))
    scaled = np.clip((small - low) / ((high - low) or 1.0), 0, 1) * 254 + 1
    pixels = np.where(np.isfinite(small), scaled, 0).astype(np.uint8)[::-1]
    height, width = pixels.shape
    data = base64.b64encode(pixels.tobytes()).decode()
    return {"width": width, "height": height, "pixels": data, "low": low, "high": high, **facts}


def _of_table(path: Path) -> tuple[Plane, dict[str, Any]] | None:
    table = table_reader().open(path)
    try:
        if table.type != "Image" or _MAP not in table.columns or table.columns[_MAP].type not in ("float32", "float64"):
            return None
        runs = table.runs(_MAP)
        shape = runs[0][1] if runs else None
        if not shape or len(shape) < 2 or shape[0] * shape[1] > _MOST_VALUES:
            return None
        size, planes = shape[0] * shape[1], math.prod(shape[2:])
        number = planes // 2
        blocks = list(table.stretch(_MAP, runs, 0, number * size, size, max_bytes=_BLOCK_BYTES))
        unit = table.keywords.get("units", "")
        return _plane(blocks, shape), _facts(shape, number, planes, unit)
    finally:
        table.close()


def _of_fits(path: Path) -> tuple[Plane, dict[str, Any]] | None:
    for hdu in fits_reader().hdus(path):
        cards = dict(hdu.cards)
        axes = cards.get("NAXIS", 0)
        if hdu.dtype is None or not isinstance(axes, int) or axes < 2 or cards.get("GROUPS") is True:
            continue
        shape = tuple(int(cards.get(f"NAXIS{axis}", 0)) for axis in range(1, axes + 1))
        size, planes = shape[0] * shape[1], math.prod(shape[2:])
        if not size or size > _MOST_VALUES:
            return None
        number = planes // 2 if (planes // 2) * size * hdu.dtype.itemsize <= _MOST_SKIPPED_BYTES else 0
        data = _bytes_between(hdu.data(), number * size * hdu.dtype.itemsize, size * hdu.dtype.itemsize)
        values = np.frombuffer(data, hdu.dtype).astype(np.float64)
        return _plane([values], shape), _facts(shape, number, planes, cards.get("BUNIT", ""))
    return None


def _bytes_between(blocks: Iterator[bytes], start: int, count: int) -> bytes:
    found = bytearray()
    for block in blocks:
        if start < len(block):
            found += block[start:]
        start = max(0, start - len(block))
        if len(found) >= count:
            break
    return bytes(found[:count])


def _plane(blocks: Iterable[Plane], shape: tuple[int, ...]) -> Plane:
    return np.concatenate([np.asarray(block, np.float64).ravel() for block in blocks]).reshape(shape[1], shape[0])


def _facts(shape: tuple[int, ...], number: int, planes: int, unit: Any) -> dict[str, Any]:
    return {"unit": str(unit)[:40], "plane": number + 1, "planes": planes, "shape": list(shape)}


def _small(plane: Plane) -> Plane:
    """Return means of squares of pixels, so that the longer side has at most :data:`_EDGE` of them."""
    step = max(1, math.ceil(max(plane.shape) / _EDGE))
    height, width = (max(1, side // step) for side in plane.shape)
    cut = plane[: height * step, : width * step] if min(plane.shape) >= step else plane[:height, :width]
    if cut.shape != (height * step, width * step):
        return cut
    squares = cut.reshape(height, step, width, step)
    good = np.isfinite(squares)
    counts = good.sum(axis=(1, 3))
    sums = np.where(good, squares, 0).sum(axis=(1, 3))
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)
