"""Conclusions from sketches: no wrong acceptance, no honest noise refused, and estimates within their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casaprov.comparison.sketches import compare_sketches, distance
from casaprov.comparison.values import Tally
from casaprov.comparison.verdict import Difference, Tolerance
from casaprov.digests.linear_sketch import LinearSketch
from casaprov.digests.sketch import Sketch, Sketcher

Array = np.ndarray[Any, Any]
Verdict = Literal["within", "undecided", "differs"]

SIGMA = 1 / np.sqrt(2 * 4096)  # relative error of an estimated rms


def sketch(values: Array) -> Sketch:
    sketcher = Sketcher()
    sketcher.update(values)
    return sketcher.sketch()


def linear(values: Array) -> LinearSketch:
    found = sketch(values).linear
    assert found is not None
    return found


def compared(before: Array, now: Array, rtol: float = 0.0, atol: float = 0.0) -> Difference:
    return compare_sketches(sketch(before), sketch(now), Tolerance(rtol, atol), "DATA")


def verdict(before: Array, now: Array, rtol: float = 0.0, atol: float = 0.0) -> Verdict:
    found = compared(before, now, rtol, atol)
    assert not (found.within and found.undecided)
    return "within" if found.within else "undecided" if found.undecided else "differs"


def cell_by_cell(before: Array, now: Array, rtol: float, atol: float) -> bool:
    """Return True if each value agrees within the tolerance."""
    tally = Tally(Tolerance(rtol, atol))
    tally.add(before, now, str)
    found = tally.difference("DATA")
    return found is None or found.within


def visibilities(rows: int = 500, channels: int = 63) -> Array:
    rng = np.random.default_rng(7)
    shape = rows, channels, 2
    return (rng.normal(1, 1, shape) + 1j * rng.normal(0, 1, shape)).astype("complex64")


def image(size: int = 256, planes: int = 4) -> Array:
    rng = np.random.default_rng(8)
    pixels = rng.normal(0, 1e-3, (planes, size, size))
    pixels[:, size // 2, size // 2] = 1
    return pixels.astype("float32")


# -- differences that a few samples do not show ------------------------------------------


def test_two_exchanged_rows_differ() -> None:
    before = visibilities()
    now = before.copy()
    now[[17, 400]] = before[[400, 17]]
    assert verdict(before, now, rtol=1e-6) == "differs"
    assert verdict(before, now, rtol=1e-2) == "differs"


def test_two_exchanged_rows_of_eight_values_differ() -> None:
    before = visibilities(rows=22_653, channels=4)
    now = before.copy()
    now[[3, 9]] = before[[9, 3]]
    assert verdict(before, now, rtol=1e-6) == "differs"


@pytest.mark.parametrize("other", [(0, 0, 0), (0, 128, 129), (3, 128, 128), (0, 144, 128), (1, 0, 255)])
def test_a_peak_that_is_exchanged_with_another_pixel_differs(other: tuple[int, int, int]) -> None:
    before = image()
    now = before.copy()
    now[0, 128, 128], now[other] = before[other], before[0, 128, 128]
    if other == (3, 128, 128):
        now[other] = 0.5
    assert verdict(before, now, rtol=1e-6) == "differs"


@pytest.mark.parametrize("size", [64, 256, 512, 1024])
def test_exchanged_planes_differ(size: int) -> None:
    before = image(size, planes=3)
    now = before[[1, 0, 2]]
    assert verdict(before, now, rtol=1e-6) == "differs"
    apart = distance(linear(before), linear(now), is_complex=False)
    exact = np.sqrt(np.mean(np.square(now.astype(float) - before.astype(float))))
    assert apart.rms == pytest.approx(exact, rel=0.2)


def test_permuted_channels_differ() -> None:
    before = visibilities(channels=64)
    now = before[:, np.roll(np.arange(64), 1)]
    assert verdict(before, now, rtol=1e-6) == "differs"
    assert verdict(before, now, atol=0.1) == "differs"


def test_a_constant_offset_is_measured() -> None:
    before = visibilities()
    now = (before + np.complex64(1e-3)).astype("complex64")
    assert verdict(before, now, rtol=1e-6) == "differs"
    assert verdict(before, now, atol=1e-2 * 5) == "within"
    assert distance(linear(before), linear(now), is_complex=True).rms == pytest.approx(1e-3, rel=6 * SIGMA)


def test_one_pixel_is_measured() -> None:
    before = image()
    now = before.copy()
    now[2, 7, 9] += np.float32(1e-3)
    found = compared(before, now, rtol=1e-6)
    assert not found.within
    assert not found.undecided
    assert found.max_abs == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.long
def test_one_visibility_in_100_million_is_found() -> None:
    rng = np.random.default_rng(9)
    one, two, noisy = Sketcher(), Sketcher(), Sketcher()
    for number in range(100):
        part = rng.normal(size=2_000_000).astype("float32").view("complex64")
        one.update(part)
        noise = 1e-7 * rng.normal(size=2_000_000).astype("float32")
        noisy.update((part.view("float32") * (1 + noise)).astype("float32").view("complex64"))
        if number == 61:
            part[123_456] += 1e-3
        two.update(part)
    before, now, near = one.sketch(), two.sketch(), noisy.sketch()
    assert before.linear is not None
    assert now.linear is not None
    assert near.linear is not None
    apart = distance(before.linear, now.linear, is_complex=True)
    assert apart.largest == pytest.approx(1e-3, rel=0.02)
    assert apart.rms * np.sqrt(before.count) == pytest.approx(1e-3, rel=0.05)
    found = compare_sketches(before, now, Tolerance(rtol=1e-6), "DATA")
    assert not found.within
    found = compare_sketches(before, near, Tolerance(rtol=1e-3), "DATA")
    assert found.within
    noise_rms = distance(before.linear, near.linear, is_complex=True).rms
    assert noise_rms == pytest.approx(np.sqrt(2) * 1e-7, rel=0.1)  # single precision rounds the noise itself


# -- noise ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("count", [5000, 100_000, 1_000_000])
def test_noise_of_all_values_is_measured(dtype: str, count: int) -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(size=count).astype(dtype)
    noise = 1e-7 * rng.normal(size=count)
    apart = distance(linear(before), linear(before + noise), is_complex=dtype == "complex128")
    assert apart.rms == pytest.approx(np.sqrt(np.mean(np.square(noise))), rel=6 * SIGMA)


def test_an_estimate_is_unbiased_with_the_documented_error() -> None:
    rng = np.random.default_rng(4)
    before, ratios = rng.normal(size=50_000), []
    for _ in range(40):
        noise = 1e-7 * rng.normal(size=before.size)
        apart = distance(linear(before), linear(before + noise), is_complex=False)
        ratios.append(apart.rms / np.sqrt(np.mean(np.square(noise))))
    assert np.mean(ratios) == pytest.approx(1, abs=4 * SIGMA / np.sqrt(40))
    assert np.std(ratios) == pytest.approx(SIGMA, rel=0.4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("count", [100, 4096, 5000, 300_000])
@pytest.mark.parametrize("seed", range(3))
def test_honest_noise_is_not_refused(dtype: str, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = (rng.normal(size=count) + (1j * rng.normal(size=count) if "complex" in dtype else 0)).astype(dtype)
    now = (before * (1 + 1e-7 * rng.normal(size=count))).astype(dtype)
    assert cell_by_cell(before, now, 1e-6, 0)
    assert verdict(before, now, rtol=1e-6) in ("within", "undecided")
    assert verdict(before, now, rtol=1e-6) == "within" or count * (2 if "complex" in dtype else 1) > 4096
    assert verdict(before, now, rtol=1e-4) == "within"
    assert verdict(before, now, atol=1e-4) == "within"
    assert verdict(before, now) == "differs"


# -- 200 random differences -------------------------------------------------------------------


def _exchanged(now: Array, rng: np.random.Generator, _size: float) -> None:
    one, two = rng.integers(now.size, size=2)
    now[[one, two]] = now[[two, one]]


def _one(now: Array, rng: np.random.Generator, size: float) -> None:
    now[rng.integers(now.size)] += size


def _one_by_a_factor(now: Array, rng: np.random.Generator, size: float) -> None:
    now[rng.integers(now.size)] *= 1 + size


def _some(now: Array, rng: np.random.Generator, size: float) -> None:
    places = rng.integers(now.size, size=rng.integers(2, 40))
    now[places] += size * rng.normal(size=places.size)


def _stretch(now: Array, rng: np.random.Generator, size: float) -> None:
    first = rng.integers(now.size)
    now[first : first + rng.integers(1, 20_000)] += size


def _rolled(now: Array, rng: np.random.Generator, _size: float) -> None:
    now[:] = np.roll(now, rng.integers(1, now.size))


def _noise(now: Array, rng: np.random.Generator, size: float) -> None:
    now += size * rng.normal(size=now.size)


KINDS: tuple[Callable[[Array, np.random.Generator, float], None], ...] = (
    _exchanged, _one, _one_by_a_factor, _some, _stretch, _rolled, _noise,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(200))
def test_no_random_difference_is_accepted_wrongly(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    count, dtype = int(10 ** rng.uniform(2, 5.3)), ("float32", "float64", "complex64")[seed % 3]
    before = rng.normal(rng.choice([0, 3]), 1, count).astype(dtype)
    before += np.array(1j * rng.normal(size=count)).astype(dtype) if dtype == "complex64" else 0
    now = before.copy()
    change, size = KINDS[seed % len(KINDS)], 10 ** rng.uniform(-8, 0)
    change(now, rng, size)
    tolerance = 10 ** rng.uniform(-7, -1)
    rtol, atol = (tolerance, 0.0) if seed % 2 else (0.0, tolerance)
    found = verdict(before, now, rtol, atol)
    typical = min(np.sqrt(np.mean(np.square(np.abs(before)))), np.sqrt(np.mean(np.square(np.abs(now)))))
    few = np.count_nonzero(before != now) < 64
    if found == "within" and (few or not rtol):
        assert cell_by_cell(before, now, rtol, atol)
    if found == "within" and not cell_by_cell(before, now, rtol, atol):  # a relative tolerance is one of a typical size
        assert np.abs(now - before).max() <= rtol * typical
    if found == "differs":
        assert not cell_by_cell(before, now, rtol, atol)


@settings(max_examples=60)
@given(st.integers(2, 60_000), st.data())
def test_an_exchange_in_otherwise_equal_values_is_never_accepted(count: int, data: st.DataObject) -> None:
    before = np.random.default_rng(count).normal(size=count)
    one = data.draw(st.integers(0, count - 1))
    two = data.draw(st.integers(0, count - 1) | st.sampled_from([(one + 4096) % count, (one + 3847) % count]))
    now = before.copy()
    now[[one, two]] = before[[two, one]]
    assert verdict(before, now, rtol=1e-6) != "within" or one == two


# -- what a sketch cannot say ---------------------------------------------------------------


def test_sums_that_cancel_are_no_proof() -> None:
    rng = np.random.default_rng(6)
    before = rng.normal(size=20_000)
    base = linear(before)
    for place in range(16_000):
        now = before.copy()
        other = place + 3847  # a value of the same unit, in the same bucket
        now[[place, other]] = before[[other, place]]
        if linear(now).data == base.data:
            assert verdict(before, now, rtol=1e-2) == "undecided"
            return
    pytest.fail("no two values have the same sign")


def test_a_few_tiny_differences_may_be_of_tiny_values() -> None:
    before = np.random.default_rng(6).normal(size=20_000)
    now = before.copy()
    now[77] += 1e-9
    assert verdict(before, now, rtol=1e-6) == "undecided"
    assert verdict(before, now, atol=1e-6) == "within"
    positive = np.abs(before) + 1
    now = positive.copy()
    now[77] += 1e-9
    assert verdict(positive, now, rtol=1e-6) == "within"


def test_without_sums_samples_contradict_and_never_confirm() -> None:
    before = np.random.default_rng(6).normal(size=20_000)
    old = replace(sketch(before), linear=None)

    def found(now: Array, rtol: float) -> Difference:
        return compare_sketches(old, sketch(now), Tolerance(rtol), "DATA")

    near = found(before * (1 + 1e-7), 1e-6)
    assert (near.within, near.undecided) == (False, True)
    far = found(before * (1 + 1e-5), 1e-6)
    assert (far.within, far.undecided) == (False, False)
    exact = found(before * (1 + 1e-7), 0.0)
    assert (exact.within, exact.undecided) == (False, False)


def test_other_counts_and_places_of_nan_differ() -> None:
    before = visibilities().ravel()
    before[5] = np.nan
    more, elsewhere = before.copy(), before.copy()
    more[6] = np.nan
    elsewhere[5], elsewhere[6] = 1, np.nan
    assert verdict(before, more, rtol=1, atol=1e9) == "differs"
    assert verdict(before, elsewhere, rtol=1, atol=1e9) == "differs"
    assert verdict(before, before[:-1], rtol=1, atol=1e9) == "differs"
    real = np.array([np.inf, *np.ones(5000)])
    other = np.array([-np.inf, *np.ones(5000)])
    assert verdict(real, other, rtol=1, atol=1e9) == "differs"


@pytest.mark.parametrize("count", [100, 10_000])
def test_integers_are_never_tolerated_to_differ(count: int) -> None:
    before = np.arange(count)
    now = before.copy()
    now[count // 2] += 1
    assert verdict(before, now, rtol=1, atol=1e9) == "differs"


def test_signs_of_zeros_are_within_a_tolerance() -> None:
    before = np.zeros(10)
    assert verdict(before, -before, rtol=1e-6) == "within"
    assert verdict(before, -before) == "differs"
    large = np.zeros(10_000)
    assert verdict(large, -large, rtol=1e-6) == "undecided"


def test_values_without_a_finite_one_are_compared() -> None:
    before = np.full(10_000, np.nan)
    now = before.copy()
    now[3] = np.inf
    assert verdict(before, now, rtol=1, atol=1) == "differs"


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_sizes_of_any_order_are_compared(size: float) -> None:
    rng = np.random.default_rng(2)
    before = size * rng.normal(size=10_000)
    now = before * (1 + 1e-7 * rng.normal(size=10_000))
    assert verdict(before, now, rtol=1e-4) == "within"
    now[5] = -now[5]
    assert verdict(before, now, rtol=1e-4) == "differs"
