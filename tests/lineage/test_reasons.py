"""Reasons of look-ups: which parameter, input or version changed since the last call like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from casaprov.hashing import digest_bytes
from casaprov.lineage.reasons import reasons
from casaprov.records.model import Activity, Document, Entity, Environment, LookUp, Session, Usage

SESSIONS = tuple(
    Session(
        id=name,
        started_at="2026-01-01T00:00:00.000000+00:00",
        folder="/w",
        environment=Environment(casatasks=version),
        casaprov="0",
    )
    for name, version in (("s", "6.7.0"), ("t", "6.7.5"))
)


def state(name: str, content: str, by: str | None = None) -> Entity:
    digest = digest_bytes(content.encode())
    return Entity(id=name, path="w.ms", kind="MeasurementSet", content_digest=digest, size_bytes=1, generated_by=by)


def call(number: int, used: str, outcome: Any = "run", **facts: Any) -> Activity:
    session = facts.pop("session", "s")
    return Activity(
        id=f"{session}/{number:04d}",
        session=session,
        task="gaincal",
        package="casatasks",
        started_at="2026-01-01T00:00:00.000000+00:00",
        outcome="completed",
        cwd=".",
        parameters=facts.pop("parameters", {"vis": "w.ms", "solint": "inf"}),
        used=(Usage(entity=used, parameter="vis"),),
        look_up=LookUp(outcome=outcome, reason="no result is stored for it"),
        **facts,
    )


def text(*calls: Activity) -> str:
    entities = (state("s/e1", "a"), state("s/e2", "b", "s/0002"))
    document = Document(notebook="n.ipynb", sessions=SESSIONS, activities=calls, entities=entities)
    return " ".join(reasons(document, calls[-1]))


def test_a_changed_parameter_is_named_with_both_values() -> None:
    found = text(call(1, "s/e1"), call(3, "s/e1", parameters={"vis": "w.ms", "solint": "60s"}))
    assert found == 'gaincal ran. Since call s/0001: the parameter solint was "inf" and is "60s".'


def test_a_changed_input_is_named_with_the_call_that_left_it() -> None:
    found = text(call(1, "s/e1"), call(3, "s/e2"))
    assert found == "gaincal ran. Since call s/0001: w.ms has other content; it was left by call s/0002."


def test_another_version_is_named() -> None:
    found = text(call(1, "s/e1"), call(1, "s/e1", session="t"))
    assert 'casatasks was "6.7.0" and is "6.7.5".' in found


def test_a_result_that_is_gone_is_told_from_a_change() -> None:
    assert "nothing changed in the record" in text(call(1, "s/e1"), call(3, "s/e1"))
    assert "no earlier call" in text(call(1, "s/e1"))


def test_other_answers_have_their_own_sentences() -> None:
    restored = call(3, "s/e1", "restored", restored_from="s/0001")
    assert text(call(1, "s/e1"), restored).startswith("gaincal was restored: call s/0001")
    refused = replace(call(3, "s/e1", "not-served"), look_up=LookUp(outcome="not-served", reason="It asks its user."))
    assert text(refused) == "gaincal ran: it is never looked up as it was called. It asks its user."
    assert text(replace(refused, look_up=None)) == "gaincal was not looked up: the cache was off."
