"""One server at a time holds the folder of an archive, and its start mends what a kill left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from archived import Served, served
from casaprov.archive.app import serving
from casaprov.archive.app.serving import alone, mend, sweep
from casaprov.archive.work.scratch import own_folder
from casaprov.errors import UsageError


def test_a_second_server_of_the_same_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_TAKE_OVER_S", 0.1)
    with alone(tmp_path), pytest.raises(UsageError, match="already"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_the_folder_is_held_until_the_last_worker_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_TAKE_OVER_S", 0.1)
    with alone(tmp_path) as lock:
        worker = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lock,))
    with pytest.raises(UsageError), alone(tmp_path):
        pass
    worker.communicate()
    with alone(tmp_path):
        pass


class Owner:
    """Stands for a worker that lives."""


def test_the_folder_of_a_dead_worker_goes_with_the_processes_in_it_and_that_of_a_living_one_stays(
    tmp_path: Path,
) -> None:
    owner = Owner()
    living = own_folder(tmp_path, owner)
    code = "import os, sys; from pathlib import Path; from casaprov.archive.work.scratch import own_folder\n"
    code += "print(own_folder(Path(sys.argv[1]), Path), flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], check=False, capture_output=True, text=True)
    dead = Path(done.stdout.strip())
    left = subprocess.Popen(["cat"], cwd=dead, stdin=subprocess.PIPE)
    own_folder(tmp_path, owner)
    assert left.wait() == -9
    with suppress(BrokenPipeError):
        left.communicate()
    assert living.is_dir()
    assert not dead.exists()


def test_a_start_removes_what_a_kill_left_half_made(tmp_path: Path) -> None:
    with served(tmp_path) as archive:
        (archive.archive.settings.git / ".new-abc.git").mkdir()
        (tmp_path / "spool" / "0123").touch()
        (tmp_path / "spool" / "4567.part").touch()
        sweep(archive.archive)  # while the archive runs, what is new may still get its row
        assert archive.spooled() == ["0123", "4567.part"]
        mend(archive.archive)
        assert archive.spooled() == []
        assert list(archive.archive.settings.git.glob(".new-*")) == []


def test_a_file_that_was_left_long_ago_is_removed_while_the_archive_runs(archive: Served) -> None:
    folder = archive.archive.spool.folder
    (folder / "0123").touch()
    (folder / "4567.part").touch()
    sweep(archive.archive, older_s=1e-9)
    assert archive.spooled() == ["4567.part"]
    archive.archive.spool.remove("4567.part")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running
