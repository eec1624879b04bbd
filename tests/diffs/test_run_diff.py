"""What changed between two runs: calls in pairs, own differences and inherited ones, and what differed first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.diffs.model import CallDiff, RunDiff
from casaprov.diffs.page import diff_page
from casaprov.diffs.run import Run, session_run
from casaprov.diffs.run_diff import diff_runs
from casaprov.errors import UsageError
from casaprov.hashing import digest_bytes
from casaprov.records.model import Activity, Document, Environment
from records import SESSION, Story

Contents = dict[str, str]


def reduction(
    solint: str = "inf",
    *,
    contents: Contents | None = None,
    prefix: str = "a",
    tell: Callable[[Story], None] = lambda _: None,
    environment: Environment = SESSION.environment,
    folder: str = SESSION.folder,
) -> Document:
    """A small reduction; `contents` names the contents that are not as usual, by path."""
    story = Story(session=replace(SESSION, environment=environment, folder=folder))
    ms, table, image = f"{prefix}.ms", f"{prefix}.gcal", f"{prefix}.image"
    raw = f"{folder}/raw.fits"
    story.call("importuvfits", used=["raw.fits"], generated=[ms], parameters={"fitsfile": raw, "vis": ms})
    story.call("listobs", used=[ms], parameters={"vis": ms})
    tell(story)
    story.call("gaincal", used=[ms], generated=[table], parameters={"vis": ms, "caltable": table, "solint": solint})
    story.call("applycal", changed=[ms], used=[table], parameters={"vis": ms, "gaintable": [table]})
    story.call("tclean", used=[ms], generated=[image], parameters={"vis": ms, "imagename": image})
    story.call("imstat", used=[image], parameters={"imagename": image})
    states: dict[str, int] = {}
    entities = []
    for entity in story.entities:  # content by path and number of the state, whatever else was recorded
        name = f"x{entity.path[1:]}" if entity.path.startswith(f"{prefix}.") else entity.path
        states[name] = states.get(name, 0) + 1
        text = (contents or {}).get(f"{name}/{states[name]}", f"{name} {states[name]}")
        entities.append(replace(entity, content_digest=digest_bytes(text.encode())))
    paths = {entity.id: entity.path for entity in entities}
    return replace(
        story.document, entities=tuple(entities), activities=tuple(named(a, paths) for a in story.activities)
    )


def named(activity: Activity, paths: dict[str, str]) -> Activity:
    """Name states by the parameters that hold their paths, as recorders do."""
    of = {str(v[0] if isinstance(v, list) else v): name for name, v in activity.parameters.items()}
    used, left = (
        tuple(replace(usage, parameter=of.get(paths[usage.entity])) for usage in usages)
        for usages in (activity.used, activity.generated)
    )
    return replace(activity, used=used, generated=left)


def compared(first: Document, second: Document) -> RunDiff:
    return diff_runs(Run("A", first, lambda _: Path("nothing")), Run("B", second, lambda _: Path("nothing")))


def roles(found: RunDiff) -> dict[str, str]:
    return {call.task: call.role for call in found.calls}


OTHER_SOLUTIONS = {"x.gcal/1": "other", "x.ms/2": "other", "x.image/1": "other"}


def test_equal_runs_are_the_same_wherever_they_lie() -> None:
    found = compared(reduction(), reduction(folder="/elsewhere/again"))
    assert found.same
    assert not found.undecided
    assert set(roles(found).values()) == {"same"}
    assert found.answer == "3 of 3 products are the same."
    assert [call.parameters for call in found.calls if call.parameters] == []


def test_a_changed_parameter_is_the_cause_and_what_follows_are_effects() -> None:
    found = compared(reduction(), reduction("60s", contents=OTHER_SOLUTIONS))
    assert roles(found) == {
        "importuvfits": "same",
        "listobs": "same",
        "gaincal": "cause",
        "applycal": "effect",
        "tclean": "effect",
        "imstat": "same",
    }
    (cause,) = found.causes
    assert cause.sentence == "Call 3 gaincal: solint: 'inf' → '60s'."
    assert sorted(cause.products) == ["a.gcal", "a.image", "a.ms"]
    assert found.answer.startswith(
        "What differed first: Call 3 gaincal: solint: 'inf' → '60s'. 3 of 3 products differ."
    )
    assert all(product.causes == (0,) for product in found.products)


def test_a_changed_parameter_without_effect_is_not_a_cause() -> None:
    found = compared(reduction(), reduction("60s"))
    assert found.same
    assert roles(found)["gaincal"] == "no-effect"
    assert not found.causes
    assert found.answer == "3 of 3 products are the same, although 1 call differs."


def test_causes_come_in_the_order_of_time_and_products_name_theirs() -> None:
    def flag(story: Story) -> None:
        story.call("flagdata", changed=["a.ms"], parameters={"vis": "a.ms"})

    contents = {"x.ms/2": "flagged", "x.ms/3": "other", "x.gcal/1": "other", "x.image/1": "other"}
    found = compared(reduction(), reduction("60s", contents=contents, tell=flag))
    assert [cause.sentence for cause in found.causes] == [
        "Call 3 flagdata: only in the second run.",
        "Call 3 → 4 gaincal: solint: 'inf' → '60s'.",
    ]
    assert found.calls[found.causes[0].call].second == 3
    assert {product.path: product.causes for product in found.products}["a.image"] == (0, 1)


def test_a_difference_goes_through_states_that_were_not_digested() -> None:
    def flag(spw: str) -> Callable[[Story], None]:
        def tell(story: Story) -> None:
            for values in ({"vis": "a.ms", "spw": spw}, {"vis": "a.ms"}):
                story.call("flagdata", changed=["a.ms"], parameters=values)

        return tell

    def without_digests(document: Document) -> Document:
        lost = {usage.entity for call in document.activities[:3] for usage in call.generated}
        facts = {"content_digest": None, "stamp": digest_bytes(b"stamps")}
        return replace(
            document,
            entities=tuple(replace(e, **facts) if e.id in lost else e for e in document.entities),  # type: ignore[arg-type]
        )

    first = without_digests(reduction(tell=flag("0")))
    found = compared(first, without_digests(reduction(tell=flag("0"))))
    assert {call.role for call in found.calls} == {"same"}
    contents = {"x.ms/3": "flagged", "x.ms/4": "other", "x.gcal/1": "other", "x.image/1": "other"}
    found = compared(first, without_digests(reduction(contents=contents, tell=flag("1"))))
    assert [call.role for call in found.calls if call.task == "flagdata"] == ["cause", "effect"]
    assert [cause.sentence for cause in found.causes] == ["Call 3 flagdata: spw: '0' → '1'."]
    assert {product.path: product.causes for product in found.products}["a.image"] == (0,)


def test_another_input_is_the_first_cause() -> None:
    contents = {"raw.fits/1": "another", "x.ms/1": "another", "x.ms/2": "another", **OTHER_SOLUTIONS}
    found = compared(reduction(), reduction(contents=contents))
    assert [cause.sentence for cause in found.causes] == [
        "Call 1 importuvfits: the input raw.fits has another content."
    ]
    assert roles(found)["gaincal"] == "effect"


def test_other_names_for_the_same_are_no_difference() -> None:
    found = compared(reduction(), reduction(prefix="b"))
    assert found.same
    assert set(roles(found).values()) == {"same"}
    changes = [change for call in found.calls for change in call.parameters]
    assert changes
    assert all(change.only_names for change in changes)
    assert {product.path: product.first_path for product in found.products}["b.image"] == "a.image"


def test_other_versions_are_the_cause_only_of_what_is_called_alike() -> None:
    newer = replace(SESSION.environment, casatasks="6.7.5.18")
    found = compared(reduction(), reduction(contents=OTHER_SOLUTIONS, environment=newer))
    assert [(one.name, one.now) for one in found.environment] == [("casatasks", "6.7.5.18")]
    assert roles(found)["gaincal"] == "environment"
    assert roles(found)["applycal"] == "effect"
    assert "under other versions" in found.answer


def test_what_the_records_do_not_explain_is_called_unexplained() -> None:
    found = compared(reduction(), reduction(contents=OTHER_SOLUTIONS))
    assert roles(found)["gaincal"] == "unexplained"
    assert "the same call on the same inputs left something else" in found.answer


def test_a_change_outside_of_tasks_is_a_cause() -> None:
    def tinker(story: Story) -> None:
        story.gap("a.ms")

    found = compared(reduction(tell=tinker), reduction(tell=tinker, contents={"x.ms/2": "tinkered", **OTHER_SOLUTIONS}))
    assert found.causes[0].sentence == "Call 3 gaincal: a.ms was changed outside of recorded calls."


def test_a_listing_of_other_bytes_is_undecided_and_no_cause() -> None:
    def listing(story: Story) -> None:
        story.call("listobs", used=["a.ms"], generated=["a.txt"], parameters={"vis": "a.ms", "listfile": "a.txt"})

    found = compared(reduction(tell=listing), reduction(tell=listing, contents={"x.txt/1": "another folder"}))
    assert found.same
    assert [product.path for product in found.undecided] == ["a.txt"]
    assert not found.causes


def test_a_call_that_ran_elsewhere_is_found_again() -> None:
    def early(story: Story) -> None:
        story.call("flagdata", changed=["a.ms"], parameters={"vis": "a.ms", "mode": "clip"})

    def late(story: Story) -> None:
        early(story)
        story.activities[0], story.activities[-1] = story.activities[-1], story.activities[0]

    found = compared(reduction(tell=early), reduction(tell=late))
    assert [call.task for call in found.calls if call.moved]
    assert all(call.first and call.second for call in found.calls)


def test_calls_that_ended_otherwise_differ_without_products() -> None:
    first, second = reduction(), reduction()
    ended = replace(second.activities[1], outcome="failed")
    found = compared(first, replace(second, activities=(second.activities[0], ended, *second.activities[2:])))
    assert not found.same
    assert [call.outcomes for call in found.calls if call.outcomes] == [("completed", "failed")]


@pytest.mark.parametrize(
    ("one", "two", "differs"),
    [(1, 1.0, False), (1, True, True), ([1, "a"], [1, "a"], False), ({"a": 1}, {"a": 2}, True)],
)
def test_values_are_compared_as_a_task_sees_them(one: Any, two: Any, differs: bool) -> None:
    first, second = reduction(), reduction()
    changed = [
        replace(d, activities=(*d.activities[:-1], replace(d.activities[-1], parameters={"imagename": value})))
        for d, value in ((first, one), (second, two))
    ]
    assert bool(compared(*changed).calls[-1].parameters) == differs


def test_numbers_of_return_values_are_shown() -> None:
    first, second = (
        replace(
            d,
            activities=(
                *d.activities[:-1],
                replace(d.activities[-1], returned={"max": {"@array": [peak], "dtype": "float64"}, "npts": 4}),
            ),
        )
        for d, peak in ((reduction(), 0.5), (reduction("60s", contents=OTHER_SOLUTIONS), 0.75))
    )
    call: CallDiff = compared(first, second).calls[-1]
    assert call.returned == "max[0]: 0.5 → 0.75"
    assert call.role == "effect"


def test_sessions_go_by_number_and_by_the_end_of_their_id() -> None:
    run = Run("n.ipynb", reduction(), lambda _: Path("nothing"))
    assert session_run(run, "abcdef").name.startswith("n.ipynb, session abcdef")
    assert session_run(run, "-1").document.activities == session_run(run, "1").document.activities
    for word in ("2", "-2", "0", "zzz", ""):
        with pytest.raises(UsageError, match="none of its sessions"):
            session_run(run, word)


def test_the_page_needs_nothing_else_and_obeys_no_text_of_a_stranger() -> None:
    page = diff_page(compared(reduction(), reduction("<script>alert(1)</script>\x1b", contents=OTHER_SOLUTIONS)))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert 'href="#call-2"' in page
    assert 'id="call-2"' in page
