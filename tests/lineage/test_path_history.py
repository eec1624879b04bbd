"""The history of paths: the states that are there last, the calls that left them, and the order in which calls ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from any_document import documents
from casaprov.hashing import digest_bytes
from casaprov.lineage.graph import Lineage
from casaprov.lineage.path_history import PathHistory
from casaprov.records.model import Document, Step
from records import Story


@pytest.fixture
def story() -> Story:
    """Import, calibrate, image twice under one name."""
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    return story


def test_the_states_of_a_path_are_known_with_the_calls_that_left_them(story: Story) -> None:
    history = PathHistory(story.document)
    assert [activity.id for activity, _ in history.left("a.image")] == story.ids[2:]
    assert [entity for _, entity in history.left("a.image")] == list(Lineage(story.document).states("a.image"))
    assert history.left("raw.fits") == history.left("never.was") == ()


def test_a_path_is_made_anew_unless_something_uses_it_first(story: Story) -> None:
    look = story.call("imstat", used=["a.image"])
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    _, gaincal, _, second, *_ = story.document.activities
    history = PathHistory(story.document)
    assert history.is_made_anew("a.image", gaincal)
    assert history.is_made_anew("a.image", second)
    assert not history.is_made_anew("a.image", look)
    assert not history.is_made_anew("a.ms", gaincal)
    assert not history.is_made_anew("never.was", gaincal)


def test_an_inner_call_ends_before_the_call_that_made_it() -> None:
    story = Story()
    outer = story.call("simalma")
    inner = story.call("simobserve", parent=outer.id)
    innermost = story.call("listobs", parent=inner.id)
    last = story.call("imstat")
    orphan = story.call("imhead", parent="of another session")
    assert PathHistory(story.document).calls == (innermost, inner, outer, last, orphan)


@given(document=documents())
def test_every_call_ends_once_and_what_is_there_last_was_left(document: Document) -> None:
    history = PathHistory(document)
    assert sorted(a.id for a in history.calls) == sorted(a.id for a in document.activities)
    assert sorted(e.id for states in history.states.values() for e in states) == sorted(e.id for e in document.entities)
    for path, entity in history.last.items():
        assert entity in [left for _, left in history.left(path)]


def test_what_a_call_deleted_is_known(story: Story) -> None:
    removal = story.call("rmtables", deleted=["a.gcal", "never.was"])
    assert [entity.path for entity in PathHistory(story.document).removed[removal.id]] == ["a.gcal"]


@pytest.mark.parametrize(
    ("cell_id", "session", "count", "left"),
    [
        (None, "another", 1, {"2.png"}),  # its cell ran again: it shows another picture
        (None, "the same", 2, {"1.png", "2.png"}),  # two cells with the same text
        ("c1", "the same", 2, {"2.png"}),
        ("c1", "the same", 1, {"1.png", "2.png"}),  # two calls of one cell
    ],
)
def test_a_picture_without_a_name_belongs_to_its_cell(
    cell_id: str | None, session: str, count: int, left: set[str]
) -> None:
    story = Story()
    before = story.call("plotms", used=["a.ms"], generated=[".casaprov/n/plots/1.png", "named.png"])
    after = story.call("plotms", used=["a.ms"], generated=[".casaprov/n/plots/2.png"])
    step = Step(source_digest=digest_bytes(b"go"), cell_id=cell_id, execution_count=1)
    session_id = before.session if session == "the same" else "20260502T100000-abcdef"
    story.activities[:] = [
        replace(before, step=step),
        replace(after, step=replace(step, execution_count=count), session=session_id),
    ]
    names = {entity.path.rpartition("/")[2] for entity in Lineage(story.document).products()}
    assert names == left | {"named.png"}


def test_the_last_state_is_that_of_the_call_that_a_call_made() -> None:
    # What a task wrote before it made a call that changed it again is found when that begins, and recorded with the task.
    story = Story()
    outer = story.call("setjy", generated=["a.ms"])
    inner = story.call("setjy", changed=["a.ms"], parent=outer.id)
    assert [e.generated_by for e in Lineage(story.document).products()] == [inner.id]
