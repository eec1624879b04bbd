"""The folders of a replay: an empty one is made and left as it was found, a private one stays out of reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.errors import UsageError
from casaprov.replays.folders import JOURNAL, empty_folder, private_folder


def test_a_folder_in_which_nothing_was_put_is_gone_again(tmp_path: Path) -> None:
    with empty_folder(tmp_path / "deep" / "work") as work:
        assert work.is_dir()
    assert not work.exists()
    with empty_folder(tmp_path / "deep" / "work") as work:
        (work / "n.ms").touch()
    assert work.exists()


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oh"), empty_folder(tmp_path):
        raise ValueError("oh")
    assert tmp_path.is_dir()


@pytest.mark.parametrize("name", ["file", "folder"])
def test_a_folder_with_anything_in_it_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("precious")
    with pytest.raises(UsageError, match=r"not empty|a file") as caught, empty_folder(tmp_path / name):
        pass
    assert "nothing was touched" in caught.value.hint
    assert {path.read_text() for path in tmp_path.rglob("file")} == {"precious"}


def test_the_record_takes_the_place_of_what_the_calls_left(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    with private_folder(work) as private:
        assert not private.is_relative_to(work)
        (private / JOURNAL).mkdir()
        (private / JOURNAL / "replay.jsonl").write_text("record")
        (work / ".casaprov").symlink_to(outside)  # a call would have the record written elsewhere
    assert (work / ".casaprov" / JOURNAL / "replay.jsonl").read_text() == "record"
    assert not (work / ".casaprov").is_symlink()
    assert not any(outside.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "work"]
