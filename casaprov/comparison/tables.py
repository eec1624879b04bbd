"""Comparison of two casacore tables cell by cell, in bounded memory.

It covers the content that a digest covers, no more and no less: the same columns,
keywords and sub-tables (:mod:`casaprov.formats.keywords` leaves out the others).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.comparison.values import Tally, format_change, format_value, same_value
from casaprov.comparison.verdict import Difference, Tolerance
from casaprov.files.kinds import is_table
from casaprov.formats.keywords import science_keywords, sub_tables
from casaprov.formats.tables import Block, Column, Table, TableReader
from casaprov.formats.virtual_models import model_images, without_noise

__all__ = ["compare_columns", "compare_keywords", "compare_numbers", "compare_tables", "in_either"]

Above = tuple[tuple[Path, ...], ...]

_BLOCK_BYTES = 8 * 2**20


def compare_tables(
    left: Path, right: Path, *, reader: TableReader, tolerance: Tolerance, prefix: str = "", above: Above = ((), ())
) -> Iterator[Difference]:
    """Yield all differences of two tables and their sub-tables.

    Parameters
    ----------
    prefix
        Names of the tables that these are sub-tables of.
    above
        Their paths, resolved: a table that refers to one of its own parents is not followed.

    Raises
    ------
    casaprov.errors.DigestError
        If one of them cannot be read.
    """
    with closing(reader.open(left)) as one, closing(reader.open(right)) as two:
        before, now = (science_keywords(table.keywords, table.type) for table in (one, two))
        models = tuple(tuple(model_images(table)) for table in (one, two))
        yield from _compare_kinds(one, two, prefix)
        content = without_noise(before), without_noise(now)
        yield from compare_keywords(*content, tolerance, f"{prefix}keywords")
        for name in in_either(one.columns, two.columns):
            if name not in two.columns:
                yield Difference(f"{prefix}{name}", f"The column {name} is missing.")
            elif name not in one.columns:
                yield Difference(f"{prefix}{name}", f"The column {name} is new.")
            else:
                yield from compare_columns(one, two, name, tolerance, prefix)
    # Sub-tables are opened after their parents are closed: two tables are open at a time.
    lines = tuple((*line, path.resolve()) for line, path in zip(above, (left, right), strict=True))
    olds, news = (
        {name: sub for name, sub in (*sub_tables(keywords), *images) if is_table(sub) and sub.resolve() not in line}
        for keywords, images, line in zip((before, now), models, lines, strict=True)
    )
    for name in in_either(olds, news):
        if name in olds and name in news:
            inside = f"{prefix}{name}/"
            yield from compare_tables(
                olds[name], news[name], reader=reader, tolerance=tolerance, prefix=inside, above=lines
            )
        else:
            yield Difference(f"{prefix}{name}", f"The sub-table {name} is {'new' if name in news else 'missing'}.")


def _compare_kinds(one: Table, two: Table, prefix: str) -> Iterator[Difference]:
    for name, before, now in (("type", one.type, two.type), ("subtype", one.subtype, two.subtype)):
        if before != now:
            yield Difference(
                f"{prefix}{name}", f"The {name} of the table is {format_value(now)} instead of {format_value(before)}."
            )
    if one.rows != two.rows:
        change = f"{abs(two.rows - one.rows)} {'more' if two.rows > one.rows else 'fewer'}"
        yield Difference(f"{prefix}rows", f"The table has {two.rows} rows instead of {one.rows}, {change}.")


def compare_keywords(
    before: Mapping[str, Any], now: Mapping[str, Any], tolerance: Tolerance, path: str
) -> Iterator[Difference]:
    """Yield the differences of two keyword records, one per keyword."""
    for name in in_either(before, now):
        place = f"{path}/{name}"
        if name not in now:
            yield Difference(place, f"The keyword is missing; it was {format_value(before[name])}.")
        elif name not in before:
            yield Difference(place, f"The keyword is new; it is {format_value(now[name])}.")
        elif isinstance(before[name], Mapping) and isinstance(now[name], Mapping):
            yield from compare_keywords(before[name], now[name], tolerance, place)
        elif not same_value(before[name], now[name]):
            sentence = f"The keyword is {format_change(before[name], now[name])}."
            yield compare_numbers(before[name], now[name], tolerance, place, sentence)


def compare_numbers(before: Any, now: Any, tolerance: Tolerance, path: str, sentence: str) -> Difference:
    """Return a difference with its sentence, and with its size if both values are floating-point and of one shape."""
    one, two = np.asarray(before), np.asarray(now)
    if one.shape != two.shape or one.dtype != two.dtype or one.dtype.kind not in "fc":
        return Difference(path, sentence)
    tally = Tally(tolerance)
    tally.add(one, two, lambda _index: "")
    counted = tally.difference(path)
    return Difference(path, sentence) if counted is None else replace(counted, what=sentence)


def in_either(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names that one of two mappings has, sorted."""
    return sorted(before.keys() | now.keys())


def compare_columns(one: Table, two: Table, name: str, tolerance: Tolerance, prefix: str = "") -> Iterator[Difference]:
    """Yield the differences of a column that both tables have, over the rows that both have."""
    before, now = one.columns[name], two.columns[name]
    path = f"{prefix}{name}"
    yield from compare_keywords(before.keywords, now.keywords, tolerance, f"{path}/keywords")
    if before.type != now.type:
        yield Difference(path, f"The column {name} holds {now.type} instead of {before.type}.")
        return
    tally = Tally(tolerance, "flag" if before.type == "bool" else "value")
    left, right = (_content(table.blocks(name, max_bytes=_BLOCK_BYTES), before) for table in (one, two))
    part = _Part()
    for a, b in _paired(left, right):
        if a.values is None or b.values is None or a.shape != b.shape:
            if a.shape != b.shape:
                tally.add_reshaped(a.first_row, a.cells, a.shape, b.shape)
        else:
            tally.add(a.values, b.values, part.places(a))
    difference = tally.difference(path)
    if difference is not None:
        yield difference


def _content(blocks: Iterator[Block], column: Column) -> Iterator[Block]:
    """Yield the blocks of a column without the members of virtual models that are no content."""
    for block in blocks:
        if column.type == "record" and block.values is not None:
            values = block.values.copy()
            values[:] = [without_noise(record) for record in block.values]
            yield replace(block, values=values)
        else:
            yield block


class _Part:
    """Places of the values of a block; a cell too large for one block comes in parts."""

    def __init__(self) -> None:
        self._row = -1
        self._offset = 0

    def places(self, block: Block) -> Callable[[int], str]:
        """Return a function that names the place of an element of `block`."""
        assert block.shape is not None
        assert block.values is not None
        size = max(1, math.prod(block.shape))
        self._offset = self._offset if block.first_row == self._row else 0
        self._row, start = block.first_row, self._offset
        self._offset += block.values.size
        shape = block.shape

        def say(index: int) -> str:
            row, inside = divmod(start + index, size)
            if not shape:
                return f"in row {block.first_row + row}"
            place = [int(n) for n in np.unravel_index(inside, shape, order="F")]
            return f"in row {block.first_row + row} at {place}"

        return say


def _paired(left: Iterator[Block], right: Iterator[Block]) -> Iterator[tuple[Block, Block]]:
    """Cut two streams of blocks so that they go in step; end with the shorter one."""
    a, b = next(left, None), next(right, None)
    # A block is many whole cells or a part of one; where either is a part, both sides move on by one cell.
    while a is not None and b is not None:
        if _is_part(a) or _is_part(b):
            if a.shape == b.shape:  # cells of one shape and type are cut at the same places
                yield a, b
                a, b = next(left, None), next(right, None)
            else:
                row = a.first_row
                yield _undefined(a), Block(row, 1, b.shape, None)
                a, b = _beyond(row, a, left), _beyond(row, b, right)
        else:
            cells = min(a.cells, b.cells)
            yield _head(a, cells), _head(b, cells)
            a, b = _tail(a, cells) or next(left, None), _tail(b, cells) or next(right, None)


def _is_part(block: Block) -> bool:
    return block.values is not None and block.values.size != block.cells * math.prod(block.shape or ())


def _undefined(block: Block) -> Block:
    """Return a stand-in for a cell whose values are not compared."""
    return Block(block.first_row, 1, block.shape, None)


def _beyond(row: int, block: Block | None, rest: Iterator[Block]) -> Block | None:
    """Return the first block, or remainder of one, that starts after `row`."""
    while block is not None and block.first_row == row:
        block = (None if _is_part(block) else _tail(block, 1)) or next(rest, None)
    return block


def _head(block: Block, cells: int) -> Block:
    if cells == block.cells:
        return block
    values = None if block.values is None else block.values[:cells]
    return Block(block.first_row, cells, block.shape, values)


def _tail(block: Block, cells: int) -> Block | None:
    if cells == block.cells:
        return None
    values = None if block.values is None else block.values[cells:]
    return Block(block.first_row + cells, block.cells - cells, block.shape, values)
