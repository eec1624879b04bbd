"""Calls of a run from the top with the cache on: which of them the store would restore, and how long the others would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from casaprov.forecast.fresh_run import FreshCall, FreshCell, FreshRun
from casaprov.hashing import Digest
from casaprov.records.model import Activity

__all__ = ["ExpectedCall", "cached_run"]


@dataclass(frozen=True, kw_only=True)
class ExpectedCall:
    """A call of the run.

    Attributes
    ----------
    cell
        Number of its cell among the code cells, from 1.
    seconds
        Duration of the computation when it was recorded; None if its end is not recorded.
    """

    cell: int
    task: str
    outcome: Literal["restored", "run"]
    reason: str
    seconds: float | None


def cached_run(
    run: FreshRun, holds: Callable[[Digest], bool], changes: Callable[[str], str]
) -> tuple[ExpectedCall, ...]:
    """Return the calls of a run in their order.

    Parameters
    ----------
    holds
        Tells whether the store has the result of a key.
    changes
        Returns a sentence about the environment, if it is another one now than in a session of this id; else an empty
        text.
    """
    return tuple(call for cell in run.cells for call in _calls(cell, holds, changes))


def _calls(cell: FreshCell, holds: Callable[[Digest], bool], changes: Callable[[str], str]) -> Iterator[ExpectedCall]:
    whole = next((doubt.text for doubt in cell.doubts if doubt.concerns_run), "")
    for call in cell.calls:
        reason = whole or _reason_to_run(call, holds) or changes(call.activity.session)
        yield ExpectedCall(
            cell=cell.cell.number,
            task=call.activity.task,
            outcome="run" if reason else "restored",
            reason=reason or "Its inputs and parameters are those of a result in the store.",
            seconds=_seconds(call.activity),
        )


def _reason_to_run(call: FreshCall, holds: Callable[[Digest], bool]) -> str:
    doubt = next((doubt for doubt in call.doubts if doubt.concerns_run), None)
    if doubt is not None:
        return (
            f"{doubt.text} If that has the same content again, it is restored."
            if doubt.kind == "follows"
            else doubt.text
        )
    look_up = call.activity.look_up
    if look_up is None:
        return "It was recorded with the cache off."
    if look_up.key is None:
        return look_up.reason
    return "" if holds(look_up.key) else "The store has no result of it."


def _seconds(activity: Activity) -> float | None:
    """Return the duration of the computation; for a restored call, the sum of the time it took and the time it saved."""
    saved = activity.look_up.saved_s if activity.look_up is not None else 0.0
    return None if activity.seconds is None else activity.seconds + saved
