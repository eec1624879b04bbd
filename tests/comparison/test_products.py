"""The rules of comparison: what counts as the same, what is tolerated, and the sentences that state it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from casaprov.comparison.products import Comparison, Difference, Tolerance, compare_paths, compare_trees
from casaprov.comparison.tables import compare_columns, compare_keywords
from casaprov.comparison.values import Tally, distances, format_change, same_bits
from casaprov.digests.measurement import Measurement
from casaprov.digests.table import table_node
from casaprov.digests.tree import Tree
from casaprov.errors import UsageError
from casaprov.formats.tables import Block, Column, Runs, Storage, Table
from casaprov.hashing import Digest, digest_bytes
from casaprov.readers.blocks import blocks, runs, stretch

ARRAYS = st.one_of(
    *(
        hnp.arrays(dtype, st.integers(1, 30))
        for dtype in (np.float32, np.float64, np.complex64, np.complex128, np.int32, np.int64, np.uint8, np.bool_)
    )
)
FINITE = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


class Memory:
    """A table in memory with one column V; the cells of a row may have any shape or none."""

    def __init__(self, cells: list[np.ndarray[Any, Any] | None], kind: Any = "float64") -> None:
        self.path = Path("memory")
        self.type = self.subtype = ""
        self.rows = len(cells)
        self.keywords: Mapping[str, Any] = {}
        self.columns: Mapping[str, Column] = {"V": Column("V", kind, -1)}
        self._cells = cells

    def blocks(self, column: str, *, max_bytes: int) -> Iterator[Block]:
        # Far smaller blocks than asked for, so that a few values fill several of them.
        return blocks(self, self.columns[column], self.rows, max_bytes=min(max_bytes, 40))

    def runs(self, column: str) -> Runs:
        return runs(self, self.columns[column], self.rows)

    def stretch(
        self, column: str, runs: Runs, first_row: int, first: int, count: int, *, max_bytes: int
    ) -> Iterator[np.ndarray[Any, Any]]:
        return stretch(self, self.columns[column], runs, first_row, first, count, max_bytes=min(max_bytes, 40))

    def storage(self) -> Mapping[str, Storage]:
        return {}

    def close(self) -> None:
        pass

    def manager(self, column: str) -> str:
        return ""

    def common_shape(self, column: str) -> None:
        return None

    def cell(self, column: Column, row: int) -> np.ndarray[Any, Any]:
        return self._one(row)

    def defined(self, column: str, first: int, count: int) -> list[bool]:
        return [cell is not None for cell in self._cells[first : first + count]]

    def shapes(self, column: str, first: int, count: int) -> Runs | None:
        found = [(1, cell.shape[::-1]) for cell in self._cells[first : first + count] if cell is not None]
        return [*found] if len(found) == count else None

    def values(
        self, column: Column, first: int, count: int, shape: tuple[int, ...], out: np.ndarray[Any, Any] | None = None
    ) -> np.ndarray[Any, Any]:
        return np.stack([self._one(row) for row in range(first, first + count)])

    def part(self, column: Column, row: int, start: tuple[int, ...], stop: tuple[int, ...]) -> np.ndarray[Any, Any]:
        where = tuple(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True))
        return np.ascontiguousarray(self._one(row)[where])

    def record(self, column: str, row: int) -> Mapping[str, Any]:
        raise NotImplementedError

    def _one(self, row: int) -> np.ndarray[Any, Any]:
        cell = self._cells[row]
        assert cell is not None
        return cell


class MemoryReader:
    """Reads one table in memory, whatever the path."""

    name = "memory"

    def __init__(self, table: Memory) -> None:
        self._table = table

    def open(self, path: Path) -> Table:
        return self._table


CELLS = st.lists(
    st.one_of(
        st.none(),
        hnp.arrays(
            np.float64, st.sampled_from([(1,), (4,), (2, 2), (3, 7)]), elements=st.sampled_from([0.0, 1.0, 2.5])
        ),
    ),
    max_size=8,
)


def compared(left: Memory, right: Memory, tolerance: Tolerance | None = None) -> Difference | None:
    found = list(compare_columns(left, right, "V", tolerance or Tolerance()))
    assert len(found) <= 1
    return found[0] if found else None


def measured(table: Memory) -> Measurement:
    node = table_node(Path("memory"), MemoryReader(table))
    tree = json.loads(json.dumps(Tree("Table", table=node).to_json()))
    return Measurement(kind="Table", content_digest=node.digest, size_bytes=0, tree=tree)


def recorded(before: Memory, now: Memory, tolerance: Tolerance | None = None) -> Comparison:
    record = measured(before)
    return compare_trees(record.tree, record.content_digest, None, measured(now), tolerance or Tolerance())


@given(ARRAYS)
def test_an_array_is_the_same_as_itself(values: np.ndarray[Any, Any]) -> None:
    assert same_bits(values, values.copy()).all()


@given(ARRAYS, st.data())
def test_one_flipped_bit_is_one_difference(values: np.ndarray[Any, Any], data: st.DataObject) -> None:
    other = values.copy()
    place = data.draw(st.integers(0, values.size - 1))
    if values.dtype == np.bool_:
        other[place] = not other[place]
    else:
        stored = other.view(np.uint8)
        stored[place * values.itemsize + data.draw(st.integers(0, values.itemsize - 1))] ^= 1
    tally = Tally(Tolerance())
    tally.add(values, other, lambda index: f"at {index}")
    difference = tally.difference("V")
    assert difference is not None
    assert (difference.cells, difference.of, difference.within) == (1, values.size, False)
    assert f"first at {place}: " in difference.what


def test_nan_is_the_same_as_the_same_nan_and_zero_is_not_minus_zero() -> None:
    left = np.array([np.nan, 0.0, 1.0, np.nan, np.nan])
    right = np.array([np.nan, -0.0, 1.0, 1.0, -np.nan])
    assert same_bits(left, right).tolist() == [True, False, True, False, False]
    pair = np.array([complex(np.nan, 1), complex(np.nan, 1)])
    assert same_bits(pair, np.array([complex(np.nan, 1), complex(np.nan, 2)])).tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_the_bits_of_a_nan_count_as_they_do_in_digests_and_any_tolerance_covers_them(dtype: str) -> None:
    one = np.array([np.nan, 1, 2], dtype)
    other = one.copy()
    other.view(np.uint8)[0] ^= 1  # the payload
    assert np.isnan(other[0])
    for tolerance, within in ((Tolerance(), False), (Tolerance(rtol=1e-9), True)):
        tally = Tally(tolerance)
        tally.add(one, other, lambda index: f"at {index}")
        difference = tally.difference("V")
        assert difference is not None
        assert (difference.cells, difference.within) == (1, within)
        assert "1 of them only in the bits of a NaN" in difference.what
        assert "not finite" not in difference.what
    pair = (np.array([complex(np.nan, 1)]), np.array([complex(-np.nan, 2)]))
    tally = Tally(Tolerance(rtol=1e9))
    tally.add(*pair, str)
    difference = tally.difference("V")
    assert difference is not None
    assert not difference.within


@given(FINITE, FINITE)
def test_tolerance_is_the_rule_of_isclose(left: float, right: float) -> None:
    apart, relative = distances(np.array([left]), np.array([right]))
    limit = float(relative[0])
    assert 0 <= limit <= 2
    for rtol in (limit, limit / 2):
        tally = Tally(Tolerance(rtol=rtol))
        tally.add(np.array([left]), np.array([right]), str)
        difference = tally.difference("V")
        if difference is not None:
            assert difference.within == (rtol == limit and limit > 0)
            assert difference.max_abs == apart[0]
    if math.isfinite(left - right) and limit:
        assert math.isclose(left, right, rel_tol=limit * (1 + 1e-12))
        assert not math.isclose(left, right, rel_tol=limit * (1 - 1e-12))


@given(st.floats(1e-300, 1e300))
def test_absolute_tolerance_holds_at_its_boundary_and_not_below(atol: float) -> None:
    for tolerated, within in ((atol, True), (math.nextafter(atol, 0), False)):
        tally = Tally(Tolerance(atol=tolerated))
        tally.add(np.zeros(1), np.array([atol]), str)
        difference = tally.difference("V")
        assert difference is not None
        assert difference.within is within


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_integers_are_subtracted_exactly_and_never_tolerated(left: int, right: int) -> None:
    tally = Tally(Tolerance(rtol=2, atol=2.0**64))
    tally.add(np.array([left]), np.array([right]), str)
    difference = tally.difference("V")
    if left == right:
        assert difference is None
    else:
        assert difference is not None
        assert difference.max_abs == float(abs(left - right))
        assert not difference.within


def test_what_is_not_finite_on_one_side_is_never_tolerated() -> None:
    tally = Tally(Tolerance(rtol=1, atol=1e300))
    tally.add(np.array([1.0, np.inf]), np.array([np.nan, 1.0]), str)
    difference = tally.difference("V")
    assert difference is not None
    assert (difference.within, difference.max_abs) == (False, None)
    assert "2 of them are not finite on one side" in difference.what


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(UsageError, match="no relative tolerance"):
        Tolerance(rtol=bad)
    with pytest.raises(UsageError, match="no absolute tolerance"):
        Tolerance(atol=bad)


@given(CELLS)
def test_a_column_of_any_shapes_is_the_same_as_itself(cells: list[np.ndarray[Any, Any] | None]) -> None:
    assert compared(Memory(cells), Memory(list(cells))) is None
    assert recorded(Memory(cells), Memory(list(cells))).verdict == "same-content"


@given(CELLS, CELLS)
def test_columns_are_compared_cell_by_cell(
    left: list[np.ndarray[Any, Any] | None], right: list[np.ndarray[Any, Any] | None]
) -> None:
    difference = compared(Memory(left), Memory(right))
    pairs = list(zip(left, right, strict=False))
    shaped = [(a, b) for a, b in pairs if a is not None and b is not None and a.shape == b.shape]
    reshaped = len(pairs) - len(shaped) - sum(a is None and b is None for a, b in pairs)
    differing = sum(int(np.count_nonzero(a != b)) for a, b in shaped)
    if not differing and not reshaped:
        assert difference is None
    else:
        assert difference is not None
        assert (difference.cells, difference.of) == (differing, sum(a.size for a, _ in shaped))
        assert ("another shape" in difference.what) == bool(reshaped)


@given(CELLS, CELLS)
def test_record_and_original_lead_to_the_same_verdict(
    left: list[np.ndarray[Any, Any] | None], right: list[np.ndarray[Any, Any] | None]
) -> None:
    differs = compared(Memory(left), Memory(right)) is not None or len(left) != len(right)
    assert recorded(Memory(left), Memory(right)).verdict == ("differs" if differs else "same-content")


@given(hnp.arrays(np.float64, st.integers(1, 400), elements=st.floats(0.5, 2)), st.floats(1e-9, 1e-3))
def test_a_record_tolerates_what_the_original_would(values: np.ndarray[Any, Any], rtol: float) -> None:
    before, now = Memory([values]), Memory([values * (1 + rtol / 2)])
    difference = compared(before, now, Tolerance(rtol))
    assert difference is not None
    assert difference.within
    found = recorded(before, now, Tolerance(rtol))
    assert found.verdict == "within-tolerance"
    assert f"V: {values.size} of {values.size} values differ" in found.note
    assert recorded(before, now, Tolerance(rtol / 4)).verdict == "differs"


def test_a_record_does_not_tolerate_other_rows_or_integers() -> None:
    before = Memory([np.ones(3), np.ones(3)])
    assert recorded(before, Memory([np.ones(3)]), Tolerance(1, 1)).verdict == "differs"
    counted = Memory([np.arange(3, dtype=np.int32)], "int32")
    assert recorded(counted, Memory([np.arange(1, 4, dtype=np.int32)], "int32"), Tolerance(2, 9)).verdict == "differs"


def test_a_record_does_not_tolerate_other_shapes() -> None:
    before, now = Memory([np.ones((2, 3)), None]), Memory([np.ones((3, 2)), None])
    compared_shapes = recorded(before, now, Tolerance(1, 1))
    assert compared_shapes.verdict == "differs"
    assert "The shapes of the cells differ" in compared_shapes.differences[0].what


def test_without_a_record_there_is_a_reason() -> None:
    digest, other = digest_bytes(b"a"), digest_bytes(b"b")
    now = Measurement(kind="File", content_digest=digest, byte_digest=digest, size_bytes=1)
    missing = compare_trees(None, None, None, now, Tolerance())
    assert (missing.verdict, missing.note) == ("not-verifiable", "its content was not digested when it was recorded")
    assert compare_trees(None, digest, digest, now, Tolerance()) == Comparison("identical")
    assert compare_trees(None, digest, None, now, Tolerance()) == Comparison("same-content")
    assert compare_trees(None, Digest(other), other, now, Tolerance(1, 1)).verdict == "differs"


def files(folder: Path, left: bytes, right: bytes) -> Comparison:
    (folder / "left").write_bytes(left)
    (folder / "right").write_bytes(right)
    return compare_paths(folder / "left", folder / "right", reader=MemoryReader(Memory([])))


def test_files_with_the_same_bytes_are_identical(tmp_path: Path) -> None:
    assert files(tmp_path, b"a\xff\0", b"a\xff\0") == Comparison("identical")
    assert files(tmp_path, b"", b"") == Comparison("identical")


def test_text_is_compared_by_lines_and_only_the_first_are_shown(tmp_path: Path) -> None:
    left, right = (b"".join(b"%d %s\n" % (n, side) for n in range(25)) for side in (b"left", b"right"))
    differences = files(tmp_path, left, right + b"more").differences
    assert [item.path for item in differences] == [*(f"line {n}" for n in range(1, 11)), "lines"]
    assert differences[0].what == r"The line is '0 right\n' instead of '0 left\n'."
    assert differences[-1].what == "26 of 26 lines differ; the first 10 are shown."
    (only,) = files(tmp_path, b"one\n", b"one\ntwo\n").differences
    assert only.what == r"The line is 'two\n' instead of missing."


def test_other_files_are_compared_by_bytes(tmp_path: Path) -> None:
    (difference,) = files(tmp_path, b"\0\1\2\3", b"\0\1\3\2\4").differences
    assert (difference.path, difference.cells, difference.of) == ("bytes", 2, 4)
    assert difference.what == "2 of 4 bytes differ, the first at offset 2; the file has 5 bytes instead of 4."


def test_links_are_not_followed_out_of_a_directory(tmp_path: Path) -> None:
    for side, target in (("left", "/nowhere/a"), ("right", "/nowhere/b")):
        (tmp_path / side).mkdir()
        (tmp_path / side / "link").symlink_to(target)
    (difference,) = compare_paths(tmp_path / "left", tmp_path / "right", reader=MemoryReader(Memory([]))).differences
    assert (difference.path, difference.what) == ("link", "The link leads to /nowhere/b instead of /nowhere/a.")


def test_a_missing_path_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing at .*gone"):
        compare_paths(tmp_path, tmp_path / "gone", reader=MemoryReader(Memory([])))


def test_a_comparison_is_json(tmp_path: Path) -> None:
    values = json.loads(json.dumps(asdict(files(tmp_path, b"\0\1", b"\0\2")), allow_nan=False))
    assert values["verdict"] == "differs"
    assert values["differences"][0]["cells"] == 1


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (np.array([2.65290163, 0.5]), np.array([2.652901631, 0.5]), "2.652901631 instead of 2.65290163 at [0]"),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [5.0, 4.0]]), "5.0 instead of 3.0 at [0, 1]"),
        (["a", "b"], ["a", "c"], "'c' instead of 'b' at [1]"),
        (np.zeros(5), np.ones(5),
         "1.0 instead of 0.0 at [0], 1.0 instead of 0.0 at [1], 1.0 instead of 0.0 at [2] and 2 more of 5"),
        (np.array([1.0]), np.array([1.0, 2.0]), "[1. 2.] instead of [1.]"),
        ("x" * 100 + "1", "x" * 100 + "2", "…" + "x" * 20 + "2' instead of …" + "x" * 20 + "1'"),
        (1, "1", "'1' instead of 1"),
        (np.float64(0.1), np.float64(0.1) + 1e-16, "0.1000000000000001 instead of 0.1"),
    ],
)  # fmt: skip
def test_values_that_differ_are_told_apart(before: Any, now: Any, expected: str) -> None:
    assert format_change(before, now) == expected


def test_keywords_that_differ_in_late_digits_are_told_with_these() -> None:
    before, now = {"crval": np.array([2.65290163, 0.1])}, {"crval": np.array([2.65290163 + 1e-9, 0.1])}
    (difference,) = compare_keywords(before, now, Tolerance(), "keywords")
    assert difference.what == "The keyword is 2.652901631 instead of 2.65290163 at [0]."


def test_statistics_that_differ_in_late_digits_are_told_with_these() -> None:
    values = np.linspace(0, 1.23456789, 5000)
    (difference,) = recorded(Memory([values]), Memory([np.minimum(values, 1.23456788)])).differences
    assert "max is 1.23456788 instead of 1.23456789" in difference.what
