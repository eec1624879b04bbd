"""How finely file systems tell times apart: what is assumed of one must hold there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from casaprov.files.stamps import settle, stamp
from casaprov.files.time_resolution import LONGEST_NS, TimeSteps


@pytest.mark.parametrize("where", ["tmp_path", "memory", "whole_seconds"])
def test_a_write_right_after_the_step_shows(where: str, request: pytest.FixtureRequest) -> None:
    file = Path(request.getfixturevalue(where)) / "a"
    steps = TimeSteps()
    for turn in range(3 if where == "whole_seconds" else 200):
        file.write_text("old")
        before = settle(file, steps.at(file), timeout_s=5)
        with file.open("r+") as stream:
            stream.write("new")
        assert before is not None
        assert stamp(file) != before, f"turn {turn}"


def test_whole_seconds_are_not_taken_for_less(whole_seconds: Path) -> None:
    file = whole_seconds / "a"
    file.write_text("x")
    assert TimeSteps().at(file) == LONGEST_NS
    assert settle(file, TimeSteps().at(file), timeout_s=0.001) is None


def test_a_file_system_is_looked_at_once_and_nothing_is_left_there(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text("x")
    before = folder.stat()
    steps = TimeSteps()
    step = steps.at(folder / "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", lambda *_, **__: pytest.fail("it was looked at again"))
        assert steps.at(folder / "b") == step
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
    assert folder.stat() == before


def test_nothing_better_is_known_where_nothing_can_be_written_or_is(tmp_path: Path) -> None:
    assert TimeSteps().at(tmp_path / "missing") == LONGEST_NS
    assert TimeSteps().at(Path("/proc/version")) == LONGEST_NS


def test_a_machine_that_is_busy_elsewhere_is_given_another_chance(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    expected = TimeSteps().at(file)
    late = iter([0, 10**9])  # the first attempt takes a second
    with pytest.MonkeyPatch.context() as patch:
        real = time.monotonic_ns
        patch.setattr(time, "monotonic_ns", lambda: real() + next(late, 0))
        assert TimeSteps().at(file) == expected
    assert next(late, None) is None
