"""The description of a crate: what its pages show, and when its observations ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from archived import a_deposit
from casaprov.archive.settings import PolicySettings
from casaprov.archive.work.about import about
from casaprov.archive.work.checking import _public_from
from casaprov.crates.layout import Manifest
from casaprov.records.observation import Observation
from records import Story

MANIFEST = Manifest(notebook="n.ipynb", title="n")


def inputs_of(*ends: float | None) -> list[dict[str, object]]:
    story = Story()
    story.call("listobs", used=["a.ms"], generated=["a.txt"])
    seen = tuple(Observation(target_name=str(number), t_max=end) for number, end in enumerate(ends))
    document = story.document
    first = replace(document.entities[0], observations=seen)
    described = about(replace(document, entities=(first, *document.entities[1:])), MANIFEST, ())
    found: list[dict[str, object]] = described["inputs"]
    return found


def test_an_input_names_the_end_of_its_last_observation() -> None:
    assert inputs_of(60310.0, None, 60311.0)[0]["t_max"] == 60311.0


@pytest.mark.parametrize("end", [None, -1.0, 1e300, float("nan")])
def test_a_time_that_is_none_hides_nothing_and_breaks_nothing(end: float | None) -> None:
    (item,) = inputs_of(end)
    assert item["t_max"] is None
    assert _public_from(a_deposit(public_from=None), [item], PolicySettings()) is None


def test_a_crate_is_hidden_until_the_proprietary_period_of_its_inputs_ends() -> None:
    policy = PolicySettings(proprietary_months=12)
    until = _public_from(a_deposit(public_from=None), inputs_of(60310.0), policy)
    assert until == datetime(2025, 1, 1, tzinfo=UTC)
    later = datetime(2030, 1, 1, tzinfo=UTC)
    assert _public_from(a_deposit(public_from=later), inputs_of(60310.0), policy) == later
