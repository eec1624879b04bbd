"""Sketches: samples that can be compared, statistics that are right."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.digests.sketch import MAX_SAMPLES, Sketch, Sketcher, SketchPart, sample_places


def _sketch(values: np.ndarray[Any, Any], cuts: tuple[int, ...] = ()) -> dict[str, Any]:
    sketcher = Sketcher()
    for part in np.split(values, sorted(cuts)):
        sketcher.update(part)
    sketch = sketcher.sketch()
    found = json.loads(json.dumps(sketch.to_json(), allow_nan=False))
    assert Sketch.from_json(found) == sketch
    assert isinstance(found, dict)
    return found


@given(st.integers(0, 5000), st.lists(st.integers(0, 5000), max_size=6))
def test_samples_do_not_depend_on_how_the_stream_is_cut(count: int, cuts: list[int]) -> None:
    values = np.arange(count)
    inside = tuple(min(cut, count) for cut in cuts)
    assert _sketch(values, inside)["samples"] == sample_places(count).tolist()


@given(st.integers(1, 2**40))
def test_samples_are_spread_over_the_whole_stream(count: int) -> None:
    places = sample_places(count)
    stratum = 1 << max(0, (count - 1).bit_length() - 8)
    assert MAX_SAMPLES // 2 <= len(places) <= MAX_SAMPLES or len(places) >= min(count, MAX_SAMPLES // 2) - 1
    assert (places // stratum).tolist() == list(range(len(places)))
    assert count - places[-1] <= 2 * stratum if len(places) else count == 0


def test_samples_are_nested() -> None:
    for level in range(9, 30):
        fewer, more = sample_places(2 ** (level + 1)), sample_places(2**level)
        assert set(fewer[: MAX_SAMPLES // 2].tolist()) <= set(more.tolist())


@pytest.mark.parametrize("period", [2, 4, 63, 64, 256])
def test_samples_see_all_channels_and_correlations(period: int) -> None:
    phases = np.bincount(sample_places(2**24) % period, minlength=min(period, 16))
    assert np.count_nonzero(phases) > 0.5 * period
    assert phases.max() < 4 * 256 / period + 8


def test_golden_places_never_change() -> None:
    assert sample_places(10).tolist() == list(range(10))
    assert sample_places(1000)[:12].tolist() == [2, 5, 8, 14, 16, 21, 26, 30, 35, 37, 40, 45]
    assert sample_places(10**9)[:5].tolist() == [2401918, 7832463, 12174965, 12821535, 18238198]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "uint8"])
def test_statistics_of_real_numbers(dtype: str) -> None:
    values = (np.random.default_rng(1).normal(100, 30, 100_000)).astype(dtype)
    found = _sketch(values, (17, 40_000))
    exact = values.astype(np.float64)
    assert found["count"] == 100_000
    assert found["nan"] == 0
    assert (found["min"], found["max"]) == (exact.min(), exact.max())
    assert found["mean"] == pytest.approx(exact.mean(), rel=1e-12)
    assert found["rms"] == pytest.approx(np.sqrt((exact**2).mean()), rel=1e-12)


@pytest.mark.parametrize(("dtype", "precision"), [("complex64", 2**-23), ("complex128", 1e-12)])
def test_statistics_of_complex_numbers_are_those_of_amplitudes(dtype: str, precision: float) -> None:
    rng = np.random.default_rng(2)
    values = (rng.normal(1, 1, 50_000) + 1j * rng.normal(-2, 1, 50_000)).astype(dtype)
    found = _sketch(values)
    exact = values.astype(np.complex128)
    assert found["min"] == pytest.approx(np.abs(exact).min(), rel=precision)
    assert found["max"] == pytest.approx(np.abs(exact).max(), rel=precision)
    assert found["mean"] == pytest.approx(np.abs(exact).mean(), rel=precision)
    assert found["rms"] == pytest.approx(np.sqrt((np.abs(exact) ** 2).mean()), rel=precision)
    assert complex(found["mean_re"], found["mean_im"]) == pytest.approx(exact.mean(), rel=precision)
    place = sample_places(50_000)[7]
    assert np.dtype(dtype).type(complex(*found["samples"][7])) == values[place]


@given(st.lists(st.integers(0, 100_000), max_size=4), st.sampled_from(["float32", "complex64", "int32"]))
def test_a_stream_may_be_sketched_in_parts(cuts: list[int], dtype: str) -> None:
    values = np.random.default_rng(4).normal(5, 2, 100_000).astype(dtype)
    values[[70, 99_999]] = 0 if dtype == "int32" else np.nan
    parts, first = [], 0
    for part in np.split(values, sorted(cuts)):
        sketcher = Sketcher(first=first, total=values.size)
        sketcher.update(part)
        parts.append(SketchPart.from_json(json.loads(json.dumps(sketcher.part().to_json()))))
        first += part.size
    joined, whole = Sketch.of(parts).to_json(), _sketch(values)
    exact = ("count", "nan", "min", "max", "linear")
    assert {name: joined[name] for name in exact} == {name: whole[name] for name in exact}
    assert json.loads(json.dumps(joined["samples"])) == whole["samples"]
    rest = set(whole) - {*exact, "samples"}
    assert {name: joined[name] for name in rest} == pytest.approx({name: whole[name] for name in rest}, rel=1e-6)


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    values = np.array([1, np.nan, np.inf, -np.inf, 3], dtype="float32")
    found = _sketch(values)
    assert found.pop("linear")["not_finite"] == 3
    assert found == {
        "count": 5, "nan": 3, "min": 1.0, "max": 3.0, "mean": 2.0, "rms": 5**0.5, "samples": [1.0, None, None, None, 3.0],
    }  # fmt: skip
    flagged = np.array([1 + 1j, complex(np.nan, 0), complex(0, np.inf)], dtype="complex64")
    found = _sketch(flagged)
    assert (found["nan"], found["mean_re"], found["samples"]) == (2, 1.0, [[1.0, 1.0], None, None])


def test_a_sketch_of_nothing() -> None:
    found = _sketch(np.array([np.nan]))
    assert (found["count"], found["nan"], found["mean"], found["samples"]) == (1, 1, None, [None])
    assert _sketch(np.zeros(0))["samples"] == []


def test_huge_values_stay_json() -> None:
    found = _sketch(np.full(10, 1e300))
    assert found["rms"] is None
    json.dumps(found, allow_nan=False)


def test_single_precision_samples_are_short_and_exact() -> None:
    found = _sketch(np.array([0.1, 2 / 3], dtype="float32"))
    assert found["samples"] == [0.1, 0.6666667]
    assert np.float32(found["samples"][1]) == np.float32(2 / 3)
