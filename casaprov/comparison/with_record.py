"""Comparing a product with its record, where the original itself is not at hand.

A record holds the digest of each column and a sketch of its numbers. The
digests say which columns differ; the sketches say by how much
(:mod:`casaprov.comparison.sketches`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from casaprov.comparison.sketches import compare_sketches
from casaprov.comparison.tables import compare_keywords, in_either
from casaprov.comparison.values import format_value
from casaprov.comparison.verdict import Comparison, Difference, Tolerance, conclude
from casaprov.digests.measurement import Measurement
from casaprov.digests.tree import ColumnLeaf, FitsUnit, TableNode, Tree
from casaprov.errors import DigestError
from casaprov.formats.keywords import decode
from casaprov.hashing import Digest

__all__ = ["compare_trees"]

_NO_VALUES = "the record holds only its digest"
_FAST = "of large columns and files only samples were read, at recording and now"
_UNDECIDED = "the original itself would decide"
_MOST_SHOWN = 2
_NO_KEYWORDS = ["record", {}]


def compare_trees(
    recorded: Mapping[str, Any] | None,
    recorded_digest: Digest | None,
    recorded_bytes: Digest | None,
    now: Measurement,
    tolerance: Tolerance,
) -> Comparison:
    """Compare the record of a product with the measurement of one at hand.

    Parameters
    ----------
    recorded
        Digest tree of the recorded product, as JSON values, if it was kept.
    recorded_digest, recorded_bytes
        Its content digest, and its byte digest if it was a single file.
    now
        The product at hand.
    tolerance
        Tolerance between floating-point values.

    Returns
    -------
    Comparison
        Verdict ``within-tolerance`` says that rows, shapes, types and all that
        is not floating-point are the same, and that the rms of all differences
        and the smallest single one that would have been seen are inside the
        tolerance; ``not-verifiable`` that the sketches do not decide that.
    """
    if recorded_digest is None:
        return Comparison("not-verifiable", (), "its content was not digested when it was recorded")
    if recorded_bytes is not None and recorded_bytes == now.byte_digest:
        return Comparison("identical")
    if recorded_digest == now.content_digest:
        return Comparison("same-content", (), _FAST if now.tier == "fast" else "", tier=now.tier)
    found = [Difference("", f"The content differs; {_NO_VALUES}.")]
    trees = _tree(recorded), _tree(now.tree)
    if trees[0] is not None and trees[1] is not None:
        found = list(_compare(trees[0], trees[1], tolerance))
        found = found or [Difference("", f"The content differs in a part of which {_NO_VALUES}.")]
    compared = conclude(found, tier=now.tier)
    notes = [
        # A sketch limits these verdicts, so they come with what it says.
        _summary(found) if compared.verdict in ("within-tolerance", "not-verifiable") else "",
        _UNDECIDED if compared.verdict == "not-verifiable" else "",
        _FAST if now.tier == "fast" else "",
    ]
    return replace(compared, note="; ".join(filter(None, notes)))


def _summary(found: Sequence[Difference]) -> str:
    undecided_first = sorted(found, key=lambda difference: not difference.undecided)
    parts = [f"{item.path}: {item.what.removesuffix('.')}" for item in undecided_first[:_MOST_SHOWN]]
    more = len(found) - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more else "")


def _tree(data: Mapping[str, Any] | None) -> Tree | None:
    """Read a tree; one that was damaged, or written by a later version, is not there."""
    with suppress(DigestError):
        return None if data is None else Tree.from_json(data)
    return None


def _compare(before: Tree, now: Tree, tolerance: Tolerance) -> Iterator[Difference]:
    if before.kind != now.kind:
        yield Difference("kind", f"This is a {now.kind} instead of a {before.kind}.")
    elif before.table is not None and now.table is not None:
        yield from _compare_nodes(before.table, now.table, tolerance, "")
    elif before.units is not None and now.units is not None:
        yield from _compare_units(before.units, now.units, tolerance)
    elif before.members is not None and now.members is not None:
        yield from _compare_members(before.members, now.members)


def _compare_nodes(before: TableNode, now: TableNode, tolerance: Tolerance, prefix: str) -> Iterator[Difference]:
    """Compare two tables, and their sub-tables with them."""
    if before.digest == now.digest:
        return
    old, new = before.outline, now.outline
    for name, was, is_ in (("type", old.type, new.type), ("subtype", old.subtype, new.subtype)):
        if was != is_:
            yield Difference(
                f"{prefix}{name}", f"The {name} of the table is {format_value(is_)} instead of {format_value(was)}."
            )
    if old.rows != new.rows:
        change = f"{abs(new.rows - old.rows)} {'more' if new.rows > old.rows else 'fewer'}"
        yield Difference(f"{prefix}rows", f"The table has {new.rows} rows instead of {old.rows}, {change}.")
    if old.keywords != new.keywords:
        records = old.keyword_record, new.keyword_record
        yield from _compare_keywords(*records, tolerance, f"{prefix}keywords", "The keywords differ")
    for name in in_either(before.columns, now.columns):
        yield from _compare_columns(before.columns.get(name), now.columns.get(name), name, tolerance, f"{prefix}{name}")
    for name in in_either(before.tables, now.tables):
        was_there, is_there = before.tables.get(name), now.tables.get(name)
        if was_there is not None and is_there is not None:
            yield from _compare_nodes(was_there, is_there, tolerance, f"{prefix}{name}/")
        elif was_there is not None or is_there is not None:
            state = "new" if was_there is None else "missing"
            yield Difference(f"{prefix}{name}", f"The sub-table {name} is {state}.")


def _compare_columns(
    before: ColumnLeaf | None, now: ColumnLeaf | None, name: str, tolerance: Tolerance, path: str
) -> Iterator[Difference]:
    if before is None or now is None:
        yield Difference(path, f"The column {name} is {'new' if before is None else 'missing'}.")
        return
    if before.keywords != now.keywords:
        one, two = (_NO_KEYWORDS if leaf.keywords is None else leaf.keyword_record for leaf in (before, now))
        yield from _compare_keywords(one, two, tolerance, f"{path}/keywords", "The keywords of the column differ")
    if before.type != now.type:
        yield Difference(path, f"The column holds {now.type} instead of {before.type}.")
    elif before.digest != now.digest:
        yield _compare_values(before, now, tolerance, path)


def _compare_keywords(before: Any, now: Any, tolerance: Tolerance, path: str, sentence: str) -> Iterator[Difference]:
    """Compare keywords whose digests differ, one by one if the record holds them."""
    found: list[Difference] = []
    if before is not None and now is not None:
        with suppress(DigestError):
            one, two = decode(before), decode(now)
            if isinstance(one, Mapping) and isinstance(two, Mapping):
                found = list(compare_keywords(one, two, tolerance, path))
    yield from found or [Difference(path, f"{sentence}; {_NO_VALUES}.")]


def _compare_values(before: ColumnLeaf, now: ColumnLeaf, tolerance: Tolerance, path: str) -> Difference:
    """Compare two columns of one type whose digests differ."""
    if before.shapes is not None and now.shapes is not None and before.shapes != now.shapes:
        return Difference(path, "The shapes of the cells differ, or other cells are undefined.")
    if before.samples is not None:
        return compare_sketches(before.samples, now.samples, tolerance, path)
    return compare_sketches(before.sketch, now.sketch, tolerance, path)


def _compare_units(before: Sequence[FitsUnit], now: Sequence[FitsUnit], tolerance: Tolerance) -> Iterator[Difference]:
    if len(before) != len(now):
        yield Difference("hdus", f"The file has {len(now)} HDUs instead of {len(before)}.")
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        path = f"hdu {number}"
        if old.name != new.name:
            yield Difference(path, f"The HDU is named {format_value(new.name)} instead of {format_value(old.name)}.")
        if old.header != new.header:
            yield Difference(f"{path} header", f"The header differs; {_NO_VALUES}.")
        if old.data != new.data:
            yield from _compare_data(old, new, tolerance, f"{path} data")


def _compare_data(before: FitsUnit, now: FitsUnit, tolerance: Tolerance, path: str) -> Iterator[Difference]:
    """Compare the data of two units whose digests differ: tables by column, as far as the record has columns."""
    if before.columns is None or now.columns is None:
        yield compare_sketches(before.sketch, now.sketch, tolerance, path)
        return
    if before.columns == now.columns:
        yield Difference(f"{path}/heap", f"The bytes after the rows differ; {_NO_VALUES}.")
    for name in in_either(before.columns, now.columns):
        old, new = before.columns.get(name), now.columns.get(name)
        yield from _compare_columns(old, new, name, tolerance, f"{path}/{name}")


def _compare_members(before: Mapping[str, Digest], now: Mapping[str, Digest]) -> Iterator[Difference]:
    for name in in_either(before, now):
        if name not in before or name not in now:
            yield Difference(name, f"{name} is {'new' if name in now else 'missing'}.")
        elif before[name] != now[name]:
            yield Difference(name, f"The content of {name} differs; {_NO_VALUES}.")
