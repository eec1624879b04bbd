"""Sketches: what a column of numbers looks like, in two kilobytes.

A digest says whether two columns are equal, a sketch says how far apart they
are, without either column at hand. It is not part of any digest.

Samples are taken at places that depend on the number of values alone, so that
two sketches of equally many values can be compared sample by sample. The
stream is divided into strata of ``2**k`` values, with ``k`` the smallest that
needs no more than 256 strata. Each stratum is represented by one of its values,
chosen by pseudo-random bits (a fixed stride would see the same few channels and
correlations again and again). The choice is nested: the representative of
stratum ``s`` at level ``k`` is that of stratum ``2 s + b`` at level ``k - 1``,
with ``b`` a bit of a hash of ``(s, k)``. A longer stream can therefore drop half
of its samples and go on, without having known its length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

import numpy as np

__all__ = ["MAX_SAMPLES", "Sketch", "sample_places"]

MAX_SAMPLES = 256

_CHUNK = 2**13
"""Values summarised at once: intermediate results then stay in the processor's cache, and BLAS in one thread."""


def sample_places(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Places of the samples in a stream of `count` values, ascending."""
    places = _representatives(_level(count))
    return places[places < count]


def _level(count: int) -> int:
    """Return the smallest k for which `count` values fill at most 256 strata of 2**k values."""
    return max(0, (count - 1).bit_length() - (MAX_SAMPLES - 1).bit_length())


@lru_cache(maxsize=64)
def _representatives(level: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the place that stands for each of the first 256 strata of 2**level values."""
    place = np.arange(MAX_SAMPLES, dtype=np.uint64)
    for k in range(level, 0, -1):
        place = 2 * place + _bits(place, k)
    result = place.astype(np.int64)
    result.flags.writeable = False
    return result


def _bits(stratum: np.ndarray[Any, np.dtype[np.uint64]], level: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return one bit per stratum: the highest of splitmix64(64 stratum + level)."""
    z = stratum * np.uint64(64) + np.uint64(level) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))) >> np.uint64(63)


class Sketch:
    """Count, range, mean, rms and samples of a stream of numbers.

    For complex numbers, range, mean and rms are those of the amplitudes (in the
    precision of the values: computed in double precision they would take twice as
    long), and the means of real and imaginary parts are given beside them. Values
    that are not finite are counted as ``nan`` and left out of everything else.

    Parameters
    ----------
    first, total
        Of a part of a stream: the place of its first value, and how many
        values the whole stream has. Without them the whole stream is to come,
        of any length.
    """

    def __init__(self, *, first: int = 0, total: int | None = None) -> None:
        self._place = first
        self._total = total
        self._count = 0
        self._bad = 0
        self._low = math.inf
        self._high = -math.inf
        self._sum = 0.0
        self._squares = 0.0
        self._parts: complex | None = None
        self._samples: dict[int, Any] = {}

    def update(self, values: np.ndarray[Any, Any]) -> None:
        """Append numbers in native byte order, in the array's C order."""
        flat = values.reshape(-1)
        self._sample(flat)
        self._place += flat.size
        self._count += flat.size
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, _CHUNK):
                self._summarise(flat[start : start + _CHUNK])

    def state(self) -> dict[str, Any]:
        """Return all that :meth:`join` needs to know, as JSON values."""
        return {
            "count": self._count,
            "bad": self._bad,
            "low": self._low,
            "high": self._high,
            "sum": self._sum,
            "squares": self._squares,
            "parts": None if self._parts is None else [self._parts.real, self._parts.imag],
            "samples": list(self._samples.items()),
        }

    @classmethod
    def join(cls, states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the sketch (:meth:`result`) of a stream from the states of all its parts, in their order."""
        whole = cls(total=0)
        for state in states:
            whole._count += state["count"]
            whole._bad += state["bad"]
            whole._low = min(whole._low, state["low"])
            whole._high = max(whole._high, state["high"])
            whole._sum += state["sum"]
            whole._squares += state["squares"]
            if state["parts"] is not None:
                whole._parts = (whole._parts or 0j) + complex(*state["parts"])
            whole._samples.update(state["samples"])
        return whole.result()

    def result(self) -> dict[str, Any]:
        """Return the sketch as JSON values.

        Returns
        -------
        dict
            ``count``, ``nan`` (values that are not finite), ``min``, ``max``,
            ``mean``, ``rms`` (None if no value is finite), for complex numbers
            ``mean_re`` and ``mean_im``, and ``samples`` at
            :func:`sample_places`: numbers, pairs of real and imaginary part, or
            None for a value that is not finite.
        """
        good = self._count - self._bad
        told: dict[str, Any] = {
            "count": self._count,
            "nan": self._bad,
            "min": self._low if good else None,
            "max": self._high if good else None,
            "mean": _finite(self._sum / good) if good else None,
            "rms": _finite(math.sqrt(self._squares / good)) if good else None,
        }
        if self._parts is not None:
            told["mean_re"] = _finite(self._parts.real / good) if good else None
            told["mean_im"] = _finite(self._parts.imag / good) if good else None
        places = sample_places(self._count)
        told["samples"] = [self._samples[place] for place in places.tolist()]
        return told

    def _sample(self, flat: np.ndarray[Any, Any]) -> None:
        end = self._place + flat.size
        places = _representatives(_level(end if self._total is None else self._total))
        if self._samples and len(self._samples) > MAX_SAMPLES:
            kept = set(places.tolist())
            self._samples = {place: value for place, value in self._samples.items() if place in kept}
        inside = places[(places >= self._place) & (places < end)]
        self._samples.update(zip(inside.tolist(), _json(flat[inside - self._place]), strict=True))

    def _summarise(self, chunk: np.ndarray[Any, Any]) -> None:
        numbers = chunk
        if chunk.dtype.kind in "fc":
            # One sum is cheaper than a look at each value, and is finite nearly always.
            total = chunk.sum()
            if not np.isfinite(total):
                good = np.isfinite(chunk)
                self._bad += int(chunk.size - np.count_nonzero(good))
                numbers = chunk[good].astype(np.result_type(chunk.dtype, np.float64))
                total = numbers.sum()
            if chunk.dtype.kind == "c":
                self._parts = (self._parts or 0j) + complex(total)
                numbers = np.abs(numbers)
        if numbers.size:
            self._low = min(self._low, float(numbers.min()))
            self._high = max(self._high, float(numbers.max()))
            numbers = numbers.astype(np.float64)
            self._sum += float(numbers.sum())
            self._squares += float(np.dot(numbers, numbers))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _json(values: np.ndarray[Any, Any]) -> list[Any]:
    """Return numbers as JSON values: pairs for complex ones, None for what is not finite."""
    if values.dtype.kind == "c":
        pairs = zip(_json(values.real), _json(values.imag), strict=True)
        return [None if None in pair else list(pair) for pair in pairs]
    if values.dtype.kind == "f":
        # str() gives the shortest text for the stored precision: 0.1, not 0.10000000149011612.
        numbers = values.tolist() if values.itemsize == 8 else [float(str(value)) for value in values]
        return [number if math.isfinite(number) else None for number in numbers]
    return cast("list[Any]", values.tolist())
