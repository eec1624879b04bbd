"""Progress of a replay: numbers, and the time left from the record and from the speed here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casaprov.cli.console import tell_step
from casaprov.replays.plan import PlanStep
from casaprov.replays.progress import Estimate, Progress
from records import Story


def steps(*ends: str | None) -> list[PlanStep]:
    story = Story()
    calls = [story.call("tclean") for _ in ends]
    timed = (
        replace(call, started_at="2026-01-01T00:00:00.000000+00:00", ended_at=end)
        for call, end in zip(calls, ends, strict=True)
    )
    return [PlanStep(call, "run") for call in timed]


def test_the_time_left_is_recorded_first_and_then_corrected_by_the_speed_here() -> None:
    planned = steps(*(f"2026-01-01T00:{minutes:02}:00.000000+00:00" for minutes in (10, 20, 30)))
    planned.insert(1, replace(steps("2026-01-01T09:00:00.000000+00:00")[0], action="leave-out"))
    now = 0.0
    estimate = Estimate(planned, clock=lambda: now)
    first = estimate.progress(planned[0].activity)
    assert (first.number, first.total, first.left_s) == (1, 3, 3600.0)
    now = 300.0  # twice as fast
    second = estimate.progress(planned[2].activity)
    assert (second.number, second.left_s) == (2, 1500.0)
    now = 1801.0  # one second for each call
    third = estimate.progress(planned[3].activity)
    assert third.number == 3
    assert third.left_s == pytest.approx(1800.5)


def test_a_record_without_durations_gives_no_time() -> None:
    planned = steps(None, None)
    assert Estimate(planned).progress(planned[0].activity).left_s is None


@pytest.mark.parametrize(
    ("left_s", "said"), [(75.0, "call 2/3  tclean, about 1 min 15 s left"), (None, "call 2/3  tclean")]
)
def test_the_terminal_shows_number_total_and_time_left(
    left_s: float | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (step,) = steps(None)
    tell_step(Progress(number=2, total=3, activity=step.activity, left_s=left_s))
    assert capsys.readouterr().err == f"{said}\n"
