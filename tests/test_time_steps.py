"""How finely file systems tell times apart: what is assumed of one must hold there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.stamps import settle, stamp
from casaprov.time_steps import LONGEST_NS, TimeSteps


@pytest.fixture
def whole_seconds(tmp_path: Path) -> Iterator[Path]:
    """A file system that keeps times in seconds."""
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    make = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if make is None or os.geteuid() != 0:
        pytest.skip("to make and mount a file system takes e2fsprogs and root")
    image.write_bytes(bytes(8 * 2**20))
    subprocess.run([make, "-q", "-I", "128", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder of a file system in memory."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is not there, or may not be written")
    folder = Path("/dev/shm", f"casaprov-test-{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


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
    told = steps.at(folder / "a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", lambda *_, **__: pytest.fail("it was looked at again"))
        assert steps.at(folder / "b") == told
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
