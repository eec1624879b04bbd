"""Comparing a product with its record, where the original itself is not at hand.

A record holds the digest of each column and a sketch of its numbers. The
digests say which columns differ; the sketches say by how much, as far as some
hundred samples and a few statistics can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from casaprov.comparison.tables import in_either
from casaprov.comparison.values import told
from casaprov.comparison.verdict import Comparison, Difference, Tolerance, conclude
from casaprov.digests.measurement import Measurement
from casaprov.hashing import Digest

__all__ = ["compare_trees"]

Tree = Mapping[str, Any]

_NO_VALUES = "the record holds no more of it than its digest"
_FAST = "of large columns and files only samples were read, at recording and now"
_SAMPLED = "where values differ, only samples and statistics of them were compared"


def compare_trees(
    recorded: Tree | None,
    recorded_digest: Digest | None,
    recorded_bytes: Digest | None,
    now: Measurement,
    tolerance: Tolerance,
) -> Comparison:
    """Compare what was recorded of a product with what a product measures now.

    Parameters
    ----------
    recorded
        Digest tree (``casaprov/tree/1``) of the recorded product, if it was kept.
    recorded_digest, recorded_bytes
        Its content digest, and its byte digest if it was a single file.
    now
        The product at hand.
    tolerance
        What is tolerated between floating-point values.

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
    if recorded is not None and now.tree is not None:
        found = list(_compare(recorded, now.tree, tolerance))
        found = found or [Difference("", f"The content is another one, in a part of which {_NO_VALUES}.")]
    notes = [_SAMPLED if any(item.max_rel is not None for item in found) else "", _FAST if now.tier == "fast" else ""]
    return conclude(found, "; ".join(filter(None, notes)), tier=now.tier)


def _compare(before: Tree, now: Tree, tolerance: Tolerance) -> Iterator[Difference]:
    if before["kind"] != now["kind"]:
        yield Difference("kind", f"This is a {now['kind']} instead of a {before['kind']}.")
    elif "table" in before:
        yield from _compare_nodes(before["table"], now["table"], tolerance, "")
    elif "hdus" in before:
        yield from _compare_hdus(before["hdus"], now["hdus"], tolerance)
    elif "members" in before:
        yield from _compare_members(before["members"], now["members"])


def _compare_nodes(before: Tree, now: Tree, tolerance: Tolerance, prefix: str) -> Iterator[Difference]:
    """Compare two tables, and their sub-tables with them."""
    if before["digest"] == now["digest"]:
        return
    for what in ("type", "subtype"):
        if before[what] != now[what]:
            yield Difference(
                f"{prefix}{what}", f"The {what} of the table is {told(now[what])} instead of {told(before[what])}."
            )
    if before["rows"] != now["rows"]:
        change = f"{abs(now['rows'] - before['rows'])} {'more' if now['rows'] > before['rows'] else 'fewer'}"
        yield Difference(f"{prefix}rows", f"The table has {now['rows']} rows instead of {before['rows']}, {change}.")
    if before["keywords"] != now["keywords"]:
        yield Difference(f"{prefix}keywords", f"The keywords are others; {_NO_VALUES}.")
    for name in in_either(before["columns"], now["columns"]):
        old, new = before["columns"].get(name), now["columns"].get(name)
        if old is None or new is None:
            yield Difference(f"{prefix}{name}", f"The column {name} is {'new' if old is None else 'missing'}.")
        elif old["digest"] != new["digest"] or old.get("keywords") != new.get("keywords"):
            yield from _compare_columns(old, new, tolerance, f"{prefix}{name}")
    for name in in_either(before["tables"], now["tables"]):
        old, new = before["tables"].get(name), now["tables"].get(name)
        if old is None and new is None:
            continue
        if old is None or new is None:
            yield Difference(f"{prefix}{name}", f"The sub-table {name} is {'new' if old is None else 'missing'}.")
        else:
            yield from _compare_nodes(old, new, tolerance, f"{prefix}{name}/")


def _compare_columns(before: Tree, now: Tree, tolerance: Tolerance, path: str) -> Iterator[Difference]:
    if before.get("keywords") != now.get("keywords"):
        yield Difference(f"{path}/keywords", f"The keywords of the column are others; {_NO_VALUES}.")
    if before["type"] != now["type"]:
        yield Difference(path, f"The column holds {now['type']} instead of {before['type']}.")
    elif before["digest"] != now["digest"]:
        what = "samples" if "samples" in before else "sketch"
        yield _compare_sketches(before.get(what), now.get(what), tolerance, path)


def _compare_hdus(before: Sequence[Tree], now: Sequence[Tree], tolerance: Tolerance) -> Iterator[Difference]:
    if len(before) != len(now):
        yield Difference("hdus", f"The file has {len(now)} HDUs instead of {len(before)}.")
    for number, (old, new) in enumerate(zip(before, now, strict=False)):
        path = f"hdu {number}"
        if old["name"] != new["name"]:
            yield Difference(path, f"The HDU is named {told(new['name'])} instead of {told(old['name'])}.")
        if old["header"] != new["header"]:
            yield Difference(f"{path} header", f"The header is another one; {_NO_VALUES}.")
        if old["data"] != new["data"]:
            yield from _compare_data(old, new, tolerance, f"{path} data")


def _compare_data(before: Tree, now: Tree, tolerance: Tolerance, path: str) -> Iterator[Difference]:
    """Compare the data of two units whose digests differ: tables by column, as far as the record has columns."""
    if "columns" not in before or "columns" not in now:
        yield _compare_sketches(before.get("sketch"), now.get("sketch"), tolerance, path)
        return
    same = True
    for name in in_either(before["columns"], now["columns"]):
        old, new = before["columns"].get(name), now["columns"].get(name)
        if old == new:
            continue
        same = False
        if old is None or new is None:
            yield Difference(f"{path}/{name}", f"The column {name} is {'new' if old is None else 'missing'}.")
        else:
            yield from _compare_columns(old, new, tolerance, f"{path}/{name}")
    if same:
        yield Difference(f"{path}/heap", f"What follows the rows is something else; {_NO_VALUES}.")


def _compare_members(before: Tree, now: Tree) -> Iterator[Difference]:
    for name in in_either(before, now):
        if name not in before or name not in now:
            yield Difference(name, f"{name} is {'new' if name in now else 'missing'}.")
        elif before[name] != now[name]:
            yield Difference(name, f"The content of {name} is another one; {_NO_VALUES}.")


def _compare_sketches(before: Tree | None, now: Tree | None, tolerance: Tolerance, path: str) -> Difference:
    """Say how far apart two columns are whose digests are known to differ."""
    if before is None or now is None:
        return Difference(path, f"The values are others; {_NO_VALUES}.")
    if before["count"] != now["count"]:
        return Difference(path, f"There are {now['count']} values instead of {before['count']}.")
    gaps = [_gap(a, b) for a, b in zip(before["samples"], now["samples"], strict=True)]
    differing = sum(gap != (0.0, 0.0) for gap in gaps)
    known = [gap for gap in gaps if gap is not None]
    max_abs, max_rel = (max((gap[i] for gap in known), default=0.0) for i in (0, 1))
    statistics = _statistics(before, now)
    within = (
        # Samples of integers are integers in JSON too; those are never tolerated to differ.
        not any(isinstance(value, int) for value in before["samples"])
        and bool(gaps)
        and before["nan"] == now["nan"]
        and None not in gaps
        and None not in statistics.values()
        and all(tolerance.covers(*gap) for gap in (*known, *(gap for gap in statistics.values() if gap is not None)))
    )
    what = f"The values differ: {differing} of {len(gaps)} samples, by at most {max_abs:.3g}, relatively {max_rel:.3g}"
    if before["nan"] != now["nan"]:
        what += f"; {now['nan']} values instead of {before['nan']} are not finite"
    for name, gap in statistics.items():
        if gap != (0.0, 0.0):
            what += f"; {name} is {_numbers(before[name], now[name])}"
    return Difference(path, f"{what}.", None, before["count"], max_abs, max_rel, within)


def _statistics(before: Tree, now: Tree) -> dict[str, tuple[float, float] | None]:
    """Gaps of the statistics by name."""
    size = max(abs(before["rms"] or 0.0), abs(now["rms"] or 0.0))
    gaps: dict[str, tuple[float, float] | None] = {}
    for name in ("min", "max", "mean", "rms", "mean_re", "mean_im"):
        if name in before or name in now:
            gap = _gap(before.get(name), now.get(name))
            if gap is not None and name.startswith("mean") and size:
                # Values of both signs cancel in a mean; it can be expected to
                # agree to a part of their rms, not of itself.
                gap = (gap[0], gap[0] / size)
            gaps[name] = gap
    return gaps


def _gap(before: Any, now: Any) -> tuple[float, float] | None:
    """Absolute and relative difference of two numbers or pairs; None if only one of them is finite."""
    if before is None or now is None:
        return (0.0, 0.0) if before is now else None
    one, two = (complex(*value) if isinstance(value, list | tuple) else value for value in (before, now))
    apart, size = abs(one - two), max(abs(one), abs(two))
    if not math.isfinite(apart):
        return None
    return (float(apart), float(apart / size) if size else 0.0)


def _numbers(before: float | None, now: float | None) -> str:
    """Two statistics with six digits, or with all if those are the same."""
    old, new = ("none" if value is None else f"{value:.6g}" for value in (before, now))
    return f"{new} instead of {old}" if new != old else f"{now!r} instead of {before!r}"
