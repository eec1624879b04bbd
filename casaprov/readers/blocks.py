"""Columns cut into bounded pieces, for all table readers.

A library says which cells are defined, and gives their shapes and the values of
a range of equally shaped cells (:class:`Cells`); :func:`blocks`, :func:`runs` and
:func:`stretch` make of that the methods of :class:`casaprov.formats.tables.Table`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from casaprov.formats.tables import Block, Column, Runs, Storage, ValueType

__all__ = [
    "CASA_TYPES",
    "Cells",
    "Shape",
    "blocks",
    "common_shape",
    "dtype_of",
    "equal_runs",
    "runs",
    "storage_of",
    "stretch",
]

Shape = tuple[int, ...]

CASA_TYPES: Mapping[str, ValueType] = {
    "boolean": "bool",
    "uchar": "uint8",
    "short": "int16",
    "ushort": "uint16",
    "int": "int32",
    "uint": "uint32",
    "int64": "int64",
    "float": "float32",
    "double": "float64",
    "complex": "complex64",
    "dcomplex": "complex128",
    "string": "string",
    "record": "record",
}
"""``valueType`` of a column description, as both casatools and python-casacore spell it."""

_ROWS_AT_ONCE = 2**16
"""Shapes of variable columns are asked for this many rows at a time."""

_STRING_BYTES = 64
"""Memory that a string is taken to need; its length is not known before it is read."""


class Cells(Protocol):
    """The cells of a table, as a library gives them."""

    rows: int

    def manager(self, column: str) -> str:
        """Return the type of the storage manager that holds a column, empty if the table itself has none for it."""
        ...

    def common_shape(self, column: str) -> Shape | None:
        """Return the shape of all cells of a column, if its storage manager says it."""
        ...

    def defined(self, column: str, first: int, count: int) -> Sequence[bool]:
        """Tell which of `count` cells hold a value."""
        ...

    def shapes(self, column: str, first: int, count: int) -> Runs | None:
        """Return runs of equal shapes of `count` cells; None if one of them is undefined."""
        ...

    def values(
        self, column: Column, first: int, count: int, shape: Shape, out: np.ndarray[Any, Any] | None = None
    ) -> np.ndarray[Any, Any]:
        """Return `count` cells of one shape, the first cell first, in storage order.

        Parameters
        ----------
        out
            Memory that may be used for them: C-contiguous, of their type and shape.
        """
        ...

    def cell(self, column: Column, row: int) -> np.ndarray[Any, Any]:
        """Return a cell in storage order, an array without axes for a scalar."""
        ...

    def part(self, column: Column, row: int, start: Shape, stop: Shape) -> np.ndarray[Any, Any]:
        """Return the part of a cell from `start` up to (not including) `stop`, in storage order."""
        ...

    def record(self, column: str, row: int) -> Mapping[str, Any]:
        """Return a cell of a column of records."""
        ...


def dtype_of(column: Column) -> np.dtype[Any]:
    """Dtype of the values of a column; object for strings and records."""
    return np.dtype(object if column.type in ("string", "record") else column.type)


def storage_of(managers: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Storage]:
    """Return the storage manager by column.

    Parameters
    ----------
    managers
        Result of ``getdminfo()`` of either library.
    columns
        Names of the columns in the order of the table.
    """
    order = list(columns)
    found = {}
    for manager in managers.values():
        held = set(manager["COLUMNS"])
        storage = Storage(manager["TYPE"], int(manager["SEQNR"]), tuple(name for name in order if name in held))
        found.update(dict.fromkeys(storage.columns, storage))
    return found


def common_shape(manager: Mapping[str, Any], rows: int) -> Shape | None:
    """Return the shape that all cells of a column have, if a tiled storage manager says it.

    The manager keeps cells of one shape in one hypercube. If there is only one, with a place for each row, no cell is
    undefined and none has another shape: to ask for each would take as long as to read a tenth of the values.

    Parameters
    ----------
    manager
        Description of one storage manager, from ``getdminfo()`` of either library.
    rows
        Number of rows of the table.
    """
    cubes = list(manager["SPEC"].get("HYPERCUBES", {}).values()) if manager["TYPE"] == "TiledShapeStMan" else []
    if len(cubes) != 1 or not rows:
        return None
    *shape, places = (int(n) for n in cubes[0]["CubeShape"])
    return tuple(shape) if places == rows else None


def blocks(cells: Cells, column: Column, rows: int, *, max_bytes: int) -> Iterator[Block]:
    """Cut a column of `rows` rows into blocks of at most `max_bytes`."""
    if column.type == "record":
        for row in range(rows):
            values = np.empty(1, dtype=object)
            values[0] = cells.record(column.name, row)
            yield Block(row, 1, (), values)
    elif column.ndim == 0:
        yield from _cut(cells, column, range(rows), (), max_bytes)
    elif column.shape is not None:
        yield from _cut(cells, column, range(rows), column.shape, max_bytes)
    else:
        row = 0
        for count, shape in runs(cells, column, rows):
            if shape is None:
                yield Block(row, count, None, None)
            else:
                yield from _cut(cells, column, range(row, row + count), shape, max_bytes)
            row += count


def runs(cells: Cells, column: Column, rows: int) -> Runs:
    """Return the maximal runs of equal shapes of a column."""
    if column.type == "record" or column.ndim == 0:
        return [(rows, ())] if rows else []
    if column.shape is not None:
        return [(rows, column.shape)] if rows else []
    if (shape := cells.common_shape(column.name)) is not None:
        return [(rows, shape)]
    found: Runs = []
    for first in range(0, rows, _ROWS_AT_ONCE):
        for count, shape in _runs(cells, column.name, first, min(_ROWS_AT_ONCE, rows - first)):
            # cvel leaves arrays without any dimension, which hold nothing and cannot be read.
            readable = shape if shape is None else shape or (0,)
            if found and found[-1][1] == readable:
                found[-1] = (found[-1][0] + count, readable)
            else:
                found.append((count, readable))
    return found


def stretch(
    cells: Cells, column: Column, shapes: Runs, first_row: int, first: int, count: int, *, max_bytes: int
) -> Iterator[np.ndarray[Any, Any]]:
    """Read a part of a column of numbers; see :meth:`casaprov.formats.tables.Table.stretch`."""
    # Row and place of the first value of a run; places count from the first value of `first_row`.
    row, place, stop = first_row, 0, first + count
    memory: np.ndarray[Any, Any] = np.empty(0, dtype_of(column))
    for cells_of_run, shape in shapes:
        size = 0 if shape is None else math.prod(shape)
        start, end = max(first - place, 0), min(stop - place, cells_of_run * size)
        if shape is not None and start < end:
            if size * memory.itemsize > max_bytes:
                yield from _slabs_between(cells, column, row, shape, start, end, max_bytes)
            else:
                wanted = min(cells_of_run, max_bytes // (size * memory.itemsize)) * size
                if memory.size < wanted:
                    memory = np.empty(wanted, memory.dtype)
                yield from _cells_between(cells, column, row, shape, start, end, memory)
        row += cells_of_run
        place += cells_of_run * size
        if place >= stop:
            return


def _cells_between(
    cells: Cells, column: Column, row: int, shape: Shape, start: int, end: int, memory: np.ndarray[Any, Any]
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the numbers from `start` up to `end` of cells of one shape, as many at once as the memory holds."""
    size = math.prod(shape)
    last = -(-end // size)
    step = memory.size // size
    for index in range(start // size, last, step):
        taken = min(step, last - index)
        out = memory[: taken * size].reshape(taken, *reversed(shape))
        values = _values(cells, column, row + index, taken, shape, out).reshape(-1)
        yield values[max(0, start - index * size) : end - index * size]


def _slabs_between(
    cells: Cells, column: Column, row: int, shape: Shape, start: int, end: int, max_bytes: int
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the numbers from `start` up to `end` of cells each of which is too large to be read at once."""
    size = math.prod(shape)
    for index in range(start // size, -(-end // size)):
        place = index * size
        for low, high in _slabs(shape, max(1, max_bytes // dtype_of(column).itemsize)):
            following = place + math.prod(b - a for a, b in zip(low, high, strict=True))
            if following > start and place < end:
                values = cells.part(column, row + index, low, high).reshape(-1)
                yield values[max(0, start - place) : end - place]
            place = following


def _values(
    cells: Cells, column: Column, first: int, count: int, shape: Shape, out: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, Any]:
    """Read cells of one shape in a way that their storage manager can bear."""
    manager = cells.manager(column.name)
    if manager == "TiledCellStMan" and cells.rows > 1:
        # casacore reads single cells or whole columns of this manager; all else is an error, and ends a process of casatools.
        alone = count
    elif manager == "IncrementalStMan" and column.ndim == 0 and count == cells.rows:
        # casacore writes beyond the end of its memory when it reads a whole column of a manager that holds more
        # rows than the table, as in CASA's own ephemerides/Sources: the last row is read alone.
        alone = 1
    else:
        return cells.values(column, first, count, shape, out)
    if out is None:
        out = np.empty((count, *reversed(shape)), dtype_of(column))
    together = count - alone
    if together:
        out[:together] = cells.values(column, first, together, shape)
    for index in range(together, count):
        out[index] = cells.cell(column, first + index)
    return out


def equal_runs(texts: Sequence[str], order: int) -> Runs:
    """Return the runs of equal shapes, from one text such as ``[2, 63]`` for each cell.

    Parameters
    ----------
    order
        1 if the texts are in casacore's axis order, -1 if the axes are reversed.
    """
    if texts and texts.count(texts[0]) == len(texts):  # nearly always, and far quicker than to look at each
        return [(len(texts), _shape(texts[0], order))]
    return [(len(list(run)), _shape(text, order)) for text, run in groupby(texts)]


def _shape(text: str, order: int) -> Shape:
    return tuple(int(n) for n in text.strip("[]").split(",") if n.strip())[::order]


def _runs(cells: Cells, column: str, first: int, count: int) -> Runs:
    """Return maximal runs of equal shapes."""
    found = cells.shapes(column, first, count)
    if found is not None:
        return found
    # One undefined cell makes the request fail for the whole range.
    found = []
    row = first
    for is_defined, run in groupby(cells.defined(column, first, count)):
        length = len(list(run))
        found += (cells.shapes(column, row, length) or []) if is_defined else [(length, None)]
        row += length
    return found


def _cut(cells: Cells, column: Column, rows: range, shape: Shape, max_bytes: int) -> Iterator[Block]:
    """Yield the blocks of consecutive cells of one shape."""
    size = math.prod(shape)
    if size == 0:
        if rows:
            yield Block(rows[0], len(rows), shape, np.empty((len(rows), *reversed(shape)), dtype_of(column)))
        return
    value_bytes = _STRING_BYTES if column.type == "string" else dtype_of(column).itemsize
    if size * value_bytes > max_bytes and column.type != "string":
        for row in rows:
            for start, stop in _slabs(shape, max(1, max_bytes // value_bytes)):
                yield Block(row, 1, shape, cells.part(column, row, start, stop))
        return
    step = max(1, max_bytes // (size * value_bytes))
    for done in range(0, len(rows), step):
        taken = rows[done : done + step]
        yield Block(taken[0], len(taken), shape, _values(cells, column, taken[0], len(taken), shape))


def _slabs(shape: Shape, max_values: int) -> Iterator[tuple[Shape, Shape]]:
    """Cut a large cell along its slower axes into slabs that follow each other in storage order."""
    # The slowest axis of which a slab may hold more than one step, and the values in one step of it.
    axis, below = 0, 1
    while axis < len(shape) - 1 and below * shape[axis] <= max_values:
        below *= shape[axis]
        axis += 1
    step = max(1, max_values // below)
    outer = shape[axis + 1 :]  # slower axes, along which a slab has one step each
    for index in np.ndindex(*reversed(outer)):
        tail = tuple(index[::-1])
        for start in range(0, shape[axis], step):
            stop = min(shape[axis], start + step)
            yield (0,) * axis + (start, *tail), (*shape[:axis], stop, *(i + 1 for i in tail))
