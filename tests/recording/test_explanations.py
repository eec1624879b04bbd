"""Explanations: calls that never ended, and calls of other notebooks, are named for files without a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.digests.measurement import Measurement
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.writer import Journal
from casaprov.lineage.graph import Lineage
from casaprov.recording.explanations import Background, Explanations, OtherNotebooks, UnfinishedCalls
from casaprov.records.wording import clock
from casaprov.tasks.specs import load_specs
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
    return calls.describe(folder / name, Lineage(story.document).entities[known] if known else None)


def test_a_call_that_never_ended_is_named_by_what_it_writes(story: Story, tmp_path: Path) -> None:
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    assert described(story, tmp_path, "x.psf") == (
        "tclean, which began at 2026-05-01 10:00:00 UTC and had not ended, writes there."
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


def test_what_a_call_changes_in_place_is_its(story: Story, tmp_path: Path) -> None:
    story.call("flagdata", parameters={"vis": "x.psf", "mode": "manual", "action": "apply"}, outcome="unfinished")
    assert described(story, tmp_path, "x.psf").startswith("flagdata, which began")


def test_a_call_before_another_one_that_found_the_known_state_is_not_meant(story: Story, tmp_path: Path) -> None:
    story.call("tclean", generated=["x.psf"])
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    story.call("imstat", used=["x.psf"])
    assert described(story, tmp_path, "x.psf") == ""


def test_the_last_of_several_is_named(story: Story, tmp_path: Path) -> None:
    for task in ("tclean", "deconvolve", "tclean"):
        story.call(task, parameters={"imagename": "x"}, outcome="unfinished")
    assert described(story, tmp_path, "x.psf").startswith("tclean, which began at 2026-05-01 10:02:00 UTC")


@pytest.mark.parametrize("time", ["yesterday", ""])
def test_a_time_that_is_none_tells_nothing(story: Story, tmp_path: Path, time: str) -> None:
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    story.activities[-1] = replace(story.activities[-1], started_at=time)
    assert described(story, tmp_path, "x.psf") == ""


class Notebooks:
    """Journals of several notebooks in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".casaprov"

    def add(self, story: Story, notebook: str, session: str = "20260501T100000-abcdef") -> None:
        journal = Journal(self.folder / notebook, replace(story.session, id=session, notebook=f"{notebook}.ipynb"))
        for activity in story.activities:
            journal.end(activity, story.entities)

    def describe(self, digest: Digest | None, name: str, *, at: str = "image") -> str:
        return OtherNotebooks(self.folder / at, "20260701T100000-abcdef").describe(digest, name)


@pytest.fixture
def notebooks(tmp_path: Path) -> Notebooks:
    return Notebooks(tmp_path)


def _began(story: Story) -> str:
    """When the last call began, as users read it."""
    return clock(story.document.activities[-1].started_at)


def test_a_call_of_another_notebook_that_left_a_content_is_named(story: Story, notebooks: Notebooks) -> None:
    story.call("split", used=["a.ms"], generated=["b.ms"])
    given, made = story.document.entities
    notebooks.add(story, "calibrate")
    (notebooks.folder / "broken").mkdir()
    for number, text in enumerate((f"{made.content_digest}\n", f'[{{"{made.content_digest}": 1}}]\n', "")):
        (notebooks.folder / "broken" / f"z{number}.jsonl").write_text(text)
    sentence = f"split of calibrate.ipynb, which began at {_began(story)}, left it."
    assert notebooks.describe(made.content_digest, "b.ms") == sentence
    assert notebooks.describe(made.content_digest, "c.ms") == sentence.replace(
        "left it", "left the same content at b.ms"
    )
    assert notebooks.describe(given.content_digest, "a.ms") == ""  # it was used there, too
    assert notebooks.describe(None, "a.ms") == ""


def test_a_record_of_the_notebook_itself_is_no_other(story: Story, notebooks: Notebooks) -> None:
    story.call("split", used=["a.ms"], generated=["b.ms"])
    made = story.document.entities[-1]
    notebooks.add(story, "_unnamed")
    assert "split of _unnamed.ipynb, which" in notebooks.describe(made.content_digest, "b.ms")
    notebooks.add(story, "image")  # it has a name now, and its journal was copied
    sentence = f"split of another session of this notebook, which began at {_began(story)}, left it."
    assert notebooks.describe(made.content_digest, "b.ms") == sentence


def test_what_a_session_left_itself_is_not_told(story: Story, notebooks: Notebooks) -> None:
    story.call("split", used=["a.ms"], generated=["b.ms"])
    notebooks.add(story, "image", "20260701T100000-abcdef")
    assert notebooks.describe(story.document.entities[-1].content_digest, "b.ms") == ""


def test_the_last_call_that_left_a_content_is_named(story: Story, notebooks: Notebooks) -> None:
    story.call("split", generated=["b.ms"])
    story.call("mstransform", generated=["b.ms"])
    first, last = story.entities
    story.entities[1] = replace(last, content_digest=first.content_digest)
    notebooks.add(story, "old")
    sentence = f"mstransform of old.ipynb, which began at {_began(story)}, left it."
    assert notebooks.describe(first.content_digest, "b.ms") == sentence
    notebooks.add(story, "new", "20260601T100000-abcdef")
    assert notebooks.describe(first.content_digest, "b.ms") == sentence.replace("old", "new")


def test_empty_files_are_alike(story: Story, notebooks: Notebooks) -> None:
    story.call("listobs", generated=["o.txt"])
    (made,) = story.entities
    story.entities[0] = replace(made, size_bytes=0)
    notebooks.add(story, "other")
    assert notebooks.describe(made.content_digest, "o.txt") == ""


# -- one object for all of these --------------------------------------------------


def _explanations(story: Story, folder: Path, background: Background | None = None) -> Explanations:
    """Explanations of a session in `folder` whose calls are those of the story."""
    session = replace(story.session, folder=folder.as_posix())
    explanations = Explanations(Journal(folder / ".casaprov" / "n", session), background or Background())
    for activity in story.activities:
        explanations.note_call(activity)
    return explanations


def _measured(path: Path) -> Measurement:
    return Measurement(kind="File", content_digest=digest_bytes(path.name.encode()), size_bytes=1)


def test_a_gap_lies_between_two_calls_of_the_session_or_after_an_earlier_one(story: Story, tmp_path: Path) -> None:
    story.call("tclean", generated=["x.psf"])
    story.call("imstat", used=["x.psf"])
    (known,) = story.entities
    explanations, now = _explanations(story, tmp_path), _measured(tmp_path / "x.psf")
    first, second = story.ids
    changed = "Something that is no recorded call changed its content between "
    until = "and call 0002 (imstat)."
    assert explanations.gap(known, now, after=first, until=second) == f"{changed}call 0001 (tclean) {until}"
    earlier = "20260401T100000-abcdef/0012"
    assert explanations.gap(known, now, after=earlier, until=second) == (
        f"{changed}call 0012 of an earlier session {until}"
    )
    assert explanations.gap(known, now, after="", until=second) == f"{changed}an earlier session {until}"


def test_a_gap_is_put_down_to_pauses_since_the_last_call_that_knew_the_state(story: Story, tmp_path: Path) -> None:
    story.call("tclean", generated=["x.psf"])
    story.call("imstat", used=["x.psf"])
    explanations, now = _explanations(story, tmp_path), _measured(tmp_path / "x.psf")
    first, second = story.ids
    times = [f"2026-05-01T1{hour}:00:00.000000+00:00" for hour in range(4)]
    explanations.note_pause(times[0], times[1], after_call=0)
    explanations.note_pause(times[2], times[3], after_call=1)
    text = explanations.gap(story.entities[0], now, after=first, until=second)
    assert text.endswith("Recording was paused from 2026-05-01 12:00:00 UTC to 2026-05-01 13:00:00 UTC.")


def test_an_unfinished_call_explains_only_changes_from_before_the_session(story: Story, tmp_path: Path) -> None:
    story.call("tclean", generated=["x.psf"])
    story.call("tclean", parameters={"imagename": "x"}, outcome="unfinished")
    calls = UnfinishedCalls(story.document, {story.session.id: tmp_path}, load_specs())
    known, now, first = story.entities[0], _measured(tmp_path / "x.psf"), story.ids[0]
    here = _explanations(story, tmp_path, Background(unfinished=calls))
    later = _explanations(Story(), tmp_path, Background(unfinished=calls))
    assert "had not ended" not in here.gap(known, now, after=first, until=first)
    assert "had not ended" in later.gap(known, now, after=first, until=first)
    assert "had not ended" in here.remains(tmp_path / "x.psf")
    assert here.remains(tmp_path / "y.psf") == ""


def test_a_file_that_was_made_in_a_pause_comes_from_it(story: Story, tmp_path: Path) -> None:
    explanations, path = _explanations(story, tmp_path), tmp_path / "x.psf"
    assert explanations.new_input(path, _measured(path)) == ""
    explanations.note_pause("2026-05-01T10:00:00.000000+00:00", "2999-01-01T00:00:00.000000+00:00", after_call=0)
    assert explanations.new_input(path, _measured(path)).startswith("It was made or changed while recording was paused")
