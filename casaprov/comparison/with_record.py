"""Comparing a product with its record, where the original itself is not at hand.

A record holds the digest of each column and a sketch of its numbers. The
digests say which columns differ; the sketches say by how much, as far as some
hundred samples and a few statistics can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from casaprov.comparison.tables import in_either
from casaprov.comparison.values import format_value
from casaprov.comparison.verdict import Comparison, Difference, Tolerance, conclude
from casaprov.digests.measurement import Measurement
from casaprov.digests.sketch import Sample, Sketch
from casaprov.digests.tree import ColumnLeaf, FitsUnit, TableNode, Tree
from casaprov.errors import DigestError
from casaprov.hashing import Digest

__all__ = ["compare_trees"]

_NO_VALUES = "the record holds no more of it than its digest"
_FAST = "of large columns and files only samples were read, at recording and now"
_SAMPLED = "where values differ, only samples and statistics of them were compared"

Gap = tuple[float, float]
"""Absolute and relative difference of two numbers."""


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
        is not floating-point are the same, and that samples and statistics of
        the values agree; the note says so.
    """
    if recorded_digest is None:
        return Comparison("not-verifiable", (), "its content was not digested when it was recorded")
    if recorded_bytes is not None and recorded_bytes == now.byte_digest:
        return Comparison("identical")
    if recorded_digest == now.content_digest:
        return Comparison("same-content", (), _FAST if now.tier == "fast" else "", tier=now.tier)
    found = [Difference("", f"The content is another one; {_NO_VALUES}.")]
    trees = _tree(recorded), _tree(now.tree)
    if trees[0] is not None and trees[1] is not None:
        found = list(_compare(trees[0], trees[1], tolerance))
        found = found or [Difference("", f"The content is another one, in a part of which {_NO_VALUES}.")]
    notes = [_SAMPLED if any(item.max_rel is not None for item in found) else "", _FAST if now.tier == "fast" else ""]
    return conclude(found, "; ".join(filter(None, notes)), tier=now.tier)


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
        yield Difference(f"{prefix}keywords", f"The keywords are others; {_NO_VALUES}.")
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
        yield Difference(f"{path}/keywords", f"The keywords of the column are others; {_NO_VALUES}.")
    if before.type != now.type:
        yield Difference(path, f"The column holds {now.type} instead of {before.type}.")
    elif before.digest != now.digest and before.samples is not None:
        yield _compare_sketches(before.samples, now.samples, tolerance, path)
    elif before.digest != now.digest:
        yield _compare_sketches(before.sketch, now.sketch, tolerance, path)


def _compare_units(before: Sequence[FitsUnit], now: Sequence[FitsUnit], tolerance: Tolerance) -> Iterator[Difference]:
    if len(before) != len(now):
        yield Difference("hdus", f"The file has {len(now)} HDUs instead of {len(before)}.")
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        path = f"hdu {number}"
        if old.name != new.name:
            yield Difference(path, f"The HDU is named {format_value(new.name)} instead of {format_value(old.name)}.")
        if old.header != new.header:
            yield Difference(f"{path} header", f"The header is another one; {_NO_VALUES}.")
        if old.data != new.data:
            yield from _compare_data(old, new, tolerance, f"{path} data")


def _compare_data(before: FitsUnit, now: FitsUnit, tolerance: Tolerance, path: str) -> Iterator[Difference]:
    """Compare the data of two units whose digests differ: tables by column, as far as the record has columns."""
    if before.columns is None or now.columns is None:
        yield _compare_sketches(before.sketch, now.sketch, tolerance, path)
        return
    if before.columns == now.columns:
        yield Difference(f"{path}/heap", f"The bytes that follow the rows are others; {_NO_VALUES}.")
    for name in in_either(before.columns, now.columns):
        old, new = before.columns.get(name), now.columns.get(name)
        yield from _compare_columns(old, new, name, tolerance, f"{path}/{name}")


def _compare_members(before: Mapping[str, Digest], now: Mapping[str, Digest]) -> Iterator[Difference]:
    for name in in_either(before, now):
        if name not in before or name not in now:
            yield Difference(name, f"{name} is {'new' if name in now else 'missing'}.")
        elif before[name] != now[name]:
            yield Difference(name, f"The content of {name} is another one; {_NO_VALUES}.")


def _compare_sketches(before: Sketch | None, now: Sketch | None, tolerance: Tolerance, path: str) -> Difference:
    """Say how far apart two columns are whose digests are known to differ."""
    if before is None or now is None:
        return Difference(path, f"The values are others; {_NO_VALUES}.")
    if before.count != now.count:
        return Difference(path, f"There are {now.count} values instead of {before.count}.")
    gaps = [_gap(a, b) for a, b in zip(before.samples, now.samples, strict=True)]
    differing = sum(gap != (0.0, 0.0) for gap in gaps)
    known = [gap for gap in gaps if gap is not None]
    max_abs, max_rel = (max((gap[i] for gap in known), default=0.0) for i in (0, 1))
    statistics = _statistics(before, now)
    within = (
        # Samples of integers are integers in JSON too; those are never tolerated to differ.
        not any(isinstance(value, int) for value in before.samples)
        and bool(gaps)
        and before.nan == now.nan
        and None not in gaps
        and None not in statistics.values()
        and all(tolerance.covers(*gap) for gap in (*known, *(gap for gap in statistics.values() if gap is not None)))
    )
    text = f"The values differ: {differing} of {len(gaps)} samples, by at most {max_abs:.3g}, relatively {max_rel:.3g}"
    if before.nan != now.nan:
        text += f"; {now.nan} values instead of {before.nan} are not finite"
    was, is_ = _numbers_of(before), _numbers_of(now)
    for name, gap in statistics.items():
        if gap != (0.0, 0.0):
            text += f"; {name} is {_number_change(was.get(name), is_.get(name))}"
    return Difference(path, f"{text}.", None, before.count, max_abs, max_rel, within)


def _numbers_of(sketch: Sketch) -> dict[str, float | None]:
    """Return the statistics of a sketch by name."""
    numbers = {"min": sketch.min, "max": sketch.max, "mean": sketch.mean, "rms": sketch.rms}
    if sketch.means is not None:
        numbers["mean_re"], numbers["mean_im"] = sketch.means
    return numbers


def _statistics(before: Sketch, now: Sketch) -> dict[str, Gap | None]:
    """Return the gaps of the statistics by name."""
    was, is_ = _numbers_of(before), _numbers_of(now)
    size = max(abs(before.rms or 0.0), abs(now.rms or 0.0))
    gaps: dict[str, Gap | None] = {}
    for name in was | is_:
        gap = _gap(was.get(name), is_.get(name))
        if gap is not None and name.startswith("mean") and size:
            # Values of both signs cancel in a mean; it can be expected to
            # agree to a part of their rms, not of itself.
            gap = (gap[0], gap[0] / size)
        gaps[name] = gap
    return gaps


def _gap(before: Sample, now: Sample) -> Gap | None:
    """Return the difference of two numbers or pairs; None if only one of them is finite."""
    if before is None or now is None:
        return (0.0, 0.0) if before is now else None
    one, two = (complex(*value) if isinstance(value, tuple) else value for value in (before, now))
    apart, size = abs(one - two), max(abs(one), abs(two))
    if not math.isfinite(apart):
        return None
    return (float(apart), float(apart / size) if size else 0.0)


def _number_change(before: float | None, now: float | None) -> str:
    """Write two statistics with six digits, or with all if those are the same."""
    old, new = ("none" if value is None else f"{value:.6g}" for value in (before, now))
    return f"{new} instead of {old}" if new != old else f"{now!r} instead of {before!r}"
