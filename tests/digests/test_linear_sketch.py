"""Linear sketches: every number counts once, in its bucket and with its sign, however the stream is cut."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.digests import linear_sketch
from casaprov.digests.linear_sketch import BUCKETS, LinearPart, LinearSketch, LinearSketcher, splitmix64
from casaprov.errors import DigestError

Array = np.ndarray[Any, Any]

TYPES = ("float32", "float64", "complex64", "complex128", "int16", "int32", "uint8", "int64")


def _numbers(count: int, dtype: str, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 30, count)
    return (values + 1j * rng.normal(0, 30, count) if dtype.startswith("complex") else values).astype(dtype)


def _part(values: Array, cuts: tuple[int, ...] = (), first: int = 0) -> LinearPart:
    sketcher = LinearSketcher(first=first)
    for piece in np.split(values, sorted(cuts)):
        sketcher.update(piece)
    return LinearPart.from_json(json.loads(json.dumps(sketcher.part().to_json())))


def _sketch(values: Array, cuts: tuple[int, ...] = ()) -> LinearSketch:
    sketch = LinearSketch.of([_part(values, cuts)])
    assert sketch is not None
    assert LinearSketch.from_json(json.loads(json.dumps(sketch.to_json(), allow_nan=False))) == sketch
    return sketch


def _by_the_page(numbers: Array) -> Array:
    """Sum up numbers as docs/explanation/digests.md says, one by one."""
    place = np.arange(numbers.size, dtype=np.uint64)
    unit, inside = place // 65536, place % 65536
    row, column = inside // 4096, inside % 4096
    hashed = splitmix64(unit)
    rotation, offset, negative = (hashed >> 20) % 4096, hashed % 2**17, hashed >> 63
    bucket = (column + 249 * row + rotation) % 4096
    flipped = splitmix64((offset + inside) % 2**17 + 2**32) >> 63
    signs = np.where(negative == flipped, 1.0, -1.0)
    buckets = np.zeros(4096)
    np.add.at(buckets, bucket.astype(int), signs * numbers.astype(np.float64))
    return buckets


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("count", [4097, 8192, 300_000])
def test_buckets_are_the_documented_sums(dtype: str, count: int) -> None:
    values = _numbers(count, dtype)
    numbers = values.view(f"f{values.itemsize // 2}") if values.dtype.kind == "c" else values
    sketch, expected = _sketch(values), _by_the_page(numbers)
    assert sketch.count == numbers.size
    assert np.abs(sketch.values() - expected).max() <= sketch.step / 2 + 1e-9


def test_golden_buckets_never_change() -> None:
    buckets = _by_the_page(np.arange(70_000.0))
    assert buckets[:6].tolist() == [98374, -106569, -75644, 234437, -36834, 82665]
    assert np.array_equal(_sketch(np.arange(70_000)).values(), buckets)
    assert splitmix64(np.array([0, 1], np.uint64)).tolist() == [16294208416658607535, 10451216379200822465]


@given(st.lists(st.integers(0, 250_000), max_size=5), st.sampled_from(TYPES))
def test_a_stream_has_one_sketch_however_it_is_cut(cuts: list[int], dtype: str) -> None:
    values = _numbers(250_000, dtype)
    assert _sketch(values, tuple(cuts)) == _sketch(values)


@pytest.mark.parametrize("dtype", TYPES)
def test_parts_of_a_stream_join_to_its_sketch(dtype: str) -> None:
    values = _numbers(2**21 + 12_345, dtype)
    if values.dtype.kind in "fc":
        values[[7, 2**20, -1]] = np.nan
        values[[8, 2**20 + 1]] = -np.inf
    parts = [_part(piece, first=first) for first, piece in ((0, values[: 2**20]), (2**20, values[2**20 :]))]
    assert LinearSketch.of(parts) == LinearSketch.of(parts[::-1]) == _sketch(values)


@given(st.integers(1, 4096), st.sampled_from(["float32", "float64", "int32"]))
def test_up_to_4096_numbers_are_kept_as_they_are(count: int, dtype: str) -> None:
    values = _numbers(count, dtype)
    values[::7] = 0 if dtype == "int32" else np.nan
    sketch = _sketch(values)
    assert sketch.is_whole()
    assert np.array_equal(sketch.values(), np.nan_to_num(values))


def test_more_numbers_are_not_kept() -> None:
    assert not _sketch(_numbers(4097, "float32")).is_whole()
    assert not _sketch(_numbers(2049, "complex64")).is_whole()


def test_numbers_that_are_not_finite_are_counted_with_their_kinds_and_places() -> None:
    values = _numbers(100_000, "float32")
    values[70_000] = np.nan
    found = _sketch(values)
    assert (found.count, found.not_finite) == (100_000, 1)
    assert np.isfinite(found.values()).all()
    for place, bad in ((70_001, np.nan), (4464, np.nan), (70_000, np.inf), (70_000, -np.inf)):
        other = _numbers(100_000, "float32")
        other[place] = bad
        assert _sketch(other).not_finite == 1
        assert _sketch(other).places != found.places
    assert _sketch(_numbers(9, "float32")).places == ""
    infinities = np.full(BUCKETS * 2, np.inf)
    infinities[BUCKETS:] = -np.inf
    assert _sketch(infinities).not_finite == infinities.size


def test_a_complex_number_that_is_finite_in_part_counts_in_part() -> None:
    sketch = _sketch(np.array([complex(np.nan, 2), complex(1, np.inf)]))
    assert (sketch.count, sketch.not_finite) == (4, 2)
    assert sketch.values().tolist() == [0, 2, 1, 0]


def test_sums_that_have_no_double_have_no_sketch() -> None:
    assert LinearSketch.of([]) is None
    assert LinearSketch.of([_part(np.zeros(0))]) is None
    assert LinearSketch.of([_part(np.full(2**20, 1.7e308))]) is None
    assert _sketch(np.full(4096, 1.7e308)).values().tolist() == [1.7e308] * 4096


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-40, 1.0, 1e30, 1e300])
def test_sizes_of_any_order_are_kept(size: float) -> None:
    values = np.random.default_rng(1).normal(0, size, 50_000) if size else np.zeros(50_000)
    sketch = _sketch(values)
    rms = np.sqrt(np.mean(np.square(_by_the_page(values) / (size or 1.0))))
    assert np.abs(sketch.values() - _by_the_page(values)).max() / (size or 1.0) <= 2.0**-40 * rms


def test_a_large_integer_is_no_overflow() -> None:
    sketch = _sketch(np.full(100_000, 2**62, np.int64))
    assert np.isfinite(sketch.values()).all()


def test_sketches_take_little_room() -> None:
    assert len(_sketch(_numbers(10**6, "float32")).data) < 22_000
    assert len(_sketch(_numbers(10**6, "float64")).data) < 31_000
    assert len(_sketch(np.zeros(10**6, "float32")).data) < 100
    assert len(_sketch(_numbers(100, "float32")).data) < 1000


def test_two_threads_do_not_share_memory() -> None:
    from concurrent.futures import ThreadPoolExecutor

    values = [_numbers(500_000, "float32", seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_sketch, values)) == [_sketch(value) for value in values]


@pytest.mark.parametrize(
    "change",
    [
        {"stored": "<c8"},
        {"stored": "<f8"},
        {"step": 0.0},
        {"step": float("inf")},
        {"step": -1.0},
        {"count": 0},
        {"count": 1.5},
        {"not_finite": -1},
        {"places": 3},
        {"data": "?"},
        {"data": "A" * 70_000},
        {"data": base64.b64encode(b"no zlib").decode()},
        {"data": base64.b64encode(zlib.compress(bytes(100))).decode()},
        {"data": base64.b64encode(zlib.compress(bytes(2**24))).decode()},
    ],
    ids=repr,
)
def test_a_sketch_of_another_form_is_refused(change: dict[str, Any]) -> None:
    good = _sketch(_numbers(10_000, "float32"))
    with pytest.raises(DigestError):
        LinearSketch.from_json({**good.to_json(), **change}).values()


def test_a_bucket_that_is_not_finite_is_refused() -> None:
    good = _sketch(_numbers(10, "float64"))
    infinite = linear_sketch._packed(np.full(10, np.inf), "<f8")
    with pytest.raises(DigestError, match="not finite"):
        replace(good, data=infinite).values()


@pytest.mark.parametrize(
    "change",
    [
        {"places": ["x", "y"]},
        {"places": ["1"]},
        {"count": None},
        {"count": 9_999},
        {"numbers": "?", "sums": None},
        {"sums": None},
        {"sums": ["AAAA", "AAAA"], "numbers": None},
        {"first": -1},
    ],
    ids=repr,
)
@pytest.mark.parametrize("count", [10, 10_000])
def test_a_part_of_another_form_is_refused(change: dict[str, Any], count: int) -> None:
    good = LinearSketcher()
    good.update(_numbers(count, "float32"))
    if change == {"count": 9_999} and count > BUCKETS:
        return
    if change == {"sums": None} and count <= BUCKETS:
        return
    with pytest.raises(DigestError):
        LinearPart.from_json({**good.part().to_json(), **change})


def test_short_parts_join_to_a_short_or_a_long_stream() -> None:
    for count in (3000, 5000):
        values = _numbers(count, "float64")
        values[[1, 2999]] = np.nan
        cuts = (1000, 2000)
        parts = [_part(piece, first=first) for first, piece in zip((0, *cuts), np.split(values, cuts), strict=True)]
        joined, whole = LinearSketch.of(parts), _sketch(values)
        assert joined is not None
        assert (joined.places, joined.not_finite, joined.step) == (whole.places, 2, whole.step)
        assert np.abs(joined.values() - whole.values()).max() <= whole.step
