"""Comparison of arrays bit by bit, and the distances of their numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from casaprov.comparison.verdict import Difference, Tolerance
from casaprov.formats.keywords import encode
from casaprov.hashing import canonical_json

__all__ = ["Tally", "distances", "format_change", "format_value", "same_bits", "same_value"]

Array = np.ndarray[Any, Any]

_LONGEST = 60
_SHOWN_ELEMENTS = 3
_BEFORE_CHANGE = 20
_LARGEST = float(np.finfo(np.float64).max)


def same_bits(left: Array, right: Array) -> Array:
    """Return True for each element that two arrays of one dtype share, bit by bit, as digests do.

    NaN is the same as NaN with the same sign and payload; 0.0 is not the same as -0.0.
    """
    if left.dtype.kind == "O":
        return np.fromiter(
            (same_value(a, b) for a, b in zip(left.ravel(), right.ravel(), strict=True)), bool, left.size
        ).reshape(left.shape)
    if left.dtype.kind == "c":
        parts = np.dtype(f"f{left.dtype.itemsize // 2}")
        both = (np.ascontiguousarray(side).view(parts).reshape(*side.shape, 2) for side in (left, right))
        whole: Array = np.all(same_bits(*both), axis=-1)
        return whole
    if left.dtype.kind != "f":
        equal: Array = left == right
        return equal
    # As unsigned integers, since -0.0 equals 0.0 and no NaN equals another.
    bits = np.dtype(f"u{left.dtype.itemsize}")
    alike: Array = np.equal(np.ascontiguousarray(left).view(bits), np.ascontiguousarray(right).view(bits))
    return alike


def _differ_as_nan(left: Array, right: Array) -> Array:
    """Return True for each floating-point element that differs in nothing but the bits of NaNs."""
    if left.dtype.kind == "c":
        parts = ((left.real, right.real), (left.imag, right.imag))
        whole: Array = np.logical_and.reduce([same_bits(*part) | _differ_as_nan(*part) for part in parts])
        return whole & ~same_bits(left, right)
    both: Array = np.isnan(left) & np.isnan(right)
    return both & ~same_bits(left, right)


def distances(left: Array, right: Array) -> tuple[Array, Array]:
    """Return absolute and relative differences of two arrays of finite numbers.

    A relative difference is a part of the larger of the two magnitudes: it
    needs no reference and is at most 2. Where a difference exceeds the largest
    double, it is cut to that.
    """
    if left.dtype.kind in "iu":
        # Integers beyond 2**53 would lose their difference as doubles; modulo 2**64 it is exact.
        low, high = np.minimum(left, right), np.maximum(left, right)
        apart = (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
    else:
        wide = np.complex128 if left.dtype.kind == "c" else np.float64
        with np.errstate(over="ignore"):
            apart = np.minimum(np.abs(left.astype(wide) - right.astype(wide)), _LARGEST)
    with np.errstate(over="ignore"):
        size = np.minimum(np.maximum(_magnitude(left), _magnitude(right)), _LARGEST)
    return apart, np.divide(apart, size, out=np.zeros_like(apart), where=size > 0)


def _magnitude(values: Array) -> Array:
    wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
    size: Array = np.abs(wide)
    return size


class Tally:
    """Counts the elements that differ in one column, HDU or keyword, block by block.

    Parameters
    ----------
    tolerance
        Tolerance between floating-point values.
    noun
        Name of an element in the sentence, in the singular.
    """

    def __init__(self, tolerance: Tolerance, noun: str = "value") -> None:
        self._tolerance = tolerance
        self._noun = noun
        self._compared = 0
        self._differing = 0
        self._reshaped_cells = 0
        self._uncovered = 0  # differing elements that the tolerance does not cover
        self._not_finite = 0  # differing elements that are NaN or infinite on one side at least
        self._nan_bits = 0  # differing elements that are NaN on both sides, with another sign or payload
        self._set = 0  # differing flags that are set now
        self._max_abs: float | None = None
        self._max_rel: float | None = None
        self._first = ""

    def add(self, left: Array, right: Array, places: Callable[[int], str]) -> None:
        """Compare two arrays of one dtype and size.

        `places` is called with the index of the first differing element and
        names its place.
        """
        left, right = left.reshape(-1), right.reshape(-1)
        self._compared += left.size
        where = np.flatnonzero(~same_bits(left, right))
        if not where.size:
            return
        self._differing += where.size
        left, right = left[where], right[where]
        self._note(f"{places(int(where[0]))}: {_change(left[0], right[0])}")
        if left.dtype.kind == "b":
            self._set += int(np.count_nonzero(right))
        if left.dtype.kind not in "fciu":
            self._uncovered += where.size
            return
        if left.dtype.kind in "fc":
            as_nan = _differ_as_nan(left, right)
            if count := int(np.count_nonzero(as_nan)):
                self._nan_bits += count
                # Nobody computes with the bits of a NaN: any tolerance covers them.
                self._uncovered += 0 if self._tolerance.covers(0.0, 0.0) else count
            finite = np.isfinite(left) & np.isfinite(right)
            self._not_finite += int(np.count_nonzero(~finite & ~as_nan))
            left, right = left[finite], right[finite]
        if left.size:
            self._measure(*distances(left, right), exact=left.dtype.kind in "iu")

    def add_reshaped(
        self, first_row: int, cells: int, left: tuple[int, ...] | None, right: tuple[int, ...] | None
    ) -> None:
        """Count `cells` cells whose shapes, given in casacore's axis order, differ (None: undefined)."""
        self._reshaped_cells += cells
        self._note(f"in row {first_row}: {_shape(right)} instead of {_shape(left)}")

    def difference(self, path: str) -> Difference | None:
        """Return the difference of all that was added; None if nothing differs."""
        if not self._differing and not self._reshaped_cells:
            return None
        return Difference(
            path=path,
            what=self._sentence(),
            cells=self._differing,
            of=self._compared,
            max_abs=self._max_abs,
            max_rel=self._max_rel,
            within=not (self._uncovered or self._reshaped_cells or self._not_finite),
        )

    def _note(self, first: str) -> None:
        self._first = self._first or first

    def _measure(self, apart: Array, relative: Array, *, exact: bool) -> None:
        rtol, atol = self._tolerance.rtol, self._tolerance.atol
        covered = ((apart <= atol) & (atol > 0)) | ((relative <= rtol) & (rtol > 0))
        self._uncovered += apart.size if exact else int(np.count_nonzero(~covered))
        self._max_abs = max(self._max_abs or 0.0, float(apart.max()))
        self._max_rel = max(self._max_rel or 0.0, float(relative.max()))

    def _sentence(self) -> str:
        parts = []
        if self._differing:
            verb = "differs" if self._differing == 1 else "differ"
            parts.append(f"{self._differing} of {self._compared} {self._noun}s {verb}")
        if self._noun == "flag" and self._differing:
            parts.append(f"{self._set} set and {self._differing - self._set} cleared")
        if self._reshaped_cells:
            one = self._reshaped_cells == 1
            parts.append(f"{self._reshaped_cells} {'cell has' if one else 'cells have'} another shape")
        if self._nan_bits:
            parts.append(f"{self._nan_bits} of them only in the bits of a NaN")
        if self._not_finite:
            parts.append(
                f"{self._not_finite} of them {'is' if self._not_finite == 1 else 'are'} not finite on one side"
            )
        if self._max_abs is not None and self._max_rel is not None:
            parts.append(f"by at most {self._max_abs:.3g}, relatively {self._max_rel:.3g}")
        return f"{', '.join(parts)}; first {self._first}."


def same_value(left: Any, right: Any) -> bool:
    """Return True if two keyword values have the same encoding in a digest."""
    return canonical_json(encode(left)) == canonical_json(encode(right))


def format_value(value: Any, limit: int = _LONGEST) -> str:
    """Write a value for a sentence, cut to `limit` characters."""
    return _cut(_whole(value), limit)


def _whole(value: Any) -> str:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, np.ndarray):
        with np.printoptions(floatmode="unique", threshold=_LONGEST):
            return str(value).replace("\n", " ")
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind not in "fc" else value
    return repr(value) if isinstance(value, str) else str(value).replace("\n", " ")


def _cut(text: str, limit: int = _LONGEST) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def format_change(before: Any, now: Any) -> str:
    """Write two values that differ for a sentence, ``1.5 instead of 1.25``, with digits enough to tell them apart.

    Of arrays of one shape only the elements that differ are shown, with all their digits.
    """
    if isinstance(before, np.ndarray | list | tuple) and isinstance(now, np.ndarray | list | tuple):
        one, two = (value if isinstance(value, np.ndarray) else np.array(value, object) for value in (before, now))
        if one.dtype != two.dtype or one.dtype.kind not in "fciu":
            one, two = one.astype(object), two.astype(object)
        places = np.argwhere(~same_bits(one, two)).tolist() if one.shape == two.shape and one.ndim else []
        if places:
            shown = places[:_SHOWN_ELEMENTS]
            # In casacore's axis order, as the shapes of cells are.
            parts = [f"{_change(one[tuple(place)], two[tuple(place)])} at {place[::-1]}" for place in shown]
            more = len(places) - len(shown)
            return ", ".join(parts) + (f" and {more} more of {one.size}" if more else "")
    return _change(before, now)


def _change(before: Any, now: Any) -> str:
    old, new = format_value(before), format_value(now)
    if old == new:  # they differ beyond the cut: begin shortly before the first character that differs
        old, new = _whole(before), _whole(now)
        apart = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        if apart > _BEFORE_CHANGE:
            old, new = (f"…{text[apart - _BEFORE_CHANGE :]}" for text in (old, new))
        old, new = _cut(old), _cut(new)
    if old == new:  # 1 and True, for example, or NaNs with other bits
        old, new = (f"{text} ({_kind(value)})" for text, value in ((old, before), (new, now)))
    return f"{new} instead of {old}"


def _kind(value: Any) -> str:
    """Return the bits of a NaN, else the type of a value."""
    if isinstance(value, np.inexact) and bool(np.isnan(value)):
        return "0x" + value.tobytes()[::-1].hex() if sys.byteorder == "little" else "0x" + value.tobytes().hex()
    return type(value).__name__


def _shape(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "nothing"
    return f"an array of shape {list(shape)}" if shape else "a scalar"
