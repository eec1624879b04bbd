"""Digests of casacore tables: one leaf per column, one node per table.

A column of numbers has one digest however it is cut: read whole it is one part,
workers read several (:mod:`casaprov.digests.table_parts`), and :func:`join_leaf`
makes the leaf of either. The pre-images are documented in
``docs/explanation/digests.md``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.digests.json_fields import integer, mapping, optional, sequence, text
from casaprov.digests.sketch import Sketch, Sketcher, SketchPart, sample_places
from casaprov.digests.tree import ColumnLeaf, ColumnOutline, Outline, TableNode, digest_sketch
from casaprov.files.kinds import is_table
from casaprov.formats.keywords import encode, science_keywords, sub_tables
from casaprov.formats.tables import Column, Runs, Table, TableReader
from casaprov.formats.virtual_models import encode_model, model_images, names_image
from casaprov.hashing import BlockHasher, Digest, canonical_json, digest_blocks, digest_record
from casaprov.records.model import Tier

__all__ = [
    "READ_BYTES",
    "SAMPLED_BYTES",
    "ColumnPart",
    "Part",
    "column_leaf",
    "column_outline",
    "column_part",
    "count_values",
    "is_sampled",
    "join_leaf",
    "outline_of",
    "runs_from_json",
    "table_node",
]

READ_BYTES = 2 * 2**20
"""Columns are read in blocks of this size: larger ones fall out of the processor's cache."""

SAMPLED_BYTES = 64 * 2**20
"""Of columns and files that are larger, the tier ``fast`` reads samples only."""

_TEXTS = ("string", "record")

_MOST_KEYWORD_BYTES = 4000
"""Keywords that take no more than this are in the tree beside their digest."""


def table_node(path: Path, reader: TableReader, above: tuple[Path, ...] = (), *, tier: Tier = "full") -> TableNode:
    """Digest a table and the tables that it refers to.

    Parameters
    ----------
    above
        Tables that led to this one, as resolved paths; a sub-table that is one of them is left out.
    """
    table = reader.open(path)
    try:
        outline, tables = outline_of(table)
        columns = {name: column_leaf(table, name, tier) for name in table.columns}
    finally:
        table.close()
    # Sub-tables are read after the table is closed: one table is open at a time.
    line = (*above, path.resolve())
    nodes = {
        name: table_node(sub, reader, line, tier=tier) if is_table(sub) and sub.resolve() not in line else None
        for name, sub in tables.items()
    }
    return TableNode.of(outline, columns, nodes)


def outline_of(table: Table) -> tuple[Outline, dict[str, Path]]:
    """Return the outline of a table, and the paths of its sub-tables by name."""
    keywords = science_keywords(table.keywords, table.type)
    digest, record = _digest_keywords(keywords)
    outline = Outline(type=table.type, subtype=table.subtype, rows=table.rows, keywords=digest, keyword_record=record)
    return outline, dict(sub_tables(keywords)) | dict(model_images(table))


def _digest_keywords(keywords: Mapping[str, Any]) -> tuple[Digest, Any]:
    """Digest the keywords of a table, which may hold virtual models; return their encoding as well if it is short."""
    if names_image(keywords):
        return digest_record("casaprov/keywords/2", encode_model(keywords)), None
    return _encoded(keywords)


def _encoded(keywords: Mapping[str, Any]) -> tuple[Digest, Any]:
    """Return the digest of keywords, and their encoding if it is short."""
    encoded = encode(keywords)
    short = len(canonical_json(encoded)) <= _MOST_KEYWORD_BYTES
    return digest_record("casaprov/keywords/1", encoded), encoded if short else None


def column_leaf(table: Table, name: str, tier: Tier = "full") -> ColumnLeaf:
    """Digest and sketch a column in one pass."""
    column = table.columns[name]
    if column.type in _TEXTS:
        return _text_leaf(table, column)
    runs = table.runs(name)
    if tier == "fast" and is_sampled(column.type, runs):
        return _sampled_leaf(table, column, runs)
    count = count_values(runs)
    part = column_part(table, name, Part(runs, first_row=0, first=0, place=0, count=count, total=count))
    return join_leaf(column_outline(column), runs, [part])


def column_outline(column: Column) -> ColumnOutline:
    """Return the part of the leaf of a column that is known without its values."""
    return ColumnOutline(column.type, *_encoded(column.keywords)) if column.keywords else ColumnOutline(column.type)


@dataclass(frozen=True)
class Part:
    """A part of a column of numbers or flags, which begins with a block of the value stream.

    Attributes
    ----------
    runs, first_row, first, count
        The values to read, as for :meth:`casaprov.formats.tables.Table.stretch`.
    place, total
        Place of the part's first value in the column, and how many values the column has.
    """

    runs: Runs
    first_row: int
    first: int
    place: int
    count: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON values."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: Any) -> Part:
        """Read a part; raise :class:`casaprov.errors.DigestError` if it is none."""
        data = mapping(value, "part")
        names = ("first_row", "first", "place", "count", "total")
        return cls(runs_from_json(data.get("runs")), **{name: integer(data.get(name), name, least=0) for name in names})


def runs_from_json(value: Any) -> Runs:
    """Read runs; raise :class:`casaprov.errors.DigestError` if they are none."""
    pairs = [sequence(pair, "runs") for pair in sequence(value, "runs")]
    return [
        (integer(cells, "runs", least=0), None if shape is None else tuple(integer(n, "shape", least=0) for n in shape))
        for cells, shape in pairs
    ]


@dataclass(frozen=True)
class ColumnPart:
    """The digests and the sketch of a part of a column.

    Attributes
    ----------
    blocks
        Digests of the blocks of the value stream, hexadecimal.
    sketch
        None of flags.
    """

    blocks: Sequence[str]
    sketch: SketchPart | None

    def to_json(self) -> dict[str, Any]:
        """Return the digests and the sketch as JSON values."""
        return {"blocks": self.blocks, "sketch": self.sketch and self.sketch.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> ColumnPart:
        """Read an answer of a worker; raise :class:`casaprov.errors.DigestError` if it is none."""
        data = mapping(value, "part")
        blocks = [text(block, "blocks") for block in sequence(data.get("blocks"), "blocks")]
        return cls(blocks, optional(data, "sketch", SketchPart.from_json))


def column_part(table: Table, name: str, part: Part) -> ColumnPart:
    """Digest and sketch a part of a column of numbers or flags."""
    column = table.columns[name]
    hasher = BlockHasher()
    sketcher = None if column.type == "bool" else Sketcher(first=part.place, total=part.total)
    for values in table.stretch(name, part.runs, part.first_row, part.first, part.count, max_bytes=READ_BYTES):
        hasher.update(_numbers(values))
        if sketcher is not None:
            sketcher.update(values)
    return ColumnPart(hasher.blocks(), sketcher.part() if sketcher else None)


def join_leaf(outline: ColumnOutline, runs: Runs, parts: Iterable[ColumnPart]) -> ColumnLeaf:
    """Return the leaf of a column of numbers or flags from all its parts, in their order."""
    parts = list(parts)
    length = count_values(runs) * np.dtype(outline.type).itemsize
    values = digest_blocks(length, [block for part in parts for block in part.blocks])
    sketches = [part.sketch for part in parts if part.sketch is not None]
    digest = _column_digest(outline.type, runs, values)
    if outline.type == "bool":
        return ColumnLeaf(digest, outline.type, outline.keywords, keyword_record=outline.keyword_record)
    sketch = Sketch.of(sketches)
    return ColumnLeaf(
        digest,
        outline.type,
        outline.keywords,
        keyword_record=outline.keyword_record,
        sketch=sketch,
        sketch_digest=digest_sketch(digest, sketch),
        shapes=digest_record("casaprov/shapes/1", _shapes(runs)),
    )


def _column_digest(type_: str, runs: Runs, values: Digest) -> Digest:
    return digest_record("casaprov/column/1", type_, _shapes(runs), values)


def _shapes(runs: Runs) -> list[list[Any]]:
    return [[cells, None if shape is None else list(shape)] for cells, shape in runs]


def count_values(runs: Runs) -> int:
    """Count the values of cells of these shapes."""
    return sum(cells * math.prod(shape) for cells, shape in runs if shape is not None)


def is_sampled(type_: str, runs: Runs) -> bool:
    """Return True if only samples of a column are read in the tier ``fast``: of many numbers, never of flags."""
    return type_ not in (*_TEXTS, "bool") and count_values(runs) * np.dtype(type_).itemsize > SAMPLED_BYTES


def _sampled_leaf(table: Table, column: Column, runs: Runs) -> ColumnLeaf:
    """Digest and sketch the samples of a column of numbers, at :func:`casaprov.digests.sketch.sample_places`."""
    places = sample_places(count_values(runs)).tolist()
    values = np.concatenate([_value(table, column.name, *cell) for cell in _cells_of(runs, places)])
    hasher = BlockHasher()
    hasher.update(_numbers(values))
    sketcher = Sketcher(linear=False)
    sketcher.update(values)
    digest = digest_record("casaprov/column-samples/1", column.type, _shapes(runs), hasher.digest())
    outline, samples = column_outline(column), sketcher.sketch()
    sketch_digest = digest_sketch(digest, samples)
    return ColumnLeaf(
        digest,
        outline.type,
        outline.keywords,
        keyword_record=outline.keyword_record,
        samples=samples,
        sketch_digest=sketch_digest,
    )


def _value(table: Table, name: str, row: int, shape: tuple[int, ...], place: int) -> np.ndarray[Any, Any]:
    (value,) = table.stretch(name, [(1, shape)], row, place, 1, max_bytes=READ_BYTES)
    return value.copy()  # the next one is read into the same memory


def _cells_of(runs: Runs, places: Iterable[int]) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Yield row and shape of the cell that holds each of the values at ascending places, and its place there."""
    following = iter(runs)
    row = start = 0  # first row of a run, and the place of its first value
    cells = size = 0  # of that run: how many cells, and how many values each of them holds
    shape: tuple[int, ...] = ()
    for place in places:
        while place >= start + cells * size:  # the place lies in a later run
            row, start = row + cells, start + cells * size
            cells, following_shape = next(following)
            shape, size = following_shape or (), 0 if following_shape is None else math.prod(following_shape)
        yield row + (place - start) // size, shape, (place - start) % size


def _text_leaf(table: Table, column: Column) -> ColumnLeaf:
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
    outline, values = column_outline(column), hasher.digest()
    if has_model:
        digest = digest_record("casaprov/column/2", column.type, _shapes(runs), values)
    else:
        digest = _column_digest(column.type, runs, values)
    return ColumnLeaf(digest, outline.type, outline.keywords, keyword_record=outline.keyword_record)


def _numbers(values: np.ndarray[Any, Any]) -> memoryview:
    """Return the bytes of numbers in the value stream: little-endian."""
    # Copied only where the values are not contiguous, or the processor is big-endian.
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _texts(values: np.ndarray[Any, Any], column: Column) -> memoryview:
    """Return the bytes of strings or records in the value stream: each with its length before it."""
    if column.type == "string":
        # Libraries written in C end a string at its first NUL; what follows is not initialised.
        texts = [str(string).partition("\0")[0].encode("utf-8", "surrogatepass") for string in values.ravel()]
    else:
        records = [encode_model(record) if names_image(record) else encode(record) for record in values.ravel()]
        texts = [canonical_json(record) for record in records]
    return memoryview(b"".join(struct.pack("<I", len(encoded)) + encoded for encoded in texts))
