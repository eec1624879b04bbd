"""Digests of casacore tables: one leaf per column, one node per table.

The pre-images are documented in ``docs/explanation/digests.md``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.digests.sketch import Sketch, sample_places
from casaprov.errors import DigestError
from casaprov.files.kinds import is_table
from casaprov.formats.keywords import digest_keywords, encode, science_keywords, sub_tables
from casaprov.formats.tables import Column, Runs, Table, TableReader, ValueType
from casaprov.formats.virtual_models import encode_model, model_images, names_image
from casaprov.hashing import BlockHasher, Digest, canonical_json, digest_blocks, digest_record
from casaprov.records.model import Tier

__all__ = [
    "SAMPLED_BYTES",
    "Part",
    "check_node",
    "column_leaf",
    "column_outline",
    "column_part",
    "count_values",
    "is_sampled",
    "joined_leaf",
    "joined_node",
    "outlined",
    "sampled_leaf",
    "table_node",
]

READ_BYTES = 2 * 2**20
"""Columns are read in blocks of this size: larger ones fall out of the processor's cache."""

SAMPLED_BYTES = 64 * 2**20
"""Of columns and files that are larger, the tier ``fast`` reads samples only."""

_TEXTS = ("string", "record")


def table_node(path: Path, reader: TableReader, above: tuple[Path, ...] = (), *, tier: Tier = "full") -> dict[str, Any]:
    """Digest a table and the tables that it refers to.

    Returns
    -------
    dict
        ``digest``, ``type``, ``subtype``, ``rows``, ``keywords`` (a digest),
        ``columns`` and ``tables`` by name. A column has ``digest``, ``type``,
        ``keywords`` (if it has any) and ``sketch`` (if it is numeric); a
        sub-table is a node, or None if it is not there or lies in `above`.
    """
    table = reader.open(path)
    try:
        outline, sub_tables = outlined(table)
        columns = {name: column_leaf(table, name, tier) for name in table.columns}
    finally:
        table.close()
    # Sub-tables are read after the table is closed: one table is open at a time.
    line = (*above, path.resolve())
    tables = {
        name: table_node(sub, reader, line, tier=tier) if is_table(sub) and sub.resolve() not in line else None
        for name, sub in sub_tables.items()
    }
    return joined_node(outline, columns, tables)


def outlined(table: Table) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return what the node of a table holds beside columns and sub-tables, and where its sub-tables are."""
    keywords = science_keywords(table.keywords, table.type)
    outline = {
        "type": table.type,
        "subtype": table.subtype,
        "rows": table.rows,
        "keywords": _digest_keywords(keywords),
    }
    return outline, dict(sub_tables(keywords)) | dict(model_images(table))


def _digest_keywords(keywords: Mapping[str, Any]) -> Digest:
    """Digest the keywords of a table, which may hold virtual models."""
    if names_image(keywords):
        return digest_record("casaprov/keywords/2", encode_model(keywords))
    return digest_keywords(keywords)


def joined_node(outline: Mapping[str, Any], columns: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a table from its outline (:func:`outlined`), leaves and the nodes of its sub-tables."""
    node = {**outline, "columns": dict(columns), "tables": dict(tables)}
    return {"digest": _node_digest(node), **node}


def check_node(node: Mapping[str, Any]) -> Digest:
    """Compute the digest of a node from its columns, keywords and sub-tables.

    Raises
    ------
    DigestError
        If the digest that a sub-table's node carries is not the computed one.
    """
    for name, sub in node["tables"].items():
        if sub is not None and check_node(sub) != sub["digest"]:
            raise DigestError(f"The digest of the sub-table {name} is not that of its columns and keywords.")
    return _node_digest(node)


def _node_digest(node: Mapping[str, Any]) -> Digest:
    columns = {name: [column["digest"], column.get("keywords")] for name, column in node["columns"].items()}
    tables = {name: sub and sub["digest"] for name, sub in node["tables"].items()}
    return digest_record(
        "casaprov/table/1", node["type"], node["subtype"], node["rows"], node["keywords"], columns, tables
    )


def column_leaf(table: Table, name: str, tier: Tier = "full") -> dict[str, Any]:
    """Digest and sketch a column in one pass."""
    column = table.columns[name]
    if column.type in _TEXTS:
        return _text_leaf(table, column)
    runs = table.runs(name)
    if tier == "fast" and is_sampled(column.type, runs):
        return sampled_leaf(table, name, runs)
    count = count_values(runs)
    part = column_part(table, name, Part(runs, 0, 0, 0, count, count))
    return joined_leaf(column_outline(column), runs, [part])


def is_sampled(type_: ValueType, runs: Runs) -> bool:
    """Tell whether only samples of a column are read in the tier ``fast``: of many numbers, never of flags."""
    return type_ not in (*_TEXTS, "bool") and count_values(runs) * np.dtype(type_).itemsize > SAMPLED_BYTES


def sampled_leaf(table: Table, name: str, runs: Runs) -> dict[str, Any]:
    """Digest and sketch the samples of a column of numbers, at :func:`casaprov.digests.sketch.sample_places`."""
    column = table.columns[name]
    places = sample_places(count_values(runs)).tolist()
    values = np.concatenate([_value(table, name, *where) for where in _cells_of(runs, places)])
    hasher = BlockHasher()
    hasher.update(_numbers(values))
    sketch = Sketch()
    sketch.update(values)
    digest = digest_record("casaprov/column-samples/1", column.type, _shapes(runs), hasher.digest())
    return {"digest": digest, **column_outline(column), "samples": sketch.result()}


def _value(table: Table, name: str, row: int, shape: tuple[int, ...], place: int) -> np.ndarray[Any, Any]:
    (value,) = table.stretch(name, [(1, shape)], row, place, 1, max_bytes=READ_BYTES)
    return value.copy()


def _cells_of(runs: Runs, places: Iterable[int]) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Yield row and shape of the cell that holds each of the values at ascending places, and its place there."""
    following = iter(runs)
    row = start = 0
    cells = size = 0
    shape: tuple[int, ...] = ()
    for place in places:
        while place >= start + cells * size:
            row, start = row + cells, start + cells * size
            cells, told = next(following)
            shape, size = told or (), 0 if told is None else math.prod(told)
        yield row + (place - start) // size, shape, (place - start) % size


def column_outline(column: Column) -> dict[str, Any]:
    """Return what the leaf of a column holds beside its values."""
    told: dict[str, Any] = {"type": column.type}
    if column.keywords:
        told["keywords"] = digest_keywords(column.keywords)
    return told


@dataclass(frozen=True)
class Part:
    """A part of a column of numbers or flags, which begins with a block of the value stream.

    Attributes
    ----------
    runs, first_row, first, count
        What to read, as for :meth:`casaprov.formats.tables.Table.stretch`.
    place, total
        Place of the part's first value in the column, and how many values the column has.
    """

    runs: Runs
    first_row: int
    first: int
    place: int
    count: int
    total: int


def column_part(table: Table, name: str, part: Part) -> dict[str, Any]:
    """Digest and sketch a part of a column of numbers or flags.

    Returns
    -------
    dict
        ``blocks``: digests of the blocks; ``sketch``: a state (:meth:`casaprov.digests.sketch.Sketch.state`), None of flags.
    """
    column = table.columns[name]
    hasher = BlockHasher()
    sketch = None if column.type == "bool" else Sketch(first=part.place, total=part.total)
    for values in table.stretch(name, part.runs, part.first_row, part.first, part.count, max_bytes=READ_BYTES):
        hasher.update(_numbers(values))
        if sketch is not None:
            sketch.update(values)
    return {"blocks": hasher.blocks(), "sketch": sketch and sketch.state()}


def joined_leaf(outline: Mapping[str, Any], runs: Runs, parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the leaf of a column of numbers or flags from its outline and all its parts, in their order."""
    parts = list(parts)
    length = count_values(runs) * np.dtype(outline["type"]).itemsize
    values = digest_blocks(length, [block for part in parts for block in part["blocks"]])
    leaf = _leaf(outline, runs, values)
    if outline["type"] != "bool":
        leaf["sketch"] = Sketch.join(part["sketch"] for part in parts)
    return leaf


def count_values(runs: Runs) -> int:
    """Count the values of cells of these shapes."""
    return sum(cells * math.prod(shape) for cells, shape in runs if shape is not None)


def _leaf(outline: Mapping[str, Any], runs: Runs, values: Digest) -> dict[str, Any]:
    return {"digest": digest_record("casaprov/column/1", outline["type"], _shapes(runs), values), **outline}


def _shapes(runs: Runs) -> list[list[Any]]:
    return [[cells, None if shape is None else list(shape)] for cells, shape in runs]


def _text_leaf(table: Table, column: Column) -> dict[str, Any]:
    """Digest a column of strings or records."""
    hasher = BlockHasher()
    runs: Runs = []
    has_model = False
    for block in table.blocks(column.name, max_bytes=READ_BYTES):
        if runs and runs[-1][1] == block.shape:
            runs[-1] = (runs[-1][0] + block.cells, block.shape)
        else:
            runs.append((block.cells, block.shape))
        if block.values is not None:
            has_model |= column.type == "record" and any(map(names_image, block.values.ravel()))
            hasher.update(_texts(block.values, column))
    if has_model:
        digest = digest_record("casaprov/column/2", column.type, _shapes(runs), hasher.digest())
        return {"digest": digest, **column_outline(column)}
    return _leaf(column_outline(column), runs, hasher.digest())


def _numbers(values: np.ndarray[Any, Any]) -> memoryview:
    """Bytes of numbers in the value stream: little-endian."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _texts(values: np.ndarray[Any, Any], column: Column) -> memoryview:
    """Bytes of strings and records in the value stream: each with its length before it."""
    if column.type == "string":
        texts = [str(text).partition("\0")[0].encode("utf-8", "surrogatepass") for text in values.ravel()]
    else:
        records = [encode_model(record) if names_image(record) else encode(record) for record in values.ravel()]
        texts = [canonical_json(record) for record in records]
    return memoryview(b"".join(struct.pack("<I", len(text)) + text for text in texts))
