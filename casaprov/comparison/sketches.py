"""Comparison of two columns by their sketches, where digests say that they differ and one of them is not at hand.

Three kinds of evidence are weighed against the tolerance, which is meant for
every value:

- samples, some hundred values of each: one that the tolerance does not cover
  decides that the columns differ;
- statistics: if all values agree within the tolerance, so do extremes, mean and rms;
- sums of all values in 4096 buckets (:mod:`casaprov.digests.linear_sketch`): they
  estimate the rms of all differences, and show a single one.

Columns agree within the tolerance if rms and smallest visible difference are inside
it, for a value of typical size; a sketch does not know the size of each value. A
relative tolerance is not granted so where only a few values differ, which is no
noise: each of them may be small. Columns of up to 4096 numbers are compared number
by number, since their sketch holds them all. Where the evidence decides nothing,
the difference is undecided. The estimator and its errors are documented in
``docs/explanation/digests.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from casaprov.comparison.values import Tally
from casaprov.comparison.verdict import Difference, Tolerance
from casaprov.digests.linear_sketch import BUCKETS, LinearSketch
from casaprov.digests.sketch import Sample, Sketch

__all__ = ["Distance", "compare_sketches", "distance"]

Gap = tuple[float, float]
"""Absolute and relative difference of two numbers."""

_SIGMA = 1 / math.sqrt(2 * BUCKETS)
"""Relative standard deviation of an estimated rms, if many values differ: half of that of a square."""

_CERTAIN = 6.0
"""Standard deviations beyond which chance is excluded: 2 in 10**9 for a normal distribution."""

_HIDDEN = 4.0
"""Standard deviations of a bucket that may hide a single difference in it: 6 in 10**5."""

_FEW = 64
"""Sums that differ, below which it is not noise in all values that makes them differ."""

_ROUNDING = 2.0**-22
"""Part of the rms by which a mean may change with the way in which a column is cut."""


@dataclass(frozen=True)
class Distance:
    """The distance of two columns of more than 4096 numbers, estimated from their buckets.

    Attributes
    ----------
    rms
        Of the differences of all values; the modulus counts of complex ones.
    largest
        Largest difference of two buckets.
    visible
        Smallest difference of a single value that would have been seen.
    differing
        Number of buckets that differ by more than their rounding.
    """

    rms: float
    largest: float
    visible: float
    differing: int


def distance(before: LinearSketch, now: LinearSketch, *, is_complex: bool) -> Distance:
    """Estimate the distance of two columns of equally many numbers.

    Raises
    ------
    casaprov.errors.DigestError
        If the buckets of a sketch cannot be unpacked.
    """
    apart = np.abs(now.values() - before.values())
    values = (before.count - before.not_finite) / (2 if is_complex else 1)
    largest = float(apart.max())
    # Scaled, since squares of large numbers exceed the largest double.
    squares = float(np.sum(np.square(apart / largest))) if largest else 0.0
    bucket_rms = largest * math.sqrt(squares / BUCKETS)
    # Differences of all other values in its bucket may hide a part of a single one, and so may the rounding of both.
    visible = largest + _HIDDEN * bucket_rms + (before.step + now.step) / 2
    return Distance(
        rms=largest * math.sqrt(squares / values) if values else 0.0,
        largest=largest,
        visible=visible * (math.sqrt(2) if is_complex else 1.0),  # both parts of a complex number may differ so
        differing=int(np.count_nonzero(apart > before.step + now.step)),
    )


def compare_sketches(before: Sketch | None, now: Sketch | None, tolerance: Tolerance, path: str) -> Difference:
    """Say how far apart two columns of one type are whose digests are known to differ.

    Raises
    ------
    casaprov.errors.DigestError
        If the buckets of a sketch cannot be unpacked.
    """
    if before is None or now is None:
        return Difference(path, "The values differ; the record holds only their digest.")
    if before.count != now.count:
        return Difference(path, f"There are {now.count} values instead of {before.count}.")
    if before.nan != now.nan:
        sentence = f"{now.nan} values instead of {before.nan} are not finite; {_samples_sentence(before, now)}."
        return Difference(path, sentence, None, before.count)
    one, two = before.linear, now.linear
    if one is None or two is None or one.count != two.count:
        return _by_samples(before, now, tolerance, path)
    if (one.not_finite, one.places) != (two.not_finite, two.places):
        return Difference(
            path, f"{before.nan} values of each are not finite, but not the same ones.", None, before.count
        )
    if one.is_whole():
        return _by_numbers(before, one.values(), two.values(), tolerance, path)
    return _by_sums(before, now, distance(one, two, is_complex=before.means is not None), tolerance, path)


# -- few values ------------------------------------------------------------------


def _by_numbers(
    sketch: Sketch, before: np.ndarray[Any, Any], now: np.ndarray[Any, Any], tolerance: Tolerance, path: str
) -> Difference:
    """Compare two columns number by number."""
    tally = Tally(tolerance)
    one, two = (side.view(np.complex128) if sketch.means is not None else side for side in (before, now))
    if _is_exact(sketch):
        one, two = one.astype(np.int64), two.astype(np.int64)
    tally.add(one, two, lambda index: f"at value {index}")
    counted = tally.difference(path)
    if counted is not None:
        return counted
    # The digests differ, the numbers do not: a sketch knows neither the sign of a zero nor the bits of a NaN.
    sentence = "The values are the same but for the signs of zeros and the bits of NaNs."
    return Difference(path, sentence, None, sketch.count, 0.0, 0.0, within=tolerance.covers(0.0, 0.0))


# -- many values -----------------------------------------------------------------


def _by_sums(before: Sketch, now: Sketch, apart: Distance, tolerance: Tolerance, path: str) -> Difference:
    differs = _is_exact(before) or _contradicts(before, now, tolerance) or _exceeds(before, now, apart, tolerance)
    size = _typical_size(before, now)
    allowed = max(tolerance.atol, tolerance.rtol * (size if apart.differing >= _FEW else _smallest_size(before, now)))
    rms = apart.rms * (1 + _CERTAIN * _SIGMA)
    # Sums that are all the same explain no difference: it is below their rounding, or two differences cancel.
    within = not differs and apart.largest > 0 and max(rms, apart.visible) <= allowed
    undecided = not within and not differs and tolerance.covers(0.0, 0.0)
    relative = f", relatively {apart.rms / size:.3g}" if size else ""
    sentence = f"The values differ by an rms of {apart.rms:.3g} over all {before.count} of them{relative}"
    if differs:
        sentence += f", one of their sums by {apart.largest:.3g}"
    else:
        sentence += f"; a single difference of {apart.visible:.3g} or more would have been seen"
    if undecided:
        sentence += f", and the tolerance that can be granted is {allowed:.3g}"
    return Difference(
        path,
        f"{sentence}; {_samples_sentence(before, now, with_statistics=differs)}.",
        None,
        before.count,
        *_largest(before, now, apart, size),
        within,
        undecided,
    )


def _largest(before: Sketch, now: Sketch, apart: Distance, size: float) -> Gap:
    """Return the largest difference of single values that is known: of samples, or of sums if few values differ."""
    known = _largest_gap(before, now)
    if apart.differing < _FEW and apart.largest > known[0]:
        return apart.largest, apart.largest / size if size else 0.0
    return known


def _smallest_size(before: Sketch, now: Sketch) -> float:
    """Return the size of the smallest value, as far as extremes tell it: 0 if there are real ones of both signs."""
    sizes = []
    for sketch in (before, now):
        low, high = sketch.min or 0.0, sketch.max or 0.0
        sizes.append(max(low, -high, 0.0))
    return min(sizes)


def _typical_size(before: Sketch, now: Sketch) -> float:
    """Return the rms of the values, or the median of the samples if that is less: a few large values may make the rms."""
    sizes = [abs(number) for number in map(_number, before.samples) if number]
    return min([_rms(before), _rms(now), *([median(sizes)] if sizes else [])])


def _rms(sketch: Sketch) -> float:
    """Return the rms of the values; the size of the largest one where squares exceed the range of doubles."""
    return sketch.rms or _peak(sketch)


def _peak(sketch: Sketch) -> float:
    return max(abs(sketch.min or 0.0), abs(sketch.max or 0.0))


def _exceeds(before: Sketch, now: Sketch, apart: Distance, tolerance: Tolerance) -> bool:
    """Return True if the sums cannot be those of values that all agree within the tolerance."""
    allowed = _allowed(before, now, tolerance)
    if apart.rms * (1 - _CERTAIN * _SIGMA) > allowed:
        return True
    peak = max(_peak(before), _peak(now))
    # Differences in one bucket have signs of their own, so they add up like the steps of a random walk; the peak may be
    # among them, and that of the other part of a complex number.
    in_bucket = math.sqrt(before.count / BUCKETS) * allowed
    return apart.largest > _CERTAIN * math.hypot(in_bucket, math.sqrt(2) * max(tolerance.atol, tolerance.rtol * peak))


def _allowed(before: Sketch, now: Sketch, tolerance: Tolerance) -> float:
    """Return the largest rms of the differences of values that all agree within the tolerance."""
    return tolerance.atol + tolerance.rtol * math.hypot(_rms(before), _rms(now))


# -- samples and statistics ------------------------------------------------------


def _by_samples(before: Sketch, now: Sketch, tolerance: Tolerance, path: str) -> Difference:
    """Compare two columns of which one has no sums: samples can contradict a tolerance, and never confirm it."""
    differs = _is_exact(before) or _contradicts(before, now, tolerance)
    return Difference(
        path,
        f"The values differ: {_samples_sentence(before, now)}.",
        None,
        before.count,
        *_largest_gap(before, now),
        undecided=not differs and tolerance.covers(0.0, 0.0),
    )


def _is_exact(sketch: Sketch) -> bool:
    """Return True for integers, which are never tolerated to differ; their samples are integers in JSON too."""
    return any(isinstance(value, int) for value in sketch.samples)


def _contradicts(before: Sketch, now: Sketch, tolerance: Tolerance) -> bool:
    """Return True if a sample or a statistic cannot be that of values that all agree within the tolerance."""
    gaps = [_gap(one, two) for one, two in zip(before.samples, now.samples, strict=True)]
    if any(gap is None or not tolerance.covers(*gap) for gap in gaps):
        return True
    if any(gap is None or not tolerance.covers(*gap) for gap in (_gap(before.min, now.min), _gap(before.max, now.max))):
        return True
    largest = _allowed(before, now, tolerance) + _ROUNDING * math.hypot(_rms(before), _rms(now))
    means = [(before.mean, now.mean), (before.rms, now.rms), *zip(before.means or (), now.means or (), strict=False)]
    return any(gap is None or gap[0] > largest for gap in (_gap(one, two) for one, two in means))


def _samples_sentence(before: Sketch, now: Sketch, *, with_statistics: bool = True) -> str:
    """Say how far samples and statistics are apart."""
    gaps = [_gap(one, two) for one, two in zip(before.samples, now.samples, strict=True)]
    differing = sum(gap != (0.0, 0.0) for gap in gaps)
    largest = _largest_gap(before, now)
    sentence = f"{differing} of {len(gaps)} samples differ"
    if differing:
        sentence += f", by at most {largest[0]:.3g}, relatively {largest[1]:.3g}"
    return "; ".join([sentence, *(_changed_statistics(before, now) if with_statistics else ())])


def _largest_gap(before: Sketch, now: Sketch) -> Gap:
    """Return the largest differences of samples that are finite on both sides."""
    gaps = [_gap(one, two) for one, two in zip(before.samples, now.samples, strict=True)]
    known = [gap for gap in gaps if gap is not None]
    return max((gap[0] for gap in known), default=0.0), max((gap[1] for gap in known), default=0.0)


def _changed_statistics(before: Sketch, now: Sketch) -> Iterator[str]:
    was, is_ = _statistics(before), _statistics(now)
    for name in was | is_:
        if was.get(name) != is_.get(name):
            yield f"{name} is {_number_change(was.get(name), is_.get(name))}"


def _statistics(sketch: Sketch) -> dict[str, float | None]:
    """Return the statistics of a sketch by name."""
    numbers = {"min": sketch.min, "max": sketch.max, "mean": sketch.mean, "rms": sketch.rms}
    if sketch.means is not None:
        numbers["mean_re"], numbers["mean_im"] = sketch.means
    return numbers


def _gap(before: Sample, now: Sample) -> Gap | None:
    """Return the difference of two numbers; None if only one of them is finite."""
    one, two = _number(before), _number(now)
    if one is None or two is None:
        return (0.0, 0.0) if one is two else None
    apart, size = abs(one - two), max(abs(one), abs(two))
    if not math.isfinite(apart):
        return None
    return (float(apart), float(apart / size) if size else 0.0)


def _number(sample: Sample) -> complex | float | None:
    return complex(*sample) if isinstance(sample, tuple) else sample


def _number_change(before: float | None, now: float | None) -> str:
    """Write two statistics with six digits, or with all if those are the same."""
    old, new = ("none" if value is None else f"{value:.6g}" for value in (before, now))
    return f"{new} instead of {old}" if new != old else f"{now!r} instead of {before!r}"
