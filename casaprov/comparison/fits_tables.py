"""Comparing tables in FITS files column by column, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from casaprov.comparison.values import Tally
from casaprov.comparison.verdict import Difference, Tolerance
from casaprov.formats.fits_tables import PIECE_BYTES, FitsColumn, FitsTable, Pieces

__all__ = ["compare_rows"]

Array = np.ndarray[Any, Any]


def compare_rows(
    tables: tuple[FitsTable, FitsTable], streams: tuple[Pieces, Pieces], tolerance: Tolerance, path: str
) -> Iterator[Difference]:
    """Yield the differences of the data of two tables, one per column; rows count from 1, as in FITS.

    Compared are the values as stored, over the rows that both have.
    """
    before, now = ({column.name: column for column in table.columns} for table in tables)
    shared: list[tuple[FitsColumn, FitsColumn, Tally]] = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            yield Difference(f"{path}/{name}", f"The column {name} is {'new' if old is None else 'missing'}.")
        elif (old.dtype, old.count) != (new.dtype, new.count):
            yield Difference(f"{path}/{name}", f"The column {name} holds {new.form} instead of {old.form}.")
        else:
            shared.append((old, new, Tally(tolerance)))
    if tables[0].rows != tables[1].rows:
        yield Difference(f"{path}/rows", f"The table has {tables[1].rows} rows instead of {tables[0].rows}.")
    step = min(table.piece_rows for table in tables)
    pieces = (table.pieces(stream, step) for table, stream in zip(tables, streams, strict=True))
    done = 0
    for one, two in zip(*pieces, strict=False):
        rows = min(len(one), len(two))
        for old, new, tally in shared:
            left, right = _readable(old.cells(one[:rows])), _readable(new.cells(two[:rows]))
            tally.add(left, right, _places(done, old.count))
        done += rows
    for old, _, tally in shared:
        difference = tally.difference(f"{path}/{old.name}")
        if difference is not None:
            yield difference
    if tables[0].rows == tables[1].rows:
        yield from _compare_heaps(streams, tolerance, f"{path}/heap")


def _readable(cells: Array) -> Array:
    """Return numbers in this computer's byte order, bytes as text: any byte is a character of Latin-1."""
    if cells.dtype.kind != "S":
        return cells.astype(cells.dtype.newbyteorder("="))
    width = cells.dtype.itemsize
    return cells.view(np.uint8).astype(np.uint32).view(f"U{width}")


def _places(done: int, count: int) -> Callable[[int], str]:
    def say(index: int) -> str:
        row, element = divmod(index, count)
        return f"in row {done + row + 1}" + (f", element {element + 1}" if count > 1 else "")

    return say


def _compare_heaps(streams: tuple[Pieces, Pieces], tolerance: Tolerance, path: str) -> Iterator[Difference]:
    """Compare what follows the rows, arrays of variable length among it, byte by byte."""
    tally = Tally(tolerance, "byte")
    sizes = [0, 0]
    while any(pieces := [stream.take(PIECE_BYTES) for stream in streams]):
        common = min(map(len, pieces))
        one, two = (np.frombuffer(piece, np.uint8, common) for piece in pieces)
        tally.add(one, two, lambda index, start=sizes[0]: f"at byte {start + index}")  # type: ignore[misc]
        sizes = [size + len(piece) for size, piece in zip(sizes, pieces, strict=True)]
    if sizes[0] != sizes[1]:
        yield Difference(path, f"There are {sizes[1]} bytes after the rows instead of {sizes[0]}.")
    difference = tally.difference(path)
    if difference is not None:
        yield difference
