"""Digests of tables in parts, which several processes can compute: what each of them does.

One process says what a table consists of (:func:`outline`); small columns and
small sub-tables are digested some at a time (:func:`leaves`, :func:`nodes`), a
large column in parts of whole blocks of the value stream (:func:`runs`,
:func:`part`). :mod:`casaprov.digests.digester` puts the answers together. All that
goes between processes is JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.digests.table import Part, column_leaf, column_outline, column_part, count_values, outlined, table_node
from casaprov.files.regular import entries_of
from casaprov.formats.tables import Column, Runs, Table, TableReader
from casaprov.hashing import BLOCK_BYTES
from casaprov.records.model import Tier

__all__ = ["Noting", "Part", "leaves", "nodes", "outline", "part", "parts_of", "plain_runs", "runs", "storage_files"]

_STORAGE_FILE = re.compile(r"table\.f(\d+)(?:i|_.*)?", re.ASCII | re.DOTALL)

_BITS = 8
"""Flags take this much more when they are read than in a tiled storage manager."""


def outline(path: Path, reader: TableReader) -> dict[str, Any]:
    """Say what a table consists of, without reading columns.

    Returns
    -------
    dict
        ``outline`` (:func:`casaprov.digests.table.outlined`); ``tables``, the
        paths of its sub-tables by name; ``columns``, by name: ``outline``,
        ``bytes`` (about, when it is read), ``layout`` (dimensions and shape of
        a cell, as declared) and ``storage`` (type, number and columns of its
        storage manager, None if there is none).
    """
    with _opened(path, reader) as table:
        told, sub_tables = outlined(table)
        storage = table.storage()
        sizes = _sizes(path)
        files = storage_files(sizes)
        columns: dict[str, Any] = {}
        for name, column in table.columns.items():
            held = storage.get(name)
            stored = sum(sizes[file] for file in files.get(held.number, ())) // len(held.columns) if held else 0
            columns[name] = {
                "outline": column_outline(column),
                "bytes": stored * (_BITS if column.type == "bool" else 1) or _bytes_read(table, column),
                "layout": [column.ndim, column.shape and list(column.shape)],
                "storage": held and [held.type, held.number, list(held.columns)],
            }
    return {"outline": told, "columns": columns, "tables": {name: str(sub) for name, sub in sub_tables.items()}}


def _sizes(table: Path) -> dict[str, int]:
    """Sizes of what lies in the folder of a table, by name."""
    sizes: dict[str, int] = {}
    for entry in entries_of(table):
        with suppress(OSError):  # it vanished meanwhile, or leads to itself
            sizes[entry.name] = entry.stat().st_size
    return sizes


def _bytes_read(table: Table, column: Column) -> int:
    """Bytes of a column whose values are in no file of this table: of a selection, a concatenation or an engine."""
    if column.type in ("string", "record"):
        return 0
    return count_values(table.runs(column.name)) * np.dtype(column.type).itemsize


def storage_files(names: Iterable[str]) -> dict[int, list[str]]:
    """Return which of the names of a table's files are those of each storage manager, by its number."""
    found: dict[int, list[str]] = {}
    for name in names:
        if told := _STORAGE_FILE.fullmatch(name):
            found.setdefault(int(told[1]), []).append(name)
    return found


def leaves(path: Path, names: Sequence[str], tier: Tier, reader: TableReader) -> dict[str, Any]:
    """Digest some columns of a table; see :func:`casaprov.digests.table.column_leaf`."""
    with _opened(path, reader) as table:
        return {name: column_leaf(table, name, tier) for name in names}


def nodes(paths: Sequence[Path], above: Sequence[Path], tier: Tier, reader: TableReader) -> list[dict[str, Any]]:
    """Digest some tables that tables in `above` refer to; see :func:`casaprov.digests.table.table_node`."""
    return [table_node(path, reader, tuple(above), tier=tier) for path in paths]


class Noting:
    """A reader that notes which tables it opened."""

    def __init__(self, reader: TableReader) -> None:
        self.name = reader.name
        self.opened: list[Path] = []
        self._reader = reader

    def open(self, path: Path) -> Table:
        """Open a table."""
        self.opened.append(path)
        return self._reader.open(path)


def runs(path: Path, name: str, reader: TableReader) -> Runs:
    """Return the runs of equal shapes of a column."""
    with _opened(path, reader) as table:
        return table.runs(name)


def part(path: Path, name: str, which: Part, reader: TableReader) -> dict[str, Any]:
    """Digest and sketch a part of a column of numbers or flags."""
    with _opened(path, reader) as table:
        return column_part(table, name, which)


def parts_of(shapes: Runs, dtype: np.dtype[Any], most: int) -> Iterator[Part]:
    """Cut a column into parts of whole blocks, of about `most` bytes.

    Each part has the runs of the cells that it touches; a cell at a cut is in two of them.
    """
    length = max(1, most // BLOCK_BYTES) * BLOCK_BYTES // dtype.itemsize
    sizes = [0 if shape is None else math.prod(shape) for _, shape in shapes]
    total = sum(cells * size for (cells, _), size in zip(shapes, sizes, strict=True))
    index = row = done = start = 0  # the run; its first cell that is not left behind, by row, in the run, by value
    for place in range(0, total, length):
        stop = min(place + length, total)
        while (shapes[index][0] - done) * sizes[index] <= place - start:
            start += (shapes[index][0] - done) * sizes[index]
            row += shapes[index][0] - done
            index, done = index + 1, 0
        behind = (place - start) // sizes[index]
        start, row, done = start + behind * sizes[index], row + behind, done + behind
        touched: Runs = []
        reached, ahead, skipped = start, index, done
        while reached < stop:
            cells, shape = shapes[ahead]
            size = sizes[ahead]
            taken = cells - skipped if size == 0 else min(cells - skipped, -(-(stop - reached) // size))
            touched.append((taken, shape))
            reached += taken * size
            ahead, skipped = ahead + 1, 0
        yield Part(touched, row, place - start, place, stop - place, total)


@contextmanager
def _opened(path: Path, reader: TableReader) -> Iterator[Table]:
    table = reader.open(path)
    try:
        yield table
    finally:
        table.close()


def plain_runs(told: Sequence[Sequence[Any]]) -> Runs:
    """Return runs that came as JSON."""
    return [(int(cells), None if shape is None else tuple(shape)) for cells, shape in told]
