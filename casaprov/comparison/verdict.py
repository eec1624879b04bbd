"""Verdict and differences, which a comparison returns: all of them as values, never an exception for the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from casaprov.errors import UsageError
from casaprov.records.model import Tier

__all__ = ["Comparison", "Difference", "Tolerance", "Verdict", "conclude"]

Verdict = Literal["identical", "same-content", "within-tolerance", "differs", "missing", "not-verifiable"]
"""``identical`` holds for the bytes of single files only, ``same-content`` for the content that a digest covers."""


@dataclass(frozen=True)
class Tolerance:
    """Largest difference at which floating-point values agree; integers, flags and text must be equal.

    Two values agree within the tolerance if they differ by no more than `atol`,
    or by no more than `rtol` times the larger of their magnitudes (the rule of
    :func:`math.isclose`). By default only equal values agree.

    Raises
    ------
    casaprov.errors.UsageError
        If a tolerance is negative or not a number.
    """

    rtol: float = 0.0
    atol: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("relative", self.rtol), ("absolute", self.atol)):
            if not 0 <= value < float("inf"):
                raise UsageError(
                    f"{value} is no {name} tolerance.",
                    hint="A tolerance is a number that is zero or greater, like 1e-6.",
                )

    def covers(self, max_abs: float, max_rel: float) -> bool:
        """Return True if values that differ by this much agree; without a tolerance, not even 0.0 and -0.0 do."""
        return 0 < self.atol >= max_abs or 0 < self.rtol >= max_rel


@dataclass(frozen=True)
class Difference:
    """A difference between two products.

    Attributes
    ----------
    path
        Its place: ``DATA``, ``ANTENNA/POSITION``, ``keywords/TELESCOPE``,
        ``DATA/keywords/UNIT``, ``rows``, ``hdu 0 data``, ``line 12``. Members
        of directories and sub-tables come before it, separated by ``/``.
    what
        A sentence about it.
    cells, of
        How many values differ, and of how many. Each element of an array
        counts: a visibility, a flag, a pixel. None where it is not known.
    max_abs, max_rel
        The largest difference of two finite numbers, and the largest one as a
        part of the greater magnitude of the two; None where nothing can be subtracted.
    within
        True if the tolerance covers it.
    undecided
        True if it is not known whether the tolerance covers it.
    """

    path: str
    what: str
    cells: int | None = None
    of: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    within: bool = False
    undecided: bool = False


@dataclass(frozen=True)
class Comparison:
    """The verdict on two products, or on one product and its record.

    Attributes
    ----------
    note
        A limit of the verdict (only samples were compared), or the reason why
        there is none.
    tier
        ``fast`` if of large columns and files only samples were read.
    """

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    note: str = ""
    tier: Tier = "full"


def conclude(differences: Iterable[Difference], note: str = "", *, tier: Tier = "full") -> Comparison:
    """Return a comparison with the verdict that follows from all differences."""
    found = tuple(differences)
    if not found:
        return Comparison("same-content", (), note, tier)
    if all(item.within for item in found):
        return Comparison("within-tolerance", found, note, tier)
    if all(item.within or item.undecided for item in found):
        return Comparison("not-verifiable", found, note, tier)
    return Comparison("differs", found, note, tier)
