r"""Linear sketches: 4096 sums over all numbers of a column, which tell how far two columns are apart.

Each number is added, with a sign, to one of 4096 buckets. Sign and bucket depend
on its place alone, so the buckets of two columns of equal length, subtracted, are
those of the differences of their numbers. The sum of their squares estimates the
sum of all squared differences, with a relative standard deviation of about
:math:`\sqrt{2/4096}`, and one number that differs stands out in its bucket [1]_.
:mod:`casaprov.comparison.sketches` draws such conclusions.

A stream of numbers is cut into units of 16 rows of 4096. Number `i` is in unit
``i // 65536``, row ``r``, column ``c``. Its bucket is ``(c + 249 r + rotation) % 4096``:
within a unit, numbers share a bucket if their distance is a multiple of 3847, a
prime, as distances of rows, planes or channels are not. Its sign is
``pattern[(offset + i % 65536) % 2**17]``, times that of the unit. Rotation, offset and
sign of a unit are bits of a hash of its number, so that no two units are summed
alike: an exchange of two planes of an image does not cancel.

A complex number counts as two, its real and its imaginary part. Numbers that are
not finite are left out, counted, and digested with their places. Up to 4096 numbers
are kept as they are, in place of sums.

References
----------
.. [1] M. Charikar, K. Chen, M. Farach-Colton, "Finding frequent items in data
   streams", Theoretical Computer Science 312 (2004), 3-15.
"""

from __future__ import annotations

import base64
import binascii
import math
import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from casaprov.digests.json_fields import integer, mapping, number, optional, sequence, text
from casaprov.errors import DigestError

__all__ = ["BUCKETS", "LinearPart", "LinearSketch", "LinearSketcher", "splitmix64"]

Array = np.ndarray[Any, Any]

BUCKETS = 4096

_ROWS = 16
_UNIT = _ROWS * BUCKETS
_SHIFT = 249
_SHIFTED_ROWS = -(-_ROWS * (BUCKETS + _SHIFT) // BUCKETS)
_PATTERN = 2**17  # a longer one falls out of the processor's cache, and takes a third longer
_PATTERN_SEED = 2**32  # the hashes of the pattern are others than those of units
_UNITS_AT_ONCE = 16
"""Units whose sums are added up as plain doubles. Blocks of 16 MiB are multiples of it, whatever the type."""

_STEPS = {"single": 2.0**-26, "double": 2.0**-40}
"""Rounding of buckets, as a part of their rms, by the precision of the numbers; single precision itself rounds to 2**-24."""

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of splitmix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014)."""

_STORED = ("<f4", "<f8", "<i4", "<i8")
_MAX_TEXT = 64 * 2**10


def splitmix64(values: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the hash splitmix64 of each value."""
    z = values + np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_SECOND)
    return z ^ (z >> np.uint64(31))


@lru_cache(maxsize=2)
def _pattern(dtype: str = "float64") -> Array:
    """Return the signs, 1 or -1, continued by the length of a unit beyond their period."""
    places = np.arange(_PATTERN, dtype=np.uint64) + np.uint64(_PATTERN_SEED)
    signs = 1 - 2 * (splitmix64(places) >> np.uint64(63)).astype(dtype)
    return np.concatenate([signs, signs[:_UNIT]])


def _layout(unit: int) -> tuple[int, int, bool]:
    """Return the way in which the numbers of a unit are summed: offset, rotation, and whether the sign is negative."""
    # In Python's integers: for a single value, numpy takes ten times as long.
    z = (unit + _GOLDEN) % 2**64
    z = (z ^ (z >> 30)) * _FIRST % 2**64
    z = (z ^ (z >> 27)) * _SECOND % 2**64
    z ^= z >> 31
    return z % _PATTERN, (z >> 20) % BUCKETS, bool(z >> 63)


class _Scratch(threading.local):
    """Memory for intermediate results, which all sketches of a thread share.

    Attributes
    ----------
    rows, columns
        Two views of the same memory. Rows of a unit are written at a distance of 4096 + 249 numbers and summed at
        one of 4096: that shifts each of them against the one before. The gaps between them stay zero.
    """

    def __init__(self) -> None:
        flat = np.zeros(_SHIFTED_ROWS * BUCKETS)
        size = flat.itemsize
        self.rows = np.lib.stride_tricks.as_strided(flat, (_ROWS, BUCKETS), ((BUCKETS + _SHIFT) * size, size))
        self.columns = flat.reshape(_SHIFTED_ROWS, BUCKETS)
        self.signed = np.empty((_ROWS, BUCKETS), np.float32)
        self.sums = np.empty(BUCKETS)


_scratch = _Scratch()
_zeros = np.zeros(BUCKETS)


@dataclass(frozen=True, eq=False)
class LinearPart:
    """The numbers or the sums of a part of a stream: all that :meth:`LinearSketch.of` needs to know of it.

    Attributes
    ----------
    first, count
        Place of its first real number in the stream, and how many real numbers it has.
    precision
        ``single``, ``double`` or ``integer``; empty if it has none.
    not_finite
        How many of them are not finite.
    places
        Two sums of hashes of their places and kinds.
    numbers
        The numbers, as doubles, if there are at most 4096; zero for those that are not finite.
    sums
        The buckets, as unevaluated sums of two doubles, if there are more: they add up to one result in any order.
    """

    first: int
    count: int
    precision: str
    not_finite: int
    places: tuple[int, int]
    numbers: Array | None
    sums: tuple[Array, Array] | None

    def added_up(self) -> tuple[Array, Array]:
        """Return the buckets, also of a part that has its numbers."""
        if self.sums is not None:
            return self.sums
        sketcher = LinearSketcher(first=self.first)
        sketcher.update(np.empty(0) if self.numbers is None else self.numbers)
        return sketcher.sums()

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON values."""
        return {
            **vars(self),
            "places": [f"{place:x}" for place in self.places],
            "numbers": None if self.numbers is None else _encoded(self.numbers),
            "sums": None if self.sums is None else [_encoded(half) for half in self.sums],
        }

    @classmethod
    def from_json(cls, value: Any, name: str = "linear") -> LinearPart:
        """Read a part; raise :class:`DigestError` if it has not the form that :meth:`to_json` gives it."""
        data = mapping(value, name)
        places = [_hexadecimal(place) for place in sequence(data.get("places"), "places")]
        sums = [_decoded(half, BUCKETS) for half in optional(data, "sums", sequence) or ()]
        count = integer(data.get("count"), "count", least=0)
        numbers = optional(data, "numbers", lambda encoded, _name: _decoded(encoded, count))
        if len(places) != 2 or len(sums) != (2 if numbers is None else 0):
            raise DigestError("A part of a sketch has neither its numbers nor its sums.")
        return cls(
            first=integer(data.get("first"), "first", least=0),
            count=count,
            precision=text(data.get("precision"), "precision"),
            not_finite=integer(data.get("not_finite"), "not_finite", least=0),
            places=(places[0], places[1]),
            numbers=numbers,
            sums=(sums[0], sums[1]) if sums else None,
        )


def _encoded(numbers: Array) -> str:
    return base64.b64encode(numbers.astype("<f8").tobytes()).decode()


def _decoded(value: Any, count: int) -> Array:
    stored = _bytes(text(value, "numbers"))
    if len(stored) != 8 * count:
        raise DigestError(f"A part of a sketch has not {count} numbers.")
    return np.frombuffer(stored, "<f8").astype(np.float64)


def _hexadecimal(value: Any) -> int:
    try:
        return int(text(value, "places"), 16)
    except ValueError as error:
        raise DigestError("A sum of places is no hexadecimal number.") from error


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DigestError("The numbers of a sketch are not in base64.") from error


class LinearSketcher:
    """Adds up a stream of numbers, or a part of one, while it is read.

    Parameters
    ----------
    first
        Place of the part's first value in the stream.
    """

    def __init__(self, *, first: int = 0) -> None:
        self._first = first
        self._count = 0
        self._precision = ""
        self._not_finite = 0
        self._places = [0, 0]
        self._unit = 0
        self._open: Array = np.empty(0)  # the numbers of a unit that is not complete yet, zeros around them
        self._filled = 0
        self._block: Array = np.empty(0)
        self._high: Array = np.empty(0)
        self._low: Array = np.empty(0)

    def update(self, values: Array) -> None:
        """Append numbers in native byte order, in the array's C order."""
        flat = np.ascontiguousarray(values).reshape(-1)
        complex_ = flat.dtype.kind == "c"
        numbers = flat.view(f"f{flat.itemsize // 2}") if complex_ else flat
        if not numbers.size:
            return
        if not self._count:
            self._begin(numbers.dtype, self._first * (2 if complex_ else 1))
        self._count += numbers.size
        with np.errstate(all="ignore"):
            while numbers.size:
                if not self._filled and numbers.size >= _UNIT:  # a whole unit, which needs no copy
                    self._add(numbers[:_UNIT])
                    numbers = numbers[_UNIT:]
                    continue
                taken = min(_UNIT - self._filled, numbers.size)
                self._collect(numbers[:taken])
                numbers = numbers[taken:]

    def part(self) -> LinearPart:
        """Return the appended values; call it once, at the end."""
        numbers = sums = None
        if self._count <= BUCKETS and self._filled >= self._count:  # all of them are in one unit
            numbers = self._finite(self._open[self._filled - self._count : self._filled], self._filled - self._count)
        else:
            sums = self.sums()
        return LinearPart(
            first=self._first,
            count=self._count,
            precision=self._precision,
            not_finite=self._not_finite,
            places=(self._places[0], self._places[1]),
            numbers=None if numbers is None else numbers.astype(np.float64),
            sums=sums,
        )

    def sums(self) -> tuple[Array, Array]:
        """Return the buckets of the appended values; call it once, at the end."""
        with np.errstate(all="ignore"):
            if self._filled:
                self._add(self._open[: self._filled])
            self._close_block()
        return self._high, self._low

    def _begin(self, dtype: np.dtype[Any], first: int) -> None:
        self._first = first
        self._precision = "integer" if dtype.kind != "f" else "single" if dtype.itemsize < 8 else "double"
        self._unit, self._filled = divmod(first, _UNIT)
        self._open = np.zeros(self._filled, dtype)

    def _collect(self, numbers: Array) -> None:
        """Keep numbers until their unit is complete."""
        filled = self._filled + numbers.size
        if filled > self._open.size:
            # Doubled, since a column may come cell by cell, and most columns are far shorter than a unit.
            grown = np.zeros(min(_UNIT, max(filled, 2 * self._open.size)), numbers.dtype)
            grown[: self._filled] = self._open[: self._filled]
            self._open = grown
        self._open[self._filled : filled] = numbers
        self._filled = filled
        if filled == _UNIT:
            self._add(self._open)
            self._filled = 0

    def _add(self, numbers: Array) -> None:
        """Add a unit, or the beginning of one, to the buckets."""
        if not self._block.size:
            self._block = np.zeros(BUCKETS)
        offset, rotation, negative = _layout(self._unit)
        sums = _sum(numbers, offset)
        # Zero times NaN or infinity is NaN: one product is cheaper than a look at each number, and is finite nearly always.
        if not math.isfinite(np.dot(sums, _zeros)):
            sums = _sum(self._finite(numbers, 0), offset)
        add = np.subtract if negative else np.add
        head, tail = self._block[:rotation], self._block[rotation:]
        add(tail, sums[: tail.size], tail)
        add(head, sums[tail.size :], head)
        self._unit += 1
        if self._unit % _UNITS_AT_ONCE == 0:
            self._close_block()

    def _finite(self, numbers: Array, first: int) -> Array:
        """Return numbers of this unit with zeros for those that are not finite, which are noted."""
        finite = np.isfinite(numbers)
        if finite.all():
            return numbers
        self._note(numbers, np.flatnonzero(~finite), first)
        return np.where(finite, numbers, numbers.dtype.type(0))

    def _note(self, numbers: Array, indices: Array, first: int) -> None:
        """Count and digest numbers that are not finite: NaN, infinity or minus infinity, and their places."""
        self._not_finite += indices.size
        bad = numbers[indices]
        kinds = np.where(np.isnan(bad), 1, np.where(bad > 0, 2, 3)).astype(np.uint64)
        facts = (np.uint64(self._unit * _UNIT + first) + indices.astype(np.uint64)) * np.uint64(4) + kinds
        for half in range(2):
            facts = splitmix64(facts)
            self._places[half] = (self._places[half] + int(np.add.reduce(facts, dtype=np.uint64))) % 2**64

    def _close_block(self) -> None:
        if not self._block.size:
            return
        if self._high.size:
            self._high, error = _two_sum(self._high, self._block)
            self._low = self._low + error
        else:
            self._high, self._low = self._block, np.zeros(BUCKETS)
        self._block = np.empty(0)


def _sum(numbers: Array, offset: int) -> Array:
    """Return the signed sums of the columns of a unit, each row shifted against the one before."""
    rows = -(-numbers.size // BUCKETS)
    if numbers.size < rows * BUCKETS:
        numbers = np.concatenate([numbers, np.zeros(rows * BUCKETS - numbers.size, numbers.dtype)])
    unit, shifted = numbers.reshape(rows, BUCKETS), _scratch.rows[:rows]
    if numbers.dtype == np.float32:
        # A sign changes no digit, so it may be given in single precision, which takes half as long.
        signs = _pattern("float32")[offset : offset + unit.size].reshape(rows, BUCKETS)
        shifted[...] = np.multiply(unit, signs, out=_scratch.signed[:rows])
    else:
        signs = _pattern()[offset : offset + unit.size].reshape(rows, BUCKETS)
        np.multiply(unit, signs, out=shifted)
    _scratch.rows[rows : rows + 1] = 0  # the remains of a longer unit, as far as the sums reach
    reached = -(-rows * (BUCKETS + _SHIFT) // BUCKETS)
    return np.add.reduce(_scratch.columns[:reached], axis=0, out=_scratch.sums)


def _two_sum(one: Array, two: Array) -> tuple[Array, Array]:
    """Return the sum of doubles and its rounding error, which is a double (D. E. Knuth, TAOCP 2, 4.2.2)."""
    total = one + two
    part = total - one
    return total, (one - (total - part)) + (two - part)


@dataclass(frozen=True, kw_only=True)
class LinearSketch:
    """The numbers of a whole stream if there are at most 4096, else its buckets, rounded; both compressed.

    Attributes
    ----------
    count
        How many real numbers the stream has: two for each complex number.
    not_finite
        How many of them are not finite.
    places
        Digest of their places and kinds, hexadecimal; empty if there are none.
    stored
        Type of the numbers or buckets: as numpy writes it, ``<f4``, ``<f8``, ``<i4`` or ``<i8``.
    step
        Value of the bucket 1 where they are integers, else 0: buckets are rounded to multiples of it.
    data
        Numbers or buckets in base64: their bytes, the first ones of all before the second ones, compressed by zlib;
        integers are first folded to ``2 n`` and ``-2 n - 1``.
    """

    count: int
    not_finite: int
    places: str
    stored: str
    step: float
    data: str

    @classmethod
    def of(cls, parts: Iterable[LinearPart]) -> LinearSketch | None:
        """Join the parts of a stream, all of them; None if it has no numbers, or their sums exceed the largest double."""
        parts = sorted((part for part in parts if part.count), key=lambda part: part.first)
        if not parts:
            return None
        count = sum(part.count for part in parts)
        not_finite = sum(part.not_finite for part in parts)
        places = [sum(part.places[half] for part in parts) % 2**64 for half in range(2)]
        values = _numbers(parts) if count <= BUCKETS else _buckets(parts)
        if not np.isfinite(values).all():
            return None
        stored, step = _form(values, count, parts[0].precision)
        return cls(
            count=count,
            not_finite=not_finite,
            places=f"{places[0]:016x}{places[1]:016x}" if not_finite else "",
            stored=stored,
            step=step,
            data=_packed(np.rint(values / step) if step else values, stored),
        )

    def is_whole(self) -> bool:
        """Return True if the sketch holds the numbers themselves."""
        return self.count <= BUCKETS

    def values(self) -> Array:
        """Return the numbers in order, zero for those that are not finite, or the buckets; as doubles.

        Raises
        ------
        DigestError
            If they are not in the form that this class gives them.
        """
        values = _unpacked(self.data, self.stored, min(self.count, BUCKETS)).astype(np.float64)
        values = values * self.step if self.step else values
        if not np.isfinite(values).all():
            raise DigestError("A bucket of a sketch is not finite.")
        return values

    def to_json(self) -> dict[str, Any]:
        """Return the sketch as JSON values."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, value: Any, name: str = "linear") -> LinearSketch:
        """Read a sketch; raise :class:`DigestError` if it has not this form. Its numbers are not unpacked yet."""
        data = mapping(value, name)
        sketch = cls(
            count=integer(data.get("count"), "count", least=1),
            not_finite=integer(data.get("not_finite"), "not_finite", least=0),
            places=text(data.get("places"), "places"),
            stored=text(data.get("stored"), "stored"),
            step=float(number(data.get("step"), "step")),
            data=text(data.get("data"), "data"),
        )
        is_float = sketch.stored in ("<f4", "<f8")
        if sketch.stored not in _STORED or len(sketch.data) > _MAX_TEXT:
            raise DigestError("The numbers of a sketch are not in a form that this casaprov knows.")
        if not (sketch.step == 0 if is_float else 0 < sketch.step < math.inf):
            raise DigestError("The rounding of a sketch is no positive number.")
        return sketch


def _numbers(parts: Sequence[LinearPart]) -> Array:
    """Return the numbers of a short stream, all of whose parts have theirs."""
    return np.concatenate([part.numbers for part in parts if part.numbers is not None])


def _buckets(parts: Sequence[LinearPart]) -> Array:
    """Return the buckets of a stream from those of its parts."""
    high, low = np.zeros(BUCKETS), np.zeros(BUCKETS)
    with np.errstate(all="ignore"):
        for part in parts:
            sums = part.added_up()
            high, error = _two_sum(high, sums[0])
            low = low + sums[1] + error
    return high + low


def _form(values: Array, count: int, precision: str) -> tuple[str, float]:
    """Choose how values are stored, and the step that they are rounded to: 0 if they are not."""
    largest = float(np.abs(values).max())
    if precision == "integer":
        if largest >= 2**53:  # beyond it, doubles are not exact anyway
            return "<f8", 0.0
        return ("<i4" if largest < 2**30 else "<i8"), 1.0
    if count <= BUCKETS:
        return ("<f4" if precision == "single" else "<f8"), 0.0
    rms = math.sqrt(float(np.mean(np.square(values / largest)))) * largest if largest else 0.0
    step = 2.0 ** math.floor(math.log2(rms * _STEPS[precision])) if rms * _STEPS[precision] > 0 else 0.0
    if not step or largest / step >= 2**62:
        return "<f8", 0.0
    return ("<i4" if largest / step < 2**30 else "<i8"), step


def _packed(values: Array, stored: str) -> str:
    if stored[1] == "i":
        whole = values.astype(np.int64)
        values = (whole << 1) ^ (whole >> 63)  # small numbers of either sign have zeros in front
    numbers = values.astype(stored)
    planes = numbers.view(np.uint8).reshape(numbers.size, numbers.itemsize).T
    # Most bytes are noise; what can be compressed are runs, of zeros above all. Other strategies take longer for no less.
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return base64.b64encode(packer.compress(planes.tobytes()) + packer.flush()).decode()


def _unpacked(packed: str, stored: str, count: int) -> Array:
    dtype = np.dtype(stored)
    size = count * dtype.itemsize
    unpacker = zlib.decompressobj()
    try:
        planes = unpacker.decompress(_bytes(packed), size)  # bounded: a stranger's few bytes may unpack to gigabytes
    except zlib.error as error:
        raise DigestError("The numbers of a sketch are not compressed by zlib.") from error
    if len(planes) != size or unpacker.unconsumed_tail or not unpacker.eof:
        raise DigestError(f"A sketch has not {count} numbers or buckets.")
    numbers = np.frombuffer(planes, np.uint8).reshape(dtype.itemsize, count).T.copy().view(dtype).reshape(-1)
    if dtype.kind == "i":
        folded = numbers.astype(np.int64)
        return (folded >> 1) ^ -(folded & 1)
    return numbers
