"""Lineage: what came from what, and what is still there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casaprov.errors import RecordError, UsageError
from casaprov.lineage.graph import Lineage
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


def test_the_part_between_two_paths(story: Story) -> None:
    lineage = Lineage(story.document)
    assert [a.task for a in lineage.between(None, "a.gcal").activities] == ["importuvfits", "gaincal"]
    assert [a.task for a in lineage.between("a.gcal", None).activities] == ["applycal", "tclean", "tclean"]
    assert [a.task for a in lineage.between("./a.gcal", "a.image/").activities] == ["applycal", "tclean"]
    assert lineage.between(None, None) == story.document
    part = lineage.between(None, "a.gcal")
    assert {entity.path for entity in part.entities} == {"raw.fits", "a.ms", "a.gcal"}
    with pytest.raises(UsageError, match=r"names no b\.ms"):
        lineage.between("b.ms", None)


def test_what_was_made_of_a_copy_lies_downstream_and_its_maker_upstream() -> None:
    story = Story()
    made = story.call("imsubimage", used=["cube.im"], generated=["a.im"])
    story.copy("a.im", "b.im")
    story.copy("b.im", "c.im")
    used = story.call("immath", used=["c.im"], generated=["d.im"])
    story.gap("a.im")
    looked = story.call("imstat", used=["a.im"])
    lineage = Lineage(story.document)
    assert lineage.downstream(lineage.states("cube.im")) == {made.id, used.id, looked.id}
    assert lineage.downstream(lineage.states("a.im")[:1]) == {used.id, looked.id}
    assert lineage.upstream(lineage.states("d.im")) == {made.id, used.id}
    assert lineage.between("a.im", "d.im").activities == (used,)


def test_a_name_that_is_not_known_is_compared_with_those_that_are(story: Story) -> None:
    with pytest.raises(UsageError, match=r"names no results/a\.image") as caught:
        Lineage(story.document).states("results/a.image")
    assert caught.value.hint == "It names a.image. 'casaprov inspect' lists the names it knows."


def test_a_part_of_what_was_left_later_is_no_product_of_its_own() -> None:
    # uvsub changes the parts of a Multi-MS through the whole.
    story = Story()
    story.call("partition", generated=["all.ms"])
    story.call("flagdata", changed=["all.ms/SUBMSS/0.ms"])
    story.call("tclean", used=["all.ms"], generated=["all.ms/x.image"])
    parts = {"all.ms/SUBMSS/0.ms", "all.ms/x.image"}
    assert {e.path for e in Lineage(story.document).products()} == {"all.ms", *parts}
    story.call("uvsub", changed=["all.ms"])
    lineage = Lineage(story.document)
    assert {e.path for e in lineage.products()} == {"all.ms", "all.ms/x.image"}
    assert {e.path for e in lineage.last_states()} == {"all.ms", *parts}
    # What only the working directory showed decides nothing, and covers nothing.
    *calls, last = story.document.activities
    observed = replace(last, generated=tuple(replace(usage, declared=False) for usage in last.generated))
    document = replace(story.document, activities=(*calls, observed))
    assert {e.path for e in Lineage(document).products()} == {"all.ms", *parts}
