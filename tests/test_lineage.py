"""Lineage: what came from what, and what is still there."""

from __future__ import annotations

import pytest

from casaprov.errors import RecordError
from casaprov.lineage import Lineage
from records import Story


@pytest.fixture
def story() -> Story:
    """Import, calibrate in place, image; with a second image that replaces the first."""
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("applycal", used=["a.ms", "a.gcal"], changed=["a.ms"])
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    return story


def test_inputs_are_what_no_call_made(story: Story) -> None:
    assert [entity.path for entity in Lineage(story.document).inputs()] == ["raw.fits"]


def test_products_are_the_last_states(story: Story) -> None:
    lineage = Lineage(story.document)
    products = {entity.path: entity for entity in lineage.products()}
    assert set(products) == {"a.ms", "a.gcal", "a.image"}
    assert products["a.image"].generated_by == story.ids[4]
    assert products["a.ms"].generated_by == story.ids[2]


def test_a_deleted_folder_takes_its_members_along(story: Story) -> None:
    story.call("split", used=["a.ms"], generated=["out/b.ms"])
    story.call("rmtables", deleted=["out"])
    assert "out/b.ms" not in {entity.path for entity in Lineage(story.document).products()}


def test_upstream_follows_every_state(story: Story) -> None:
    lineage = Lineage(story.document)
    image = next(e for e in lineage.products() if e.path == "a.image")
    assert lineage.upstream([image]) == {story.ids[i] for i in (0, 1, 2, 4)}


def test_downstream_of_the_input_is_everything(story: Story) -> None:
    lineage = Lineage(story.document)
    assert lineage.downstream(lineage.inputs()) == set(story.ids)


def test_downstream_of_a_solution_leaves_out_what_came_before(story: Story) -> None:
    lineage = Lineage(story.document)
    gains = next(e for e in lineage.products() if e.path == "a.gcal")
    assert lineage.downstream([gains]) == {story.ids[i] for i in (2, 3, 4)}


def test_a_gap_keeps_its_past_and_shows() -> None:
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.gap("a.ms")
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    lineage = Lineage(story.document)
    assert [entity.path for entity in lineage.gaps()] == ["a.ms"]
    assert lineage.upstream(lineage.products()) == set(story.ids)


def test_only_keeps_what_the_sessions_name(story: Story) -> None:
    first = Lineage(story.document).only({story.session.id})
    assert first == story.document
    assert Lineage(story.document).only(set()).activities == ()


def test_a_record_that_names_what_is_not_there_is_refused(story: Story) -> None:
    story.entities.pop()
    with pytest.raises(RecordError, match="not recorded"):
        Lineage(story.document)
