"""Digests of tables in parts, which several processes can compute: the share of each of them.

One process describes the table (:func:`outline`); small columns and
small sub-tables are digested some at a time (:func:`leaves`, :func:`nodes`), a
large column in parts of whole blocks of the value stream (:func:`runs`,
:func:`part`). :mod:`casaprov.digests.parallel` asks for all that and joins the
answers, which are the types below; between processes they are JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.digests.json_fields import integer, mapping, optional, sequence, text
from casaprov.digests.table import (
    ColumnPart,
    Part,
    column_leaf,
    column_outline,
    column_part,
    count_values,
    outline_of,
    table_node,
)
from casaprov.digests.tree import ColumnLeaf, ColumnOutline, Outline, TableNode
from casaprov.files.regular import entries_of
from casaprov.formats.tables import Column, Runs, Storage, Table, TableReader
from casaprov.hashing import BLOCK_BYTES
from casaprov.records.model import Tier

__all__ = [
    "ColumnFacts",
    "NotingReader",
    "TableFacts",
    "leaves",
    "nodes",
    "outline",
    "part",
    "parts_of",
    "runs",
    "storage_files",
]

_STORAGE_FILE = re.compile(r"table\.f(\d+)(?:i|_.*)?", re.ASCII | re.DOTALL)

_BITS = 8
"""Flags take this much more when they are read than in a tiled storage manager."""


# -- the outline of a table ------------------------------------------------------


@dataclass(frozen=True)
class ColumnFacts:
    """The facts about a column that decide how it is read.

    Attributes
    ----------
    size_bytes
        About how much is read.
    layout
        Dimensions and shape of a cell, as declared.
    storage
        None if no storage manager of the table holds the column.
    """

    outline: ColumnOutline
    size_bytes: int
    layout: tuple[int, tuple[int, ...] | None]
    storage: Storage | None

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {
            "outline": self.outline.to_json(),
            "bytes": self.size_bytes,
            "layout": self.layout,
            "storage": self.storage and [self.storage.type, self.storage.number, self.storage.columns],
        }

    @classmethod
    def from_json(cls, value: Any, name: str) -> ColumnFacts:
        """Read the facts; raise :class:`casaprov.errors.DigestError` if they are none."""
        data = mapping(value, name)
        ndim, shape = sequence(data.get("layout"), "layout")
        return cls(
            outline=ColumnOutline.from_json(data.get("outline")),
            size_bytes=integer(data.get("bytes"), "bytes"),
            layout=(integer(ndim, "layout"), None if shape is None else tuple(sequence(shape, "layout"))),
            storage=optional(data, "storage", _storage),
        )


def _storage(value: Any, name: str) -> Storage:
    type_, number, columns = sequence(value, name)
    return Storage(text(type_, name), integer(number, name), tuple(text(column, name) for column in columns))


@dataclass(frozen=True)
class TableFacts:
    """The facts about a table without its values: outline, columns, and the paths of its sub-tables."""

    outline: Outline
    columns: Mapping[str, ColumnFacts]
    tables: Mapping[str, Path]

    def to_json(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return {
            "outline": self.outline.to_json(),
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "tables": {name: str(path) for name, path in self.tables.items()},
        }

    @classmethod
    def from_json(cls, value: Any) -> TableFacts:
        """Read the facts; raise :class:`casaprov.errors.DigestError` if they are none."""
        data = mapping(value, "table")
        columns, tables = mapping(data.get("columns"), "columns"), mapping(data.get("tables"), "tables")
        return cls(
            outline=Outline.from_json(data.get("outline"), "outline"),
            columns={name: ColumnFacts.from_json(column, name) for name, column in columns.items()},
            tables={name: Path(text(path, name)) for name, path in tables.items()},
        )


def outline(path: Path, reader: TableReader) -> TableFacts:
    """Describe a table without reading its columns."""
    with _opened(path, reader) as table:
        table_outline, tables = outline_of(table)
        storage = table.storage()
        sizes = _sizes(path)
        files = storage_files(sizes)
        columns: dict[str, ColumnFacts] = {}
        for name, column in table.columns.items():
            held = storage.get(name)
            # A storage manager's files hold all its columns: each is taken to have an equal share.
            stored = sum(sizes[file] for file in files.get(held.number, ())) // len(held.columns) if held else 0
            columns[name] = ColumnFacts(
                outline=column_outline(column),
                size_bytes=stored * (_BITS if column.type == "bool" else 1) or _bytes_read(table, column),
                layout=(column.ndim, column.shape),
                storage=held,
            )
    return TableFacts(table_outline, columns, tables)


def _sizes(table: Path) -> dict[str, int]:
    """Return the sizes of the entries of a table's folder, by name."""
    sizes: dict[str, int] = {}
    for entry in entries_of(table):
        with suppress(OSError):  # it vanished meanwhile, or leads to itself
            sizes[entry.name] = entry.stat().st_size
    return sizes


def _bytes_read(table: Table, column: Column) -> int:
    """Return the bytes of a column whose values are in no file of this table: of a selection, a concatenation or an engine."""
    if column.type in ("string", "record"):
        return 0
    return count_values(table.runs(column.name)) * np.dtype(column.type).itemsize


def storage_files(names: Iterable[str]) -> dict[int, list[str]]:
    """Return the names, among those of a table's files, that belong to each storage manager, by its number."""
    found: dict[int, list[str]] = {}
    for name in names:
        if match := _STORAGE_FILE.fullmatch(name):
            found.setdefault(int(match[1]), []).append(name)
    return found


# -- whole columns and whole tables ----------------------------------------------


def leaves(path: Path, names: Sequence[str], tier: Tier, reader: TableReader) -> dict[str, ColumnLeaf]:
    """Digest some columns of a table; see :func:`casaprov.digests.table.column_leaf`."""
    with _opened(path, reader) as table:
        return {name: column_leaf(table, name, tier) for name in names}


def nodes(paths: Sequence[Path], above: Sequence[Path], tier: Tier, reader: TableReader) -> list[TableNode]:
    """Digest some tables that tables in `above` refer to; see :func:`casaprov.digests.table.table_node`."""
    return [table_node(path, reader, tuple(above), tier=tier) for path in paths]


class NotingReader:
    """A reader that notes in a list which tables it opened: one that lies outside of the product has stamps of its own."""

    def __init__(self, reader: TableReader, opened: list[Path]) -> None:
        self.name = reader.name
        self.opened = opened
        self._reader = reader

    def open(self, path: Path) -> Table:
        """Open a table."""
        self.opened.append(path)
        return self._reader.open(path)


# -- parts of a large column -----------------------------------------------------


def runs(path: Path, name: str, reader: TableReader) -> Runs:
    """Return the runs of equal shapes of a column."""
    with _opened(path, reader) as table:
        return table.runs(name)


def part(path: Path, name: str, which: Part, reader: TableReader) -> ColumnPart:
    """Digest and sketch a part of a column of numbers or flags."""
    with _opened(path, reader) as table:
        return column_part(table, name, which)


def parts_of(shapes: Runs, dtype: np.dtype[Any], most_bytes: int) -> Iterator[Part]:
    """Cut a column into parts of whole blocks, of about `most_bytes`.

    Each part has the runs of the cells that it touches; a cell at a cut is in two of them.
    """
    length = max(1, most_bytes // BLOCK_BYTES) * BLOCK_BYTES // dtype.itemsize
    total = count_values(shapes)
    cursor = _Cursor(shapes)
    for place in range(0, total, length):
        count = min(length, total - place)
        cursor.move_to(place)
        yield Part(cursor.runs_until(place + count), cursor.row, place - cursor.place, place, count, total)


class _Cursor:
    """A cell of a column, found by the place of one of its values; it moves forwards only.

    Attributes
    ----------
    row
        Row of the cell.
    place
        Place in the column of the first value of the cell.
    """

    def __init__(self, shapes: Runs) -> None:
        self._shapes = shapes
        self._run = 0  # the run that the cell is in
        self._passed = 0  # cells of that run before it
        self.row = 0
        self.place = 0

    def move_to(self, place: int) -> None:
        """Move to the cell that holds the value at `place`, which is not before this one."""
        cells, size = self._rest_of_run()
        # Undefined and empty cells have no values: they are passed, so that the cell that is found has some.
        while cells * size <= place - self.place:
            self._pass(cells, size)
            self._run, self._passed = self._run + 1, 0
            cells, size = self._rest_of_run()
        self._pass((place - self.place) // size, size)

    def runs_until(self, stop: int) -> Runs:
        """Return the runs of the cells from this one to that of the last value before the place `stop`."""
        found: Runs = []
        place, run, passed = self.place, self._run, self._passed
        while place < stop:
            cells, shape = self._shapes[run]
            size = _count(shape)
            # Rounded up: the cell at the end may be needed in part.
            taken = min(cells - passed, -(-(stop - place) // size)) if size else cells - passed
            found.append((taken, shape))
            place, run, passed = place + taken * size, run + 1, 0
        return found

    def _rest_of_run(self) -> tuple[int, int]:
        """Return how many cells of the run are left, this one included, and how many values each has."""
        cells, shape = self._shapes[self._run]
        return cells - self._passed, _count(shape)

    def _pass(self, cells: int, size: int) -> None:
        self.row += cells
        self.place += cells * size
        self._passed += cells


def _count(shape: tuple[int, ...] | None) -> int:
    """Count the values of a cell; an undefined one has none."""
    return 0 if shape is None else math.prod(shape)


@contextmanager
def _opened(path: Path, reader: TableReader) -> Iterator[Table]:
    table = reader.open(path)
    try:
        yield table
    finally:
        table.close()
