"""Sketches of columns of numbers, of twenty kilobytes at most.

A digest says whether two columns are equal, a sketch says how far apart they
are, without either column at hand. It enters no content digest. It holds
statistics, samples, and sums over all values (:mod:`casaprov.digests.linear_sketch`).

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
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np

from casaprov.digests.json_fields import integer, mapping, number, optional, sequence
from casaprov.digests.linear_sketch import LinearPart, LinearSketch, LinearSketcher, splitmix64
from casaprov.errors import DigestError

__all__ = ["MAX_SAMPLES", "Sample", "Sketch", "SketchPart", "Sketcher", "sample_places"]

MAX_SAMPLES = 256

_STATISTICS = ("min", "max", "mean", "rms")

_PIECE = 2**13

_CHUNK = 2**16
"""Values summarised at once: intermediate results then stay in the processor's cache, and calls cost little beside them."""


def sample_places(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the places of the samples in a stream of `count` values, ascending."""
    places = _representatives(_level(count))
    return places[places < count]


def _level(count: int) -> int:
    """Return the smallest k for which `count` values fill at most 256 strata of 2**k values."""
    return max(0, (count - 1).bit_length() - (MAX_SAMPLES - 1).bit_length())


@lru_cache(maxsize=64)
def _representatives(level: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the place that stands for each of the first 256 strata of 2**level values."""
    place = np.arange(MAX_SAMPLES, dtype=np.uint64)
    # From the stratum down to the value: of each stratum's two halves, a hashed bit chooses one.
    for k in range(level, 0, -1):
        place = 2 * place + _bits(place, k)
    result = place.astype(np.int64)
    result.flags.writeable = False
    return result


def _bits(stratum: np.ndarray[Any, np.dtype[np.uint64]], level: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return one bit per stratum: the highest of splitmix64(64 stratum + level)."""
    return splitmix64(stratum * np.uint64(64) + np.uint64(level)) >> np.uint64(63)


Sample = float | int | tuple[float, float] | None
"""A value: a number, real and imaginary part of a complex one, or None where it is not finite."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """Count, range, mean, rms and samples of a stream of numbers.

    For complex numbers, range, mean and rms are those of the amplitudes.

    Attributes
    ----------
    nan
        How many values are not finite; they are left out of all else but `count` and `samples`.
    min, max, mean, rms
        None if no value is finite, and where a sum exceeds the largest double.
    means
        Of complex numbers: the means of real and imaginary parts.
    samples
        Values at :func:`sample_places`.
    linear
        Sums over all values; None of samples alone, and in trees of the format 1.
    """

    count: int
    nan: int
    min: float | None
    max: float | None
    mean: float | None
    rms: float | None
    means: tuple[float | None, float | None] | None
    samples: tuple[Sample, ...]
    linear: LinearSketch | None = None

    @classmethod
    def of(cls, parts: Iterable[SketchPart]) -> Sketch:
        """Join the parts of a stream, all of them, in their order."""
        parts = list(parts)
        count = sum(part.count for part in parts)
        good = count - sum(part.not_finite for part in parts)
        sums = [part.parts for part in parts if part.parts is not None]
        both = sum(sums, 0j)
        samples = {place: value for part in parts for place, value in part.samples}
        return cls(
            count=count,
            nan=count - good,
            min=min((part.low for part in parts), default=math.inf) if good else None,
            max=max((part.high for part in parts), default=-math.inf) if good else None,
            mean=_finite(sum(part.total for part in parts) / good) if good else None,
            rms=_finite(math.sqrt(sum(part.squares for part in parts) / good)) if good else None,
            means=((_finite(both.real / good), _finite(both.imag / good)) if good else (None, None)) if sums else None,
            samples=tuple(samples[place] for place in sample_places(count).tolist()),
            linear=LinearSketch.of(part.linear for part in parts if part.linear is not None),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the sketch as JSON values; ``mean_re`` and ``mean_im`` are there for complex numbers only."""
        found: dict[str, Any] = {name: getattr(self, name) for name in ("count", "nan", *_STATISTICS)}
        if self.means is not None:
            found["mean_re"], found["mean_im"] = self.means
        found["samples"] = [list(value) if isinstance(value, tuple) else value for value in self.samples]
        if self.linear is not None:
            found["linear"] = self.linear.to_json()
        return found

    @classmethod
    def from_json(cls, value: Any, name: str = "sketch") -> Sketch:
        """Read a sketch.

        Raises
        ------
        DigestError
            If it has not the form that :meth:`to_json` gives it, or not the samples that its count demands.
        """
        data = mapping(value, name)
        count = integer(data.get("count"), "count", least=0)
        samples = tuple(map(_sample, sequence(data.get("samples"), "samples")))
        if len(samples) > MAX_SAMPLES or len(samples) != len(sample_places(count)):
            raise DigestError(f"A sketch of {count} values has not {len(samples)} samples.")
        return cls(
            count=count,
            nan=integer(data.get("nan"), "nan", least=0),
            **{statistic: optional(data, statistic, number) for statistic in _STATISTICS},
            means=(optional(data, "mean_re", number), optional(data, "mean_im", number)) if "mean_re" in data else None,
            samples=samples,
            linear=optional(data, "linear", LinearSketch.from_json),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SketchPart:
    """All that :meth:`Sketch.of` needs to know of a part of a stream.

    Attributes
    ----------
    low, high, total, squares
        Extremes, sum and sum of squares of the finite values, or of their amplitudes.
    parts
        Sum of the finite values themselves, if they are complex.
    samples
        Place in the stream and value of each sample that lies in the part.
    """

    count: int
    not_finite: int
    low: float
    high: float
    total: float
    squares: float
    parts: complex | None
    samples: tuple[tuple[int, Sample], ...]
    linear: LinearPart | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON values."""
        return {
            **vars(self),
            "parts": None if self.parts is None else [self.parts.real, self.parts.imag],
            "linear": self.linear and self.linear.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any, name: str = "sketch") -> SketchPart:
        """Read a part; raise :class:`DigestError` if it has not the form that :meth:`to_json` gives it."""
        data = mapping(value, name)
        parts = optional(data, "parts", sequence)
        return cls(
            count=integer(data.get("count"), "count", least=0),
            not_finite=integer(data.get("not_finite"), "not_finite", least=0),
            **{name: float(number(data.get(name), name)) for name in ("low", "high", "total", "squares")},
            parts=None if parts is None else complex(*(number(part, "parts") for part in parts)),
            samples=tuple(
                (integer(place, "samples", least=0), _sample(value))
                for place, value in sequence(data.get("samples"), "samples")
            ),
            linear=optional(data, "linear", LinearPart.from_json),
        )


def _sample(value: Any) -> Sample:
    if isinstance(value, list | tuple) and len(value) == 2:
        real, imaginary = (float(number(part, "samples")) for part in value)
        return real, imaginary
    return None if value is None else number(value, "samples")


class Sketcher:
    """Sketches a stream of numbers, or a part of one, while it is read.

    Amplitudes of complex numbers are computed in the precision of the values: in
    double precision they would take twice as long.

    Parameters
    ----------
    first, total
        Of a part of a stream: the place of its first value, and how many
        values the whole stream has. Without them the whole stream is to come,
        of any length.
    linear
        Whether all values are added up: those that are samples themselves need not be.
    """

    def __init__(self, *, first: int = 0, total: int | None = None, linear: bool = True) -> None:
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
        self._linear = LinearSketcher(first=first) if linear else None

    def update(self, values: np.ndarray[Any, Any]) -> None:
        """Append numbers in native byte order, in the array's C order."""
        flat = values.reshape(-1)
        self._sample(flat)
        self._place += flat.size
        self._count += flat.size
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, _CHUNK):
                self._summarise(flat[start : start + _CHUNK])
        if self._linear is not None:
            self._linear.update(flat)

    def part(self) -> SketchPart:
        """Return the part of a stream that was appended."""
        return SketchPart(
            count=self._count,
            not_finite=self._bad,
            low=self._low,
            high=self._high,
            total=self._sum,
            squares=self._squares,
            parts=self._parts,
            samples=tuple(self._samples.items()),
            linear=None if self._linear is None else self._linear.part(),
        )

    def sketch(self) -> Sketch:
        """Return the sketch of the whole stream, all of which was appended."""
        return Sketch.of([self.part()])

    def _sample(self, flat: np.ndarray[Any, Any]) -> None:
        end = self._place + flat.size
        places = _representatives(_level(end if self._total is None else self._total))
        # The stream became longer than its strata held: at the next level half of the representatives remain.
        if self._samples and len(self._samples) > MAX_SAMPLES:
            kept = set(places.tolist())
            self._samples = {place: value for place, value in self._samples.items() if place in kept}
        first, last = places.searchsorted((self._place, end))
        if first == last:
            return
        inside = places[first:last]
        self._samples.update(zip(inside.tolist(), _plain(flat[inside - self._place]), strict=True))

    def _summarise(self, chunk: np.ndarray[Any, Any]) -> None:
        stored, sizes = _sizes(chunk)
        # One sum is cheaper than a look at each value, and is finite nearly always.
        total = sizes.sum()
        if not np.isfinite(total):
            good = np.isfinite(chunk)
            self._bad += int(chunk.size - np.count_nonzero(good))
            chunk = chunk[good].astype(np.result_type(chunk.dtype, np.float64))
            stored, sizes = _sizes(chunk)
            total = sizes.sum()
        if not chunk.size:
            return
        if chunk.dtype.kind == "c":
            self._parts = (self._parts or 0j) + complex(chunk.sum())
        self._low = min(self._low, float(stored.min()))
        self._high = max(self._high, float(stored.max()))
        self._sum += float(total)
        # In pieces for which BLAS starts no threads: they would wait for each other where a processor is busy.
        for start in range(0, sizes.size, _PIECE):
            piece = sizes[start : start + _PIECE]
            self._squares += float(np.dot(piece, piece))


def _sizes(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return real values, or the amplitudes of complex ones: in their precision, and in double precision."""
    stored = np.abs(values) if values.dtype.kind == "c" else values
    return stored, stored.astype(np.float64, copy=False)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(values: np.ndarray[Any, Any]) -> list[Any]:
    """Return numbers as samples: pairs for complex ones, None for values that are not finite."""
    if values.dtype.kind == "c":
        pairs = zip(_plain(values.real), _plain(values.imag), strict=True)
        return [None if None in pair else pair for pair in pairs]
    if values.dtype.kind == "f":
        # str() gives the shortest text for the stored precision: 0.1, not 0.10000000149011612.
        numbers = values.tolist() if values.itemsize == 8 else [float(str(value)) for value in values]
        return [number if math.isfinite(number) else None for number in numbers]
    return cast("list[Any]", values.tolist())
