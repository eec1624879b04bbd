"""What a comparison returns: values, all of them, never an exception for the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from casaprov.errors import UsageError
from casaprov.records.model import Tier

__all__ = ["Comparison", "Difference", "Tolerance", "Verdict", "conclude"]

Verdict = Literal["identical", "same-content", "within-tolerance", "differs", "missing", "not-verifiable"]
"""``identical`` is said of the bytes of single files only, ``same-content`` of what a content digest covers."""


@dataclass(frozen=True)
class Tolerance:
    """How far floating-point values may differ; integers, flags and text never may.

    Two values agree within the tolerance if they differ by no more than `atol`,
    or by no more than `rtol` times the larger of their magnitudes (the rule of
    :func:`math.isclose`). Nothing is tolerated by default.

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
        """Tell whether values that differ by this much agree; 0.0 and -0.0 do not if nothing is tolerated."""
        return 0 < self.atol >= max_abs or 0 < self.rtol >= max_rel


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes
    ----------
    path
        Where: ``DATA``, ``ANTENNA/POSITION``, ``keywords/TELESCOPE``,
        ``DATA/keywords/UNIT``, ``rows``, ``hdu 0 data``, ``line 12``. Members
        of directories and sub-tables come before it, separated by ``/``.
    what
        What is different, as a sentence.
    cells, of
        How many values differ, and of how many. Each element of an array
        counts: a visibility, a flag, a pixel. None where it cannot be said.
    max_abs, max_rel
        The largest difference of two finite numbers, and the largest one as a
        part of the greater magnitude of the two; None where nothing can be subtracted.
    within
        True if the tolerance covers it.
    """

    path: str
    what: str
    cells: int | None = None
    of: int | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    within: bool = False


@dataclass(frozen=True)
class Comparison:
    """The verdict on two products, or on one product and its record.

    Attributes
    ----------
    note
        How the verdict was reached where that limits it (only samples were
        compared), or why there is none.
    tier
        ``fast`` if of large columns and files only samples were read.
    """

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    note: str = ""
    tier: Tier = "full"

    @property
    def verified(self) -> bool:
        """True if the product is what it should be."""
        return self.verdict in {"identical", "same-content", "within-tolerance"}


def conclude(differences: Iterable[Difference], note: str = "", *, tier: Tier = "full") -> Comparison:
    """Draw the verdict from all differences that were found."""
    found = tuple(differences)
    if not found:
        return Comparison("same-content", (), note, tier)
    return Comparison("within-tolerance" if all(item.within for item in found) else "differs", found, note, tier)
