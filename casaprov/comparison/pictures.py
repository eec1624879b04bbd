"""Comparison of two plots: by their pixels, or by all of a document but the time of writing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from casaprov.comparison.verdict import Difference
from casaprov.files.regular import open_regular

__all__ = ["PixelReader", "Pixels", "compare_pictures"]

Pixels = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
"""Rows, columns, and red, green, blue and opacity."""

PixelReader = Callable[[Path], Pixels | None]
"""A function that reads a picture; it returns None for a file that is none, or cannot be read."""

_MAX_DOCUMENT_BYTES = 100 * 2**20

# "/CreationDate (D:20261125164751Z)", "%%CreationDate: Wed Nov 25 16:47:51 2026", and a PDF's /ID made from both
_WRITTEN = re.compile(
    rb"/(?:CreationDate|ModDate) ?\(D:[^)\n]{0,40}\)|%%CreationDate:[^\n]{0,80}|/ID ?\[ ?<[0-9A-Fa-f]*> ?<[0-9A-Fa-f]*> ?\]"
)


def compare_pictures(left: Path, right: Path, read: PixelReader, prefix: str = "") -> Iterator[Difference] | None:
    """Return the differences of two pictures, or of two PDF or PostScript documents; None if they are neither."""
    heads = _head(left), _head(right)
    if heads[0] != heads[1]:
        return None
    if heads[0] in (b"%PDF", b"%!PS"):
        return iter(()) if _without_time(left) == _without_time(right) else None
    before, now = read(left), read(right)
    return None if before is None or now is None else _compare(before, now, prefix)


def _head(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(4)


def _without_time(path: Path) -> bytes:
    with open_regular(path) as file:
        return _WRITTEN.sub(b"", file.read(_MAX_DOCUMENT_BYTES))


def _compare(before: Pixels, now: Pixels, prefix: str) -> Iterator[Difference]:
    if before.shape != now.shape:
        sentence = (
            f"The picture has {now.shape[1]} × {now.shape[0]} pixels instead of {before.shape[1]} × {before.shape[0]}."
        )
        yield Difference(f"{prefix}size", sentence)
        return
    # As 16 bits with sign, since the difference of two unsigned bytes would wrap; the largest of the four counts.
    distance = np.abs(before.astype(np.int16) - now.astype(np.int16)).max(axis=2)
    differing = int(np.count_nonzero(distance))
    if differing:
        of = int(distance.size)
        sentence = f"{differing} of {of} pixels differ, by at most {int(distance.max())} of 255."
        yield Difference(f"{prefix}pixels", sentence, differing, of)
