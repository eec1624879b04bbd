"""casacore tables as casaprov sees them: the seam between the core and its readers.

The core never imports CASA. Each library that reads tables (python-casacore,
casatools) has a :class:`TableReader` in ``casaprov/readers/``, and all give the
same values for the same table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

__all__ = ["Block", "Column", "Runs", "Storage", "Table", "TableReader", "ValueType"]

ValueType = Literal[
    "bool", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "float32", "float64", "complex64", "complex128", "string", "record",
]  # fmt: skip
"""Type of a column's values as stored; numpy's names where numpy has one."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    ndim
        Dimensions of a cell: 0 for a scalar, -1 for arrays of any dimension.
    shape
        Shape of every cell in casacore's axis order (first axis varies
        fastest) if the column declares a fixed one, else None.
    keywords
        Column keywords (units, measure type, ...), nested dicts of plain
        Python and numpy values.
    """

    name: str
    type: ValueType
    ndim: int
    shape: tuple[int, ...] | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Consecutive cells of a column that have the same shape.

    Attributes
    ----------
    first_row
        Row of the first cell. A cell too large for one block comes as several
        blocks with the same `first_row`, in storage order.
    cells
        Number of cells that the block covers.
    shape
        Shape of one cell in casacore's axis order; ``()`` for scalars, None
        where the cells are undefined.
    values
        Array whose bytes in C order are the cells in row order, each in
        storage order; dtype as the column's type, object dtype holding `str`
        for strings. None where the cells are undefined.
    """

    first_row: int
    cells: int
    shape: tuple[int, ...] | None
    values: np.ndarray[Any, Any] | None


Runs = list[tuple[int, tuple[int, ...] | None]]
"""Counts of consecutive cells of one shape, with that shape in casacore's axis order; None where they are undefined."""


@dataclass(frozen=True)
class Storage:
    """The storage manager that holds a column.

    Attributes
    ----------
    type
        As casacore names it: ``TiledShapeStMan``, ...
    number
        Its sequence number in the table; its files are ``table.f<number>*``.
    columns
        Names of its columns, in the order of the table.
    """

    type: str
    number: int
    columns: tuple[str, ...]


class Table(Protocol):
    """An open table. Closing it leaves no lock and no open file behind."""

    path: Path
    type: str
    """From ``table.info``: ``Measurement Set``, ``Calibration``, ``Image``, ..."""
    subtype: str
    rows: int
    columns: Mapping[str, Column]
    keywords: Mapping[str, Any]
    """Table keywords; a reference to a sub-table is a `Path`."""

    def blocks(self, column: str, *, max_bytes: int) -> Iterator[Block]:
        """Read a column in blocks of at most `max_bytes` (one row of a long cell at least)."""
        ...

    def storage(self) -> Mapping[str, Storage]:
        """Return the storage manager by column."""
        ...

    def runs(self, column: str) -> Runs:
        """Return the maximal runs of equal shapes of the cells of a column, in row order."""
        ...

    def stretch(
        self, column: str, runs: Runs, first_row: int, first: int, count: int, *, max_bytes: int
    ) -> Iterator[np.ndarray[Any, Any]]:
        """Read `count` numbers of the stream that cells of the shapes `runs` make from `first_row` on.

        Parameters
        ----------
        first
            Place of the first number, counted from the first one of `first_row`.

        Yields
        ------
        numpy.ndarray
            Consecutive numbers, at most `max_bytes` at a time, or one cell. An array is
            valid until the next one is asked for.
        """
        ...

    def close(self) -> None:
        """Close the table; closing twice does nothing."""
        ...


class TableReader(Protocol):
    """A library that reads casacore tables."""

    name: str

    def open(self, path: Path) -> Table:
        """Open a table read-only and without locks.

        Raises
        ------
        casaprov.errors.DigestError
            If `path` is no table or cannot be read, saying why.
        """
        ...
