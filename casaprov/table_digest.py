"""Digests of casacore tables: one leaf per column, one node per table.

The pre-images are documented in ``docs/explanation/digests.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.digest import BlockHasher, Digest, canonical_json, digest_record
from casaprov.errors import DigestError
from casaprov.keywords import digest_keywords, encode, science_keywords, sub_tables
from casaprov.sketch import Sketch
from casaprov.tables import Block, Column, Table, TableReader, is_table

__all__ = ["check_node", "table_node"]

READ_BYTES = 2 * 2**20
"""Columns are read in blocks of this size: larger ones fall out of the processor's cache."""


def table_node(path: Path, reader: TableReader, above: tuple[Path, ...] = ()) -> dict[str, Any]:
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
        keywords = science_keywords(table.keywords, table.type)
        node: dict[str, Any] = {
            "type": table.type,
            "subtype": table.subtype,
            "rows": table.rows,
            "keywords": digest_keywords(keywords),
            "columns": {name: _column(table, column) for name, column in table.columns.items()},
        }
    finally:
        table.close()
    # Sub-tables are read after the table is closed: one table is open at a time.
    line = (*above, path.resolve())
    node["tables"] = {
        name: table_node(sub, reader, line) if is_table(sub) and sub.resolve() not in line else None
        for name, sub in sub_tables(keywords)
    }
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


def _column(table: Table, column: Column) -> dict[str, Any]:
    """Digest and sketch a column in one pass."""
    hasher = BlockHasher()
    runs: list[list[Any]] = []
    sketch = None if column.type in ("bool", "string", "record") else Sketch()
    last_row = -1
    for block in table.blocks(column.name, max_bytes=READ_BYTES):
        if block.first_row != last_row:
            _extend(runs, block)
        # A cell in several parts comes as blocks of the same first row.
        last_row = block.first_row
        if block.values is not None:
            hasher.update(_stream(block.values, column))
            if sketch is not None:
                sketch.update(block.values)
    told: dict[str, Any] = {
        "digest": digest_record("casaprov/column/1", column.type, runs, hasher.digest()),
        "type": column.type,
    }
    if column.keywords:
        told["keywords"] = digest_keywords(column.keywords)
    if sketch is not None:
        told["sketch"] = sketch.result()
    return told


def _extend(runs: list[list[Any]], block: Block) -> None:
    """Append the cells of a block to the maximal runs of equal shapes."""
    shape = None if block.shape is None else list(block.shape)
    if runs and runs[-1][1] == shape:
        runs[-1][0] += block.cells
    else:
        runs.append([block.cells, shape])


def _stream(values: np.ndarray[Any, Any], column: Column) -> memoryview:
    """Bytes of values in the value stream: little-endian, strings with their length before them."""
    if column.type == "string":
        texts = [str(text).partition("\0")[0].encode("utf-8", "surrogatepass") for text in values.ravel()]
        return memoryview(b"".join(struct.pack("<I", len(text)) + text for text in texts))
    if column.type == "record":
        texts = [canonical_json(encode(record)) for record in values.ravel()]
        return memoryview(b"".join(struct.pack("<I", len(text)) + text for text in texts))
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data
