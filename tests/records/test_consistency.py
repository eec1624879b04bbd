"""Records that contradict themselves are found, all of them; records that do not are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.records.consistency import record_issues, value_issues
from casaprov.records.model import Document, Usage
from sample_records import make_reduction


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return make_reduction(tmp_path / "nb").document


def test_a_real_reduction_has_no_issues(document: Document) -> None:
    assert record_issues(document) == ()


def messages(document: Document) -> str:
    return "\n".join(map(str, record_issues(document)))


def test_ids_that_stand_for_nothing_are_found_at_once(document: Document) -> None:
    call = replace(document.activities[0], session="gone", parent="gone", used=(Usage(entity="gone"),), given=("gone",))
    found = messages(replace(document, activities=(call, *document.activities[1:])))
    assert "session gone" in found
    assert "made by a call gone" in found
    assert "an entity gone" in found
    assert "given gone" in found


def test_an_id_that_stands_for_two_records_is_found(document: Document) -> None:
    assert "belongs to 2 records" in messages(replace(document, entities=(*document.entities, document.entities[0])))


def test_a_state_and_the_call_that_made_it_must_name_each_other(document: Document) -> None:
    first, *rest = document.entities
    found = messages(replace(document, entities=(replace(first, generated_by=document.activities[0].id), *rest)))
    assert "did not generate it" in found
    calls = tuple(replace(a, generated=()) if a.task == "importuvfits" else a for a in document.activities)
    assert "did not generate it" in messages(replace(document, activities=calls))
    entities = tuple(replace(e, generated_by=None) if e.path == "n.gcal" else e for e in document.entities)
    assert "names another call. (found no call" in messages(replace(document, entities=entities))


def test_an_inner_call_may_have_made_what_the_outer_one_left(document: Document) -> None:
    outer, inner, *rest = document.activities
    inner = replace(inner, parent=outer.id)
    outer = replace(outer, generated=(*outer.generated, *inner.generated))
    assert record_issues(replace(document, activities=(outer, inner, *rest))) == ()


def test_a_call_that_used_what_only_came_later_is_found(document: Document) -> None:
    early, *rest = document.activities
    late = document.activities[-1]
    early = replace(early, used=(*early.used, *late.generated))
    assert "made later" in messages(replace(document, activities=(early, *rest)))


def test_a_call_that_used_its_own_product_is_found(document: Document) -> None:
    first, *rest = document.activities
    first = replace(first, used=(*first.used, *first.generated))
    assert "made itself" in messages(replace(document, activities=(first, *rest)))


def test_a_chain_of_revisions_without_beginning_is_found(document: Document) -> None:
    states = [entity for entity in document.entities if entity.path == "n.ms"]
    entities = tuple(replace(e, revision_of=states[-1].id) if e is states[0] else e for e in document.entities)
    found = messages(replace(document, entities=entities))
    assert found.count("changed from itself") == len(states)


def test_a_chain_of_copies_without_beginning_is_found(document: Document) -> None:
    first, second, *rest = document.entities
    circle = (replace(first, copy_of=second.id), replace(second, copy_of=first.id))
    assert messages(replace(document, entities=(*circle, *rest))).count("copied from itself") == 2


def test_calls_that_made_each_other_are_found(document: Document) -> None:
    first, second, *rest = document.activities
    circle = (replace(first, parent=second.id), replace(second, parent=first.id))
    assert messages(replace(document, activities=(*circle, *rest))).count("was made by itself") == 2


def test_a_revision_of_another_path_is_found(document: Document) -> None:
    entities = tuple(replace(e, path="other.ms") if e.id.endswith("e0002") else e for e in document.entities)
    assert "changed from another path" in messages(replace(document, entities=entities))


def test_a_session_that_is_left_out_is_no_contradiction(document: Document) -> None:
    entities = tuple(
        replace(e, generated_by="earlier/0001", revision_of="earlier/e0001") if e.path == "data/N.fits" else e
        for e in document.entities
    )
    assert record_issues(replace(document, entities=entities)) == ()


def with_parameter(document: Document, name: str, value: object) -> Document:
    first, *rest = document.activities
    return replace(document, activities=(replace(first, parameters={**first.parameters, name: value}), *rest))


@pytest.mark.parametrize(
    "value",
    [
        "n.ms\0/../../etc",
        ["a", "b\0"],
        {"file": "x\0"},
        {"x\0": 1},
        {"@array": ["x", "y\0z"], "dtype": "<U3", "shape": [2]},
        {"@items": [[1, "x\0"]]},
        {"@bytes": "6100"},
        "\x1b]0;title\x07",
        "\x9b2J",
        "\x7f",
    ],
    ids=repr,
)
def test_a_control_character_in_a_parameter_is_found(document: Document, value: object) -> None:
    (issue,) = value_issues(with_parameter(document, "vis", value))
    call = document.activities[0]
    assert issue.message.startswith(f"The parameter vis of call {call.id} ({call.task}) holds the control character U+")


def test_tabs_and_line_breaks_are_text(document: Document) -> None:
    text = "mode='manual'\tspw='0'\r\nmode='shadow'\n# Größe, 大きさ\n"
    assert not list(value_issues(with_parameter(document, "inpfile", [text, {"file": text}])))


@pytest.mark.parametrize(
    "value",
    [
        {"@float": "much"},
        {"@bytes": "xyz"},
        {"@array": [1, 2, 3], "dtype": "int64", "shape": [2, 2]},
        {"@array": ["x"], "dtype": "<U1000000000", "shape": [1]},
        {"@array": [1], "dtype": "O", "shape": [1]},
        {"@scalar": 5, "dtype": "no type"},
        {"@items": [[{"a": 1}, 2]]},
    ],
    ids=repr,
)
def test_a_value_that_says_what_it_is_not_is_found(document: Document, value: object) -> None:
    (issue,) = value_issues(with_parameter(document, "vis", value))
    assert "cannot be read" in issue.message


def test_the_parameters_of_a_call_share_the_room_for_arrays(document: Document) -> None:
    bomb = {"@array": ["x"], "dtype": "<U40000000", "shape": [1]}
    assert not list(value_issues(with_parameter(document, "vis", bomb)))
    (issue,) = value_issues(with_parameter(with_parameter(document, "vis", bomb), "spw", bomb))
    assert "cannot be read" in issue.message
