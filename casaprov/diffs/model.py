"""The differences between two runs, as values.

``first`` and ``second`` are the runs as they were given. A call that both have is one :class:`CallDiff`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from casaprov.comparison.verdict import Comparison
from casaprov.replays.report import EnvironmentDifference

__all__ = [
    "RUN_DIFF_FORMAT",
    "CallDiff",
    "Cause",
    "InputChange",
    "ParameterChange",
    "ProductDiff",
    "RunDiff",
    "RunFacts",
]

RUN_DIFF_FORMAT: Final = "casaprov/run-diff/1"

Presence = Literal["both", "first", "second"]

Given = Literal["both", "first", "second", "neither"]

Role = Literal["same", "no-effect", "cause", "effect", "environment", "unexplained"]
"""Part that a call has in the differences.

``same``: nothing differs. ``no-effect``: it was called otherwise, and left the same. ``cause``: it was called otherwise, and
left something else. ``effect``: it was called in the same way on other inputs. ``environment``: the same call left something
else under other versions. ``unexplained``: it left something else, and the records do not say why.
"""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """One of the two runs: its name, begin and number of calls."""

    name: str
    started_at: str
    calls: int


@dataclass(frozen=True, kw_only=True)
class ParameterChange:
    """A parameter that two calls do not have in common.

    Attributes
    ----------
    first, second
        The values as recorded; None also where there is no such parameter.
    presence
        The calls that have the parameter; versions of a task differ in that.
    given
        The calls in which the user gave it; it is a default in the others.
    only_names
        True if the values merely name the same inputs or products by other paths.
    """

    name: str
    first: Any = None
    second: Any = None
    presence: Presence = "both"
    given: Given = "both"
    only_names: bool = False


@dataclass(frozen=True, kw_only=True)
class InputChange:
    """A state that a call used and that has another content in the other run, or is not there.

    Attributes
    ----------
    path
        Its path in the second run; in the first one if it is used only there.
    source
        ``external``: no recorded call made it. ``call``: it came from earlier calls of the run. ``outside``: something
        other than a recorded call changed it.
    from_calls
        Places in :attr:`RunDiff.calls` of the calls that it came from.
    """

    path: str
    parameter: str | None = None
    presence: Presence = "both"
    source: Literal["external", "call", "outside"]
    from_calls: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProductDiff:
    """A product of both runs, or of one of them.

    Attributes
    ----------
    path, first_path
        Its path in the second run, and in the first one if that is another.
    final
        False for a state that a later call changed or replaced.
    comparison
        By the records; None if only one run has it.
    causes
        Places in :attr:`RunDiff.causes` of what made it differ, the first one before the others.
    """

    path: str
    first_path: str = ""
    kind: str
    presence: Presence = "both"
    final: bool = True
    comparison: Comparison | None = None
    causes: tuple[int, ...] = ()

    @property
    def differs(self) -> bool:
        """Return True if it is another one, or only one run has it."""
        return self.comparison is None or self.comparison.verdict in ("differs", "missing")

    @property
    def is_same(self) -> bool:
        """Return True if both runs have the same content."""
        return self.comparison is not None and self.comparison.verdict in ("identical", "same-content")


@dataclass(frozen=True, kw_only=True)
class CallDiff:
    """A call of both runs, or of one of them.

    Attributes
    ----------
    first, second
        Number of the call in each run, from 1; None where there is none.
    moved
        True if it ran at another place among the other calls.
    outcomes
        How it ended in each run, if that differs.
    returned
        Sentence on its return values, if they differ.
    products
        What it left and what differs or is in one run only; equal products are left out.
    """

    first: int | None
    second: int | None
    task: str
    role: Role = "same"
    moved: bool = False
    parameters: tuple[ParameterChange, ...] = ()
    inputs: tuple[InputChange, ...] = ()
    outcomes: tuple[str, ...] = ()
    returned: str = ""
    products: tuple[ProductDiff, ...] = ()

    @property
    def number(self) -> str:
        """Number of the call in words: ``5``, or ``5 → 6`` if the runs number it differently."""
        numbers = [str(number) for number in dict.fromkeys((self.first, self.second)) if number is not None]
        return " → ".join(numbers)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A difference that nothing before it explains.

    Attributes
    ----------
    call
        Place in :attr:`RunDiff.calls`.
    sentence
        The difference in words.
    products
        Paths of the final products that differ because of it.
    """

    call: int
    sentence: str
    products: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunDiff:
    """All differences between two runs.

    Attributes
    ----------
    answer
        The most important of it, in one or two sentences.
    environment
        Versions and settings that differ.
    calls
        All calls in the order in which they ran.
    causes
        Differences with an effect that nothing before them explains, in the order in which they happened.
    products
        All final products: those that differ before those that are the same.
    """

    first: RunFacts
    second: RunFacts
    answer: str
    environment: tuple[EnvironmentDifference, ...] = ()
    causes: tuple[Cause, ...] = ()
    calls: tuple[CallDiff, ...] = ()
    products: tuple[ProductDiff, ...] = ()
    format: str

    @property
    def same(self) -> bool:
        """Return True if no final product is known to differ, and all calls ended alike."""
        return not any(one.differs for one in self.products) and not any(call.outcomes for call in self.calls)

    @property
    def undecided(self) -> tuple[ProductDiff, ...]:
        """Final products that the records do not decide about."""
        verdicts = ((one, one.comparison.verdict) for one in self.products if one.comparison is not None)
        return tuple(one for one, verdict in verdicts if verdict == "not-verifiable")
