"""Tables in FITS files: where their columns lie, and their rows without uninitialised bytes.

A character field ends at its first NUL; what follows has no meaning (FITS
standard 4.0, section 7.3.3.1) and is not even initialised by some writers:
CASA's ``exportuvfits`` leaves other bytes there in each run. It reads as NUL here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PIECE_BYTES", "FitsColumn", "FitsTable", "Pieces", "fits_table"]

Array = np.ndarray[Any, Any]

PIECE_BYTES = 4 * 2**20
"""Data are taken from a file in pieces of about this size."""

_BINARY = re.compile(r"(\d*)([LXBIJKAEDCMPQ])(.*)")
_ASCII = re.compile(r"[AIFED](\d+)")
_SUBSTRINGS = re.compile(r"(?::SSTR)?(\d+)\s*")
_TYPES = {
    "L": "S1", "X": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8",
    "M": ">c16", "P": ">i4", "Q": ">i8",
}  # fmt: skip


class Pieces:
    """A stream of bytes, taken in pieces of a given size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self._taken = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        got = [self._rest]
        missing = size - len(self._rest)
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            got.append(piece)
            missing -= len(piece)
        whole = b"".join(got)
        taken, self._rest = whole[:size], whole[size:]
        self._taken += len(taken)
        return taken

    def drain(self) -> int:
        """Skip the rest of the stream; return how many bytes it had in all."""
        return self._taken + len(self._rest) + sum(len(piece) for piece in self._pieces)


@dataclass(frozen=True, kw_only=True)
class FitsColumn:
    """A column of a table.

    Attributes
    ----------
    form
        Its TFORM.
    offset
        Byte of the row at which it begins, from 0.
    dtype, count
        Type of an element as stored, and how many of them a cell has.
        Strings and logical values are bytes; of an array of variable length,
        its descriptors.
    """

    name: str
    form: str
    offset: int
    dtype: np.dtype[Any]
    count: int

    @property
    def size_bytes(self) -> int:
        """Size of a cell."""
        return self.dtype.itemsize * self.count

    def cells(self, rows: Array) -> Array:
        """Return the cells in some rows, of shape (rows, `count`)."""
        stored = rows[:, self.offset : self.offset + self.size_bytes]
        return np.ascontiguousarray(stored).view(self.dtype)


@dataclass(frozen=True, kw_only=True)
class FitsTable:
    """Layout of the data of a table; the heap, if there is one, follows the rows."""

    rows: int
    row_bytes: int
    columns: tuple[FitsColumn, ...]

    def pieces(self, stream: Pieces, piece_rows: int | None = None) -> Iterator[Array]:
        """Take the rows from a stream, as bytes of shape (rows, `row_bytes`); about 4 MiB or one row at a time."""
        step = piece_rows or self.piece_rows
        for first in range(0, self.rows, step):
            count = min(step, self.rows - first)
            stored = np.frombuffer(stream.take(count * self.row_bytes), np.uint8)
            yield self._without_remains(stored.reshape(count, self.row_bytes))

    @property
    def piece_rows(self) -> int:
        """Number of rows that take about 4 MiB."""
        return max(1, PIECE_BYTES // self.row_bytes)

    def _without_remains(self, rows: Array) -> Array:
        """Set all bytes of a string after its first NUL to NUL."""
        for column in self.columns:
            if column.dtype.kind == "S" and column.dtype.itemsize > 1:
                place = slice(column.offset, column.offset + column.size_bytes)
                texts = rows[:, place].reshape(len(rows), column.count, column.dtype.itemsize)
                nul = texts == 0
                # Along a string, true from its first NUL on.
                ended = np.logical_or.accumulate(nul, axis=2)
                if not np.array_equal(ended, nul):
                    rows = rows if rows.flags.writeable else rows.copy()
                    rows[:, place] = np.where(ended, 0, texts).reshape(len(rows), column.size_bytes)
        return rows


def fits_table(cards: Iterable[tuple[str, Any]]) -> FitsTable | None:
    """Return the layout of the table that a header describes; None if it describes none, or contradicts itself."""
    header = dict(cards)
    kind = str(header.get("XTENSION", "")).strip()
    if kind not in ("BINTABLE", "A3DTABLE", "TABLE"):
        return None
    rows, row_bytes, fields = (header.get(name) for name in ("NAXIS2", "NAXIS1", "TFIELDS"))
    if not (isinstance(rows, int) and isinstance(row_bytes, int) and isinstance(fields, int) and row_bytes > 0):
        return None
    columns: dict[str, FitsColumn] = {}
    end = 0
    for number in range(1, fields + 1):
        name = str(header.get(f"TTYPE{number}") or "").strip()
        name = f"column {number}" if not name or name in columns else name
        try:
            element = _ascii(header, number) if kind == "TABLE" else _binary(header, number, end)
        except (TypeError, ValueError, OverflowError):  # numpy has no type of such a width
            return None
        if element is None:
            return None
        offset, dtype, count = element
        end = offset + dtype.itemsize * count
        if offset < 0 or end > row_bytes:
            return None
        if count:
            form = str(header[f"TFORM{number}"]).strip()
            columns[name] = FitsColumn(name=name, form=form, offset=offset, dtype=dtype, count=count)
    return FitsTable(rows=rows, row_bytes=row_bytes, columns=tuple(columns.values()))


def _ascii(header: Mapping[str, Any], number: int) -> tuple[int, np.dtype[Any], int] | None:
    """Return offset, type and count of a column of an ASCII table, where numbers are text too."""
    form, start = _ASCII.match(str(header.get(f"TFORM{number}", ""))), header.get(f"TBCOL{number}")
    if form is None or not isinstance(start, int) or not int(form[1]):
        return None
    return start - 1, np.dtype(f"S{form[1]}"), 1


def _binary(header: Mapping[str, Any], number: int, offset: int) -> tuple[int, np.dtype[Any], int] | None:
    """Return offset, type and count of a column of a binary table, which begins where the last one ended."""
    form = _BINARY.match(str(header.get(f"TFORM{number}", "")).strip())
    if form is None:
        return None
    repeat, letter = int(form[1] or 1), form[2]
    if letter == "A" and repeat:
        width = _string_width(repeat, form[3], str(header.get(f"TDIM{number}", "")))
        return offset, np.dtype(f"S{width}"), repeat // width
    if letter == "X":  # bits, in whole bytes
        repeat = (repeat + 7) // 8
    elif letter in "PQ":  # a descriptor: length of the array and its place in the heap
        repeat *= 2
    return offset, np.dtype(_TYPES.get(letter, "S1")), repeat


def _string_width(repeat: int, rest: str, dim: str) -> int:
    """Return the length of each string of a character column: arrays of strings have it in TDIM, or behind the A of TFORM."""
    if "/" in rest:
        return 1  # strings of any length with a delimiter, which may be NUL: not cut (rASSTRw/nnn)
    found = re.match(r"\(\s*(\d+)", dim) or _SUBSTRINGS.fullmatch(rest)
    width = int(found[1]) if found else repeat
    return width if width and repeat % width == 0 else repeat
