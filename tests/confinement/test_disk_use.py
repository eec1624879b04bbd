"""Disk use of a folder: every file counts, and what cannot be looked at is told."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from casaprov.confinement.disk_use import disk_use, used_of_file_system

MB = 10**6


def written(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    return path


def test_files_below_folders_count_and_links_do_not(tmp_path: Path) -> None:
    written(tmp_path / "a" / "b" / "large", 3 * MB)
    written(tmp_path / "small", MB)
    outside = written(tmp_path.with_name(f"{tmp_path.name}-outside") / "huge", 9 * MB)
    (tmp_path / "link").symlink_to(outside.parent)
    use = disk_use(tmp_path, ())
    assert 4 * MB <= use.total < 5 * MB
    assert 3 * MB <= use.largest < 4 * MB
    assert not use.hidden
    outside.unlink()


def test_empty_files_count_as_well(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert disk_use(tmp_path, ()).total >= 100 * 4096


def test_a_removed_file_counts_once_as_long_as_it_is_open_or_mapped(tmp_path: Path) -> None:
    gone = written(tmp_path / "gone", 3 * MB)
    with gone.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
        gone.unlink()
        both = disk_use(tmp_path, (os.getpid(),)).total
    only_mapped = disk_use(tmp_path, (os.getpid(),)).total
    mapped.close()
    assert 3 * MB <= only_mapped <= both < 6 * MB
    assert disk_use(tmp_path, (os.getpid(),)).total < 3 * MB


def test_folders_deeper_than_a_path_can_be_are_told(tmp_path: Path) -> None:
    # Such folders are made step by step.
    home = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(30):
            os.mkdir("d" * 200)  # noqa: PTH102 - relative to where the last step led
            os.chdir("d" * 200)
    finally:
        os.fchdir(home)
        os.close(home)
    assert "d" * 200 in disk_use(tmp_path, ()).hidden


def test_a_process_that_ended_hides_nothing(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert not disk_use(tmp_path, (child, 2**22 - 1)).hidden
    os.waitpid(child, 0)


def test_the_use_of_a_file_system_is_more_than_nothing(tmp_path: Path) -> None:
    assert used_of_file_system(tmp_path) > 0
