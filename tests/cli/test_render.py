"""What commands print."""

from __future__ import annotations

import io

from rich.console import Console

from casaprov.cli.render import replay_view
from casaprov.comparison.products import Comparison
from casaprov.comparison.verdict import Verdict
from casaprov.replays.report import REPORT_FORMAT, ProductReport, ReplayReport, StepReport

NOTHING = "nothing that is still there came from it"


def printed(*steps: StepReport, products: tuple[ProductReport, ...] = ()) -> str:
    """What a replay of these calls prints."""
    report = ReplayReport(
        crate="x.zip",
        work="/work",
        started_at="2026-05-01T10:00:00+00:00",
        ended_at="2026-05-01T10:01:00+00:00",
        steps=steps,
        products=products,
        environment=(),
        confined=True,
        format=REPORT_FORMAT,
    )
    out = io.StringIO()
    Console(file=out, width=400).print(replay_view(report))
    return out.getvalue()


def step(number: int, task: str, reason: str = "") -> StepReport:
    action = "leave-out" if reason else "run"
    return StepReport(id=f"s/{number:04d}", task=task, action=action, reason=reason, recorded_outcome="completed")


def test_a_replay_says_which_calls_it_left_out_and_why() -> None:
    failed = "it failed and left nothing behind"
    output = printed(
        step(1, "split"), step(2, "imstat", failed), step(3, "tclean", NOTHING), step(4, "tclean", NOTHING)
    )
    assert f"left out ({failed}): call 2 imstat" in output
    assert f"left out ({NOTHING}): call 3 tclean, call 4 tclean" in output
    assert "1 call replayed, 3 left out; 0 products: none." in output


def test_many_calls_that_are_left_out_alike_are_one_line() -> None:
    output = printed(*(step(number, "tclean", NOTHING) for number in range(1, 41)))
    assert output.count("left out (") == 1
    assert "call 5 tclean and 35 more" in output


def test_a_replay_that_leaves_nothing_out_does_not_speak_of_it() -> None:
    assert "left out" not in printed(step(1, "split"))


def test_a_replay_says_which_states_were_not_compared_and_why() -> None:
    def product(call: int, *, verdict: Verdict, final: bool = False) -> ProductReport:
        note = "The next call changed it before it was digested." if verdict == "not-verifiable" else ""
        comparison = Comparison(verdict, (), note)
        return ProductReport(
            path="a.ms", kind="MeasurementSet", made_by=f"s/{call:04d}", final=final, comparison=comparison
        )

    lost = [product(number, verdict="not-verifiable") for number in (1, 2)]
    products = (*lost, product(3, verdict="same-content", final=True))
    output = printed(*(step(number, "flagdata") for number in (1, 2, 3)), products=products)
    states = "a.ms as call 1 flagdata left it, a.ms as call 2 flagdata left it"
    assert f"not compared (The next call changed it before it was digested): {states}\n" in output
    assert "3 calls replayed; 1 product: 1 same-content." in output
    assert "not compared" not in printed(step(1, "flagdata"), products=products[2:])
