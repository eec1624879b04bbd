"""Progress of a replay: the call that runs now, and an estimate of the time left from the recorded durations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from casaprov.records.model import Activity
from casaprov.replays.plan import PlanStep

__all__ = ["Estimate", "OnStep", "Progress", "ignore_step"]

_ENOUGH_S = 2.0  # of recorded time, after which the speed of this machine is known


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A call that is about to run.

    Attributes
    ----------
    number, total
        Its number among the calls that are to run, from 1, and their number.
    left_s
        Estimated time until all have run; None if the record has no durations.
    """

    number: int
    total: int
    activity: Activity
    left_s: float | None


OnStep = Callable[[Progress], None]
"""Hears of each call before it runs."""


def ignore_step(_progress: Progress) -> None:
    """Do nothing: the default of :data:`OnStep`."""


class Estimate:
    """Estimates the time left, and corrects it by the time that the calls so far took here.

    Parameters
    ----------
    steps
        The steps of the plan.
    clock
        Returns seconds.
    """

    def __init__(self, steps: Iterable[PlanStep], clock: Callable[[], float] = time.monotonic) -> None:
        self._calls = [step.activity for step in steps if step.action == "run"]
        self._places = {activity.id: place for place, activity in enumerate(self._calls)}
        self._clock = clock
        self._began = clock()

    def progress(self, activity: Activity) -> Progress:
        """Return the progress as a call begins."""
        place = self._places[activity.id]
        done, left = (sum(call.seconds or 0.0 for call in part) for part in (self._calls[:place], self._calls[place:]))
        if done >= _ENOUGH_S:
            # This machine is faster or slower, or reading and comparing take a time of their own for each call, which
            # says nothing about long calls.
            passed = self._clock() - self._began
            left = min(left * passed / done, left + (passed - done) / place * (len(self._calls) - place))
        known = any(call.seconds is not None for call in self._calls)
        return Progress(number=place + 1, total=len(self._calls), activity=activity, left_s=left if known else None)
