"""Verdicts that follow from the end of a replay."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from casaprov.archive.deposits import VerdictSummary
from casaprov.archive.work.limits import Limits, Outcome
from casaprov.archive.work.replaying import Replayed, verdict_of

AT = datetime(2026, 5, 1, tzinfo=UTC)
LIMITS = Limits(max_memory=1, max_disk=2, max_seconds=3, max_processes=4)


def ended(code: int = 0, output: bytes = b"", errors: str = "", exceeded: str = "") -> Replayed:
    outcome = Outcome(code=code, output=output, errors=errors, exceeded=exceeded)
    return verdict_of(outcome, LIMITS, at=AT, seconds=1.0, hidden=("/srv/archive", "/data/evn"))


def test_an_input_that_is_not_at_hand_is_named_and_is_no_failure() -> None:
    errors = (
        "Error: The input n14c3_1.IDI1 (FITS, sha256:cf106117125e…, 9827528 bytes) cannot be found: nothing else of this"
        " name or content is below /data/evn.\nGive the folder that holds the right n14c3_1.IDI1 with --data FOLDER.\n"
    )
    replayed = ended(3, errors=errors)
    assert replayed.report is None
    assert replayed.verdict.summary is VerdictSummary.NOT_REPLAYED
    assert replayed.verdict.note == "Not replayed: the input n14c3_1.IDI1 is not in the archive."


@pytest.mark.parametrize(
    ("errors", "note"),
    [
        ("", "The replay could not be carried out."),
        (
            "Error: CASA is not in /srv/archive/x.\nInstall it.\n",
            "The replay could not be carried out. CASA is not in …/x.",
        ),
        ("Traceback\nMemoryError\n", "The replay could not be carried out. MemoryError"),
    ],
)
def test_a_replay_without_a_report_says_why_and_shows_no_path(errors: str, note: str) -> None:
    assert ended(3, errors=errors).verdict.note == note


@pytest.mark.parametrize("exceeded", ["time", "memory", "disk", "processes", "lease"])
def test_a_limit_that_ended_a_replay_is_named(exceeded: str) -> None:
    verdict = ended(-9, exceeded=exceeded).verdict
    assert verdict.summary is VerdictSummary.NOT_REPLAYED
    assert verdict.note.startswith("The replay was ended: ")


def a_report(verdict: str, **step: Any) -> bytes:
    product = {"path": "a.im", "final": True, "comparison": {"verdict": verdict}}
    steps = [{"action": "run", "outcome": "completed", "recorded_outcome": "completed", **step}]
    return json.dumps({"products": [product], "steps": steps, "crate": "/srv/archive/x", "work": "/x"}).encode()


@pytest.mark.parametrize(
    ("report", "summary", "note"),
    [
        (a_report("same-content"), VerdictSummary.VERIFIED, ""),
        (a_report("differs"), VerdictSummary.DIFFERS, "a.im: differs"),
        (
            a_report("identical", outcome="failed"),
            VerdictSummary.DIFFERS,
            "A call ended otherwise than it was recorded.",
        ),
        (
            a_report("missing", action="blocked", reason="no a.ms in /data/evn/1"),
            VerdictSummary.NOT_REPLAYED,
            "Not replayed: no a.ms in …/1",
        ),
    ],
)
def test_a_verdict_follows_from_the_final_products(report: bytes, summary: VerdictSummary, note: str) -> None:
    replayed = ended(0, report)
    assert (replayed.verdict.summary, replayed.verdict.note) == (summary, note)
    assert replayed.report is not None
    assert not {"crate", "work"} & set(replayed.report)
