"""The plan of a replay: what is run, what is left out, what is in the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from casaprov.hashing import digest_bytes
from casaprov.lineage.foreign import foreign_states, needed_states
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Usage
from casaprov.replays.plan import make_plan, outlook
from records import Story

NAMES = ("importuvfits", "gaincal", "applycal", "tclean", "imstat", "split", "flagdata")
TASKS = {f"casatasks.{name}" for name in NAMES}


def actions(story: Story) -> list[str]:
    return [step.action for step in make_plan(Lineage(story.document), TASKS).steps]


@pytest.fixture
def story() -> Story:
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    return story


def test_a_straight_reduction_is_run_as_it_was(story: Story) -> None:
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("applycal", used=["a.gcal"], changed=["a.ms"])
    story.call("imstat", used=["a.ms"])
    plan = make_plan(Lineage(story.document), TASKS)
    assert [step.action for step in plan.steps] == ["run"] * 4
    assert [entity.path for entity in plan.inputs] == ["raw.fits"]


def test_what_was_overwritten_is_left_out(story: Story) -> None:
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    story.call("imstat", used=["a.image"])
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    story.call("imstat", used=["a.image"])
    assert actions(story) == ["run", "leave-out", "leave-out", "run", "run"]


def test_a_notebook_run_twice_is_replayed_once(story: Story) -> None:
    story.call("flagdata", changed=["a.ms"])
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("flagdata", changed=["a.ms"])
    assert actions(story) == ["leave-out", "leave-out", "run", "run"]


def test_an_intermediate_name_used_twice_is_cleared(story: Story) -> None:
    story.call("split", used=["a.ms"], generated=["tmp.ms"])
    story.call("tclean", used=["tmp.ms"], generated=["one.image"])
    story.call("split", used=["a.ms"], generated=["tmp.ms"])
    story.call("tclean", used=["tmp.ms"], generated=["two.image"])
    steps = make_plan(Lineage(story.document), TASKS).steps
    assert [step.action for step in steps] == ["run"] * 5
    assert [step.clears for step in steps] == [(), (), (), ("tmp.ms",), ()]


def test_what_somebody_removed_is_gone_before_a_call_that_minds_it(story: Story) -> None:
    for image in ("one.image", "two.image"):  # between the two, something outside of tasks removed b.ms*
        story.call("split", used=["a.ms"], generated=["b.ms"])  # CASA's refuses beside b.ms.flagversions
        story.call("flagdata", used=["b.ms"], generated=["b.ms.flagversions", image])
    steps = make_plan(Lineage(story.document), TASKS).steps
    assert [step.action for step in steps] == ["run"] * 5
    assert [set(step.clears) for step in steps] == [set(), set(), set(), {"b.ms", "b.ms.flagversions"}, set()]


def test_what_a_copy_was_made_of_is_made_for_who_looked_at_the_copy(story: Story) -> None:
    first = story.call("tclean", used=["a.ms"], generated=["a.image"])
    copied = story.state("a.image")
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    story._entity("kept.image", copy_of=copied)
    look = story.call("imstat", used=["kept.image"])
    steps = {step.activity.id: step for step in make_plan(Lineage(story.document), TASKS).steps}
    assert steps[first.id].action == "run"
    assert [(source.id, path) for source, path in steps[look.id].restores] == [(copied, "kept.image")]


def test_a_copy_that_was_only_removed_needs_no_call(story: Story) -> None:
    first = story.call("tclean", used=["a.ms"], generated=["a.image"])
    copied = story.state("a.image")
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    story._entity("kept.image", copy_of=copied)
    story.call("rmtables", used=["kept.image"], deleted=["kept.image"])
    actions_of = {step.activity.id: step.action for step in make_plan(Lineage(story.document), TASKS).steps}
    assert actions_of[first.id] == "leave-out"


def test_who_made_what_was_changed_under_another_name_is_run(story: Story) -> None:
    made = story.call("split", used=["a.ms"], generated=["b.ms"])
    before = story.state("b.ms")
    changing = story.call("flagdata", used=["a.ms"])
    story.activities[-1] = replace(
        changing,
        generated=(Usage(entity=story._entity("b.ms", generated_by=changing.id, revision_of=before), declared=False),),
    )
    steps = {step.activity.id: step for step in make_plan(Lineage(story.document), TASKS).steps}
    assert (steps[made.id].action, steps[changing.id].clears) == ("run", ())


def test_a_failed_call_that_left_nothing_is_left_out(story: Story) -> None:
    story.call("gaincal", used=["a.ms"], outcome="failed")
    plan = make_plan(Lineage(story.document), TASKS)
    assert plan.steps[1].action == "leave-out"
    assert "failed" in plan.steps[1].reason


def test_a_failed_call_that_changed_something_is_run(story: Story) -> None:
    story.call("applycal", changed=["a.ms"], outcome="failed")
    assert actions(story) == ["run", "run"]


def test_a_gap_blocks_what_follows_from_it(story: Story) -> None:
    story.gap("a.ms")
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("split", used=["a.gcal"], generated=["b.gcal"])
    steps = make_plan(Lineage(story.document), TASKS).steps
    assert [step.action for step in steps] == ["run", "blocked", "blocked"]
    assert "other than a recorded task" in steps[1].reason
    assert "could not be brought back" in steps[2].reason


def test_what_a_killed_call_left_blocks_what_follows_and_is_no_input(story: Story) -> None:
    story.remains("x.psf", "tclean, which began at noon and had not ended, writes there.")
    story.call("gaincal", used=["x.psf"], generated=["s.gcal"])
    plan = make_plan(Lineage(story.document), TASKS)
    assert plan.steps[-1].reason == (
        "x.psf is not what a recorded task left: tclean, which began at noon and had not ended, writes there"
    )
    assert [entity.path for entity in plan.inputs] == ["raw.fits"]


@pytest.mark.parametrize("outcome", ["interrupted", "unfinished"])
def test_what_an_ended_call_left_cannot_be_repeated(story: Story, outcome: str) -> None:
    story.call("tclean", used=["a.ms"], generated=["a.image"], outcome=outcome)  # type: ignore[arg-type]
    assert actions(story) == ["run", "blocked"]


def test_a_task_that_nobody_describes_is_not_run(story: Story) -> None:
    story.call("os.system", used=["a.ms"], generated=["b"])
    assert actions(story) == ["run", "blocked"]


def test_a_parameter_that_was_not_recorded_exactly_blocks(story: Story) -> None:
    story.call("gaincal", used=["a.ms"], generated=["g.gcal"], parameters={"x": {"@object": "m.C", "repr": "?"}})
    assert actions(story) == ["run", "blocked"]


def test_tasks_that_tasks_called_are_left_to_them(story: Story) -> None:
    outer = story.call("split", used=["a.ms"])
    story.call("flagdata", used=["a.ms"], generated=["b.ms"], parent=outer.id)
    story.call("tclean", used=["b.ms"], generated=["a.image"])
    steps = make_plan(Lineage(story.document), TASKS).steps
    assert [(step.activity.task, step.action) for step in steps] == [
        ("importuvfits", "run"),
        ("split", "run"),
        ("tclean", "run"),
    ]


def test_what_a_call_left_to_a_call_that_changed_it_is_not_compared(story: Story) -> None:
    outer = story.call("flagdata", used=["a.ms"], generated=["b.ms", "c.ms"])
    story.call("flagdata", changed=["b.ms"], parent=outer.id)
    left = make_plan(Lineage(story.document), TASKS).steps[-1].leaves
    assert [usage.entity for usage in left] == [outer.generated[1].entity]


def plan_with(story: Story, *at_hand: str) -> list[tuple[str, str]]:
    """What becomes of each call if the files of some paths' states by no task are at hand."""
    found = {e.id for e in foreign_states(Lineage(story.document), TASKS) if e.path in at_hand}
    return [(step.activity.task, step.action) for step in make_plan(Lineage(story.document), TASKS, found).steps[1:]]


def test_what_a_function_made_is_taken_if_it_is_at_hand(story: Story) -> None:
    story.call("commands", used=["a.ms"], generated=["flags.txt"], package="__main__")
    story.call("flagdata", used=["flags.txt"], changed=["a.ms"])
    assert plan_with(story, "flags.txt") == [("commands", "take"), ("flagdata", "run")]
    assert plan_with(story) == [("commands", "blocked"), ("flagdata", "blocked")]


def test_a_gap_is_taken_if_it_is_at_hand(story: Story) -> None:
    story.gap("a.ms")
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    found = [entity.id for entity in foreign_states(Lineage(story.document), TASKS)]
    step = make_plan(Lineage(story.document), TASKS, found).steps[1]
    assert (step.action, [(source.id, path) for source, path in step.restores]) == ("run", [(found[0], "a.ms")])


def test_the_tasks_that_a_function_called_are_run_instead_of_it(story: Story) -> None:
    outer = story.call("pipeline", used=["a.ms"], package="__main__")
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"], parent=outer.id)
    story.call("applycal", used=["a.gcal"], changed=["a.ms"], parent=outer.id)
    assert plan_with(story) == [("gaincal", "run"), ("applycal", "run"), ("pipeline", "leave-out")]


def test_a_function_with_the_name_of_a_task_is_none(story: Story) -> None:
    story.call("split", used=["a.ms"], generated=["b.ms"], package="__main__")
    assert plan_with(story) == [("split", "blocked")]


def test_a_function_that_only_looked_is_no_obstacle(story: Story) -> None:
    story.call("plot", used=["a.ms"], package="__main__")
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    assert plan_with(story) == [("plot", "leave-out"), ("gaincal", "run")]


def by_tool(story: Story, **files: list[str]) -> str:
    return story.call("table.putcol", package="casatools", **files).generated[0].entity  # type: ignore[arg-type]


def test_a_state_that_only_tools_used_is_in_nobodys_way(story: Story) -> None:
    by_tool(story, changed=["a.ms"])
    needed = by_tool(story, changed=["a.ms"])
    story.call("split", used=["a.ms"], generated=["b.ms"])
    lineage = Lineage(story.document)
    assert [state.id for state in needed_states(lineage, TASKS)] == [needed]
    steps = make_plan(lineage, TASKS, {needed}).steps[1:]
    assert [step.action for step in steps] == ["leave-out", "take", "run"]
    assert "no task used what it left" in steps[0].reason


def test_what_a_replay_can_run_is_counted_with_the_obstacles(story: Story) -> None:
    needed = by_tool(story, changed=["a.ms"])
    story.call("split", used=["a.ms"], generated=["b.ms"])
    story.call("gaincal", used=["b.ms"], generated=["b.gcal"])
    story.call("importuvfits", used=["raw.fits"], generated=["c.ms"])
    lineage = Lineage(story.document)
    kept, lost = outlook(lineage, TASKS, {needed}), outlook(lineage, TASKS, frozenset())
    assert (kept.can_run, kept.of, [state.id for state in kept.taken], kept.obstacles) == (4, 4, [needed], {})
    assert (lost.can_run, lost.of, lost.taken) == (2, 4, ())
    assert lost.obstacles == {
        "no task can make a.ms as casatools.table.putcol left it, and the crate does not hold it": ("3 (split)",),
        "b.ms could not be brought back": ("4 (gaincal)",),
    }


def test_what_this_casa_lacks_blocks_only_what_depends_on_it(story: Story) -> None:
    story.call("tclean", used=["a.ms"], generated=["a.image"])
    lacking = story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("applycal", used=["a.gcal"], generated=["b.ms"])
    story.call("imstat", used=["a.image"])
    steps = make_plan(Lineage(story.document), TASKS, unable={lacking.id: "This CASA has no task gaincal"}).steps
    assert [step.action for step in steps] == ["run", "run", "blocked", "blocked", "run"]
    assert steps[2].reason == "This CASA has no task gaincal"


@pytest.mark.parametrize("log", ["", "casa-20190620-100000.log"])
def test_a_state_without_a_digest_will_do_only_if_a_log_gave_it_and_the_replay_makes_it(story: Story, log: str) -> None:
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("tclean", used=["b.ms"], generated=["b.image"])
    document = replace(
        story.document,
        sessions=tuple(replace(session, log=log) for session in story.document.sessions),
        entities=tuple(
            entity if entity.path == "raw.fits" else replace(entity, content_digest=None)
            for entity in story.document.entities
        ),
    )
    expected = ["run", "run", "blocked"] if log else ["run", "blocked", "blocked"]
    assert [step.action for step in make_plan(Lineage(document), TASKS).steps] == expected


def test_a_state_that_was_changed_before_it_was_digested_is_made_by_the_call_that_left_it(story: Story) -> None:
    for _ in range(3):
        story.call("flagdata", changed=["a.ms"])
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    final = story.state("a.ms")
    lost = {entity.id for entity in story.entities if entity.path == "a.ms" and entity.id != final}

    def without_digests(**facts: Any) -> list[str]:
        entities = tuple(
            replace(entity, content_digest=None, **facts) if entity.id in lost else entity for entity in story.entities
        )
        return [
            step.action for step in make_plan(Lineage(replace(story.document, entities=entities)), TASKS, at_hand).steps
        ]

    at_hand = frozenset[str]()
    assert without_digests(stamp=digest_bytes(b"stamps")) == ["run"] * 5
    assert without_digests() == ["run", "blocked", "blocked", "blocked", "blocked"]  # they could not be read
    # It is not there any more when something else has taken its place.
    story.copy("a.gcal", "a.ms")
    story.call("flagdata", changed=["a.ms"])
    story.activities[-1] = replace(story.activities[-1], used=(Usage(entity=min(lost)),))
    assert without_digests(stamp=digest_bytes(b"stamps"))[-1] == "blocked"
