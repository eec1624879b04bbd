"""The origin of a product at hand: found by content, in the record with the fewest calls."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.errors import UsageError
from casaprov.hashing import Digest
from casaprov.lineage.origin import Record, find_origins
from casaprov.records.model import Tier
from records import Story
from reductions import Reduction


def record_of(story: Story, name: str) -> Record:
    return Record(story.document, Path(name))


def state_of(story: Story, path: str) -> Digest | None:
    return next(e.content_digest for e in reversed(story.entities) if e.path == path)


def short_story(*, copies: bool = False) -> Story:
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("listobs", used=["a.ms"])
    story.call("flagdata", changed=["a.ms"])
    if copies:
        story.copy("a.ms", "b.ms")
    return story


def test_a_product_is_found_by_its_content_not_by_its_name() -> None:
    story = short_story()
    digest = state_of(story, "a.ms")
    (origin,) = find_origins(Path("renamed.ms"), [record_of(story, "one")], lambda _: digest)
    assert origin.state.path == "a.ms"
    assert [activity.task for activity in origin.document.activities] == ["importuvfits", "flagdata"]


def test_an_earlier_state_has_fewer_calls() -> None:
    story = short_story()
    first = next(e.content_digest for e in story.entities if e.path == "a.ms")
    (origin,) = find_origins(Path("a.ms"), [record_of(story, "one")], lambda _: first)
    assert [activity.task for activity in origin.document.activities] == ["importuvfits"]


def test_of_several_states_with_this_content_the_one_of_its_name_is_taken() -> None:
    story = short_story(copies=True)
    (origin,) = find_origins(Path("x/a.ms"), [record_of(story, "one")], lambda _: state_of(story, "a.ms"))
    assert origin.state.path == "a.ms"
    (origin,) = find_origins(Path("x/b.ms"), [record_of(story, "one")], lambda _: state_of(story, "a.ms"))
    assert origin.state.path == "b.ms"


def test_a_record_that_made_it_comes_before_one_that_only_used_it() -> None:
    made, used = short_story(), Story()
    used.call("imstat", used=["a.ms"])
    digest = state_of(made, "a.ms")
    used.entities[0] = made.entities[-1].__class__(**{**vars(used.entities[0]), "content_digest": digest})
    found = find_origins(Path("a.ms"), [record_of(used, "used"), record_of(made, "made")], lambda _: digest)
    assert [str(origin.record.place) for origin in found] == ["made", "used"]


def test_samples_are_compared_with_samples_only() -> None:
    story, asked = short_story(), list[Tier]()

    def digest(tier: Tier) -> Digest | None:
        asked.append(tier)
        return state_of(story, "a.ms")

    find_origins(Path("a.ms"), [record_of(story, "one")], digest)
    assert asked == ["full"]


def test_an_unknown_content_is_an_error_that_says_where_was_searched() -> None:
    story = short_story()
    with pytest.raises(UsageError, match=r"one: a a\.ms is recorded there, with another content"):
        find_origins(Path("a.ms"), [record_of(story, "one")], lambda _: None)
    with pytest.raises(UsageError, match=r"No record names the content of z\.ms. Searched: one"):
        find_origins(Path("z.ms"), [record_of(story, "one")], lambda _: None)
    with pytest.raises(UsageError, match="There is no record beside"):
        find_origins(Path("z.ms"), [], lambda _: None)


@pytest.mark.casa
@pytest.mark.slow
def test_the_script_of_a_moved_product_makes_it_again(
    reduction: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved, script = tmp_path / "elsewhere" / "solutions", tmp_path / "again.py"
    shutil.copytree(reduction.folder / "n.gcal", moved)
    assert main(["inspect", str(moved)]) == 2
    assert "--in" in capsys.readouterr().err
    for place in (reduction.crate, reduction.folder):
        assert main(["inspect", str(moved), "--in", str(place), "--script", str(script)]) == 0
        assert "n.gcal of n.ipynb" in capsys.readouterr().out
    assert main(["inspect", str(reduction.data / "NGC5921.fits")]) == 0
    assert "It is an input there: no recorded call made it." in capsys.readouterr().out
    assert main(["inspect", str(moved), "--in", str(reduction.crate)]) == 0
    shown = capsys.readouterr().out
    assert "solint='inf'" in shown
    assert "tclean" not in shown

    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "from casatasks import flagdata, gaincal, importuvfits, setjy"
    assert len(lines) == 5
    assert lines[-1].startswith("gaincal(vis='n.ms'")
    shutil.copy(reduction.data / "NGC5921.fits", tmp_path)
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, capture_output=True)
    assert main(["compare", str(moved), str(tmp_path / "n.gcal")]) == 0
    assert "same-content" in capsys.readouterr().out
