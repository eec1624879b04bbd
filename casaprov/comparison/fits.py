"""Comparison of two FITS files: cards by keyword, images value by value, tables column by column.

Cards that a content digest leaves out (dates, origins, comments) are left out
here too (:mod:`casaprov.digests.fits`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.comparison.tables import compare_numbers, in_either
from casaprov.comparison.values import Tally, format_change, format_value
from casaprov.comparison.verdict import Difference, Tolerance
from casaprov.formats.fits import FitsReader, Hdu, science_cards
from casaprov.formats.fits_tables import PIECE_BYTES, FitsColumn, FitsTable, Pieces, fits_table

__all__ = ["compare_fits"]

Array = np.ndarray[Any, Any]


def compare_fits(
    left: Path, right: Path, *, reader: FitsReader, tolerance: Tolerance, prefix: str = ""
) -> Iterator[Difference]:
    """Yield all differences of two FITS files.

    Raises
    ------
    casaprov.errors.DigestError
        If one of them is damaged.
    """
    before, now = list(reader.hdus(left)), list(reader.hdus(right))
    if len(before) != len(now):
        yield Difference(f"{prefix}hdus", f"The file has {len(now)} HDUs instead of {len(before)}.")
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        path = f"{prefix}hdu {number}"
        if old.name != new.name:
            yield Difference(path, f"The HDU is named {format_value(new.name)} instead of {format_value(old.name)}.")
        yield from _compare_cards(old, new, tolerance, f"{path} header")
        yield from _compare_data(old, new, tolerance, f"{path} data")


def _compare_cards(old: Hdu, new: Hdu, tolerance: Tolerance, path: str) -> Iterator[Difference]:
    before, now = science_cards(old.cards), science_cards(new.cards)
    for keyword in in_either(before, now):
        place = f"{path}/{keyword}"
        if keyword not in now:
            yield Difference(place, f"The card is missing; it was {_cards(before[keyword])}.")
        elif keyword not in before:
            yield Difference(place, f"The card is new; it is {_cards(now[keyword])}.")
        elif before[keyword] != now[keyword]:
            sentence = f"The card is {_card_change(before[keyword], now[keyword])}."
            yield compare_numbers(_number(before[keyword]), _number(now[keyword]), tolerance, place, sentence)


def _cards(encoded: list[Any]) -> str:
    """Write the values of all cards of one keyword into a sentence; each is encoded as a tag and its value."""
    return " and ".join(format_value(value[-1]) for value in encoded)


def _card_change(before: list[Any], now: list[Any]) -> str:
    if len(before) == len(now) == 1:
        return format_change(before[0][-1], now[0][-1])
    return f"{_cards(now)} instead of {_cards(before)}"


def _number(encoded: list[Any]) -> float | None:
    """Return the value of a keyword with one card that holds a finite floating-point number, else None."""
    return encoded[0][1] if len(encoded) == 1 and isinstance(encoded[0][-1], float) else None


def _compare_data(old: Hdu, new: Hdu, tolerance: Tolerance, path: str) -> Iterator[Difference]:
    if old.dtype != new.dtype:
        yield Difference(path, f"The data are {_form(new.dtype)} instead of {_form(old.dtype)}.")
        return
    tables = fits_table(old.cards), fits_table(new.cards)
    if tables[0] is not None and tables[1] is not None:
        streams = Pieces(old.data()), Pieces(new.data())
        yield from _compare_rows((tables[0], tables[1]), streams, tolerance, path)
        return
    dtype = np.dtype(np.uint8) if old.dtype is None else old.dtype
    tally = Tally(tolerance, "byte" if old.dtype is None else "value")
    one, two = Pieces(old.data()), Pieces(new.data())
    done = 0
    while True:
        a, b = one.take(PIECE_BYTES), two.take(PIECE_BYTES)
        values = min(len(a), len(b)) // dtype.itemsize
        if not values:
            break
        left, right = (np.frombuffer(piece, dtype, values).astype(dtype.newbyteorder("=")) for piece in (a, b))
        tally.add(left, right, _places(old, done))
        done += values
    # The bytes that one of them has beyond the other are counted, not compared.
    sizes = [stream.drain() for stream in (one, two)]
    if sizes[0] != sizes[1]:
        yield Difference(path, f"There are {sizes[1]} bytes of data instead of {sizes[0]}.")
    difference = tally.difference(path)
    if difference is not None:
        yield difference


def _form(dtype: np.dtype[Any] | None) -> str:
    return "a table" if dtype is None else f"an array of {dtype.newbyteorder('=').name}"


def _places(hdu: Hdu, start: int) -> Callable[[int], str]:
    """Return a function that names the place of an element: in an image its pixel, counted from 1 as FITS does."""
    cards = dict(hdu.cards)
    shape = [int(cards.get(f"NAXIS{axis}", 0)) for axis in range(1, int(cards.get("NAXIS", 0)) + 1)]

    def say(index: int) -> str:
        place = start + index
        if hdu.dtype is None or not 0 <= place < math.prod(shape):
            return f"at {'byte' if hdu.dtype is None else 'value'} {place}"
        return f"at pixel {[int(n) + 1 for n in np.unravel_index(place, shape, order='F')]}"

    return say


def _compare_rows(
    tables: tuple[FitsTable, FitsTable], streams: tuple[Pieces, Pieces], tolerance: Tolerance, path: str
) -> Iterator[Difference]:
    """Yield the differences of the data of two tables, one per column; rows count from 1, as in FITS.

    Values are compared as stored, over the rows that both tables have.
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
            tally.add(left, right, _row_places(done, old.count))
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


def _row_places(done: int, count: int) -> Callable[[int], str]:
    def say(index: int) -> str:
        row, element = divmod(index, count)
        return f"in row {done + row + 1}" + (f", element {element + 1}" if count > 1 else "")

    return say


def _compare_heaps(streams: tuple[Pieces, Pieces], tolerance: Tolerance, path: str) -> Iterator[Difference]:
    """Compare the bytes that follow the rows, arrays of variable length among them."""
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
