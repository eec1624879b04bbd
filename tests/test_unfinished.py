"""Which call, that never ended or was another notebook's, may have left what nobody recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.journal import Journal
from casaprov.other_notebooks import OtherNotebooks
from casaprov.taskspec import load_specs
from casaprov.unfinished import UnfinishedCalls
from records import Story


@pytest.fixture
def story(tmp_path: Path) -> Story:
    for name in ("x.psf", "y.psf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.dat").write_text(name)
    return Story()


def described(story: Story, folder: Path, name: str) -> str:
    calls = UnfinishedCalls(story.document, {story.session.id: folder}, load_specs())
    known = story.current.get(name)
    return calls.describe(folder / name, story.document.entity(known) if known else None)


def test_a_call_that_never_ended_is_named_by_what_it_writes(story: Story, tmp_path: Path) -> None:
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    assert described(story, tmp_path, "x.psf") == (
        "tclean, which began at 2026-05-01 10:00:00 UTC and never ended, writes there."
    )
    assert described(story, tmp_path, "y.psf") == ""


def test_a_call_that_ended_is_not_asked(story: Story, tmp_path: Path) -> None:
    story.call("tclean", parameters={"imagename": "x"})
    assert described(story, tmp_path, "x.psf") == ""


def test_what_is_older_than_the_call_is_not_its(story: Story, tmp_path: Path) -> None:
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    story.activities[-1] = replace(story.activities[-1], started_at="2999-01-01T00:00:00.000000+00:00")
    assert described(story, tmp_path, "x.psf") == ""


def test_what_a_later_call_left_is_not_of_an_unfinished_one_before_it(story: Story, tmp_path: Path) -> None:
    story.call("tclean", generated=["x.psf"])
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    assert described(story, tmp_path, "x.psf")
    story.call("tclean", generated=["x.psf"])
    assert described(story, tmp_path, "x.psf") == ""


def test_where_a_function_writes_is_not_known(story: Story, tmp_path: Path) -> None:
    story.call("tclean", package="mine", parameters={"imagename": "x"}, outcome="unfinished")
    assert described(story, tmp_path, "x.psf") == ""


def test_the_last_call_of_another_notebook_that_left_a_content_is_named(story: Story, tmp_path: Path) -> None:
    story.call("split", used=["a.ms"], generated=["b.ms"])
    given, made = story.document.entities
    journal = Journal(tmp_path / ".casaprov" / "calibrate", replace(story.session, notebook="calibrate.ipynb"))
    journal.end(story.document.activities[0], story.document.entities)
    (tmp_path / ".casaprov" / "broken").mkdir()
    (tmp_path / ".casaprov" / "broken" / "z.jsonl").write_text(f"{made.content_digest}\n")
    others = OtherNotebooks(tmp_path / ".casaprov" / "image")
    assert others.describe(made.content_digest) == "Call 0001 (split) of calibrate.ipynb left it."
    assert others.describe(given.content_digest) == ""  # it was used there, too
    assert others.describe(None) == ""
    assert OtherNotebooks(journal.folder).describe(made.content_digest) == ""
