"""Changes in a folder: who made them, and at which cost they are found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Self

import pytest

from casaprov.files import folder_view
from casaprov.files.folder_view import FolderViews, Look
from casaprov.files.stamps import settle
from casaprov.files.witness import Witness
from change_reports import watched
from table_folders import lock_with, table_folder


def by(look: Look, views: FolderViews) -> dict[str, tuple[bool, ...]]:
    """What changed since a look: whether it was there, and whether this and another process changed it."""
    changes = look.changes_until(views.look(look.folder))
    return {path.relative_to(look.folder).as_posix(): tuple(change) for path, change in sorted(changes.items())}


def elsewhere(command: str, folder: Path) -> None:
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)


@watched
def test_what_threads_of_this_process_do_is_told_from_all_else(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    views = FolderViews()
    look = views.look(tmp_path)
    thread = threading.Thread(target=(tmp_path / "by thread").write_text, args=("x",))
    thread.start()
    thread.join()
    (tmp_path / "old").write_text("y")
    with TemporaryFile(dir=tmp_path) as file:
        file.write(b"x")
    elsewhere("echo > stranger; echo >> both; rm -f none", tmp_path)
    (tmp_path / "both").write_text("z")
    assert by(look, views) == {
        "both": (False, True, True),
        "by thread": (False, True, False),
        "old": (True, True, False),
        "stranger": (False, False, True),
    }
    assert by(views.look(tmp_path), views) == {}


@watched
def test_a_table_is_one_product_and_its_lock_no_change(tmp_path: Path) -> None:
    table_folder(tmp_path / "x.ms")
    table_folder(tmp_path / "x.ms" / "FIELD")
    views = FolderViews()
    look = views.look(tmp_path)
    (tmp_path / "x.ms" / "table.lock").write_bytes(lock_with(3))
    assert by(look, views) == {}
    (tmp_path / "x.ms" / "FIELD" / "table.f0").write_bytes(b"new")
    table_folder(tmp_path / "new.im")
    table_folder(tmp_path / "new.im" / "logtable")
    elsewhere("mkdir other.im; echo > other.im/table.dat; echo >> x.ms/table.f0", tmp_path)
    assert by(look, views) == {
        "new.im": (False, True, False),
        "other.im": (False, False, True),
        "x.ms": (True, True, True),
    }
    look = views.look(tmp_path)
    (tmp_path / "new.im" / "logtable" / "table.f0").write_bytes(b"new")
    assert by(look, views) == {"new.im": (True, True, False)}


@watched
def test_a_table_that_another_thread_is_making_is_no_heap_of_files(tmp_path: Path) -> None:
    views = FolderViews()
    look = views.look(tmp_path)
    (tmp_path / "x.im").mkdir()
    views.look(tmp_path)  # of another call, in the middle of it
    (tmp_path / "x.im" / "table.f0").write_bytes(b"x")
    (tmp_path / "x.im" / "table.dat").write_bytes(b"x")
    assert by(look, views)["x.im"] == (False, True, False)
    look = views.look(tmp_path)
    (tmp_path / "x.im" / "table.f0").write_bytes(b"y")
    assert by(look, views) == {"x.im": (True, True, False)}


@watched
def test_folders_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    views = FolderViews()
    look = views.look(tmp_path)
    (tmp_path / "a" / "b" / "1").write_text("x")
    (tmp_path / "c" / "d").mkdir(parents=True)
    (tmp_path / "c" / "d" / "2").write_text("x")
    (tmp_path / "a").rename(tmp_path / "e")
    found = by(look, views)
    assert found["a/b/1"] == (False, True, False)
    assert found["c/d/2"] == (False, True, False)
    look = views.look(tmp_path)
    (tmp_path / "e" / "b" / "1").write_text("y")
    shutil.rmtree(tmp_path / "c")
    assert by(look, views) == {"c": (True, True, False), "c/d": (True, True, False), "c/d/2": (True, True, False), "e/b/1": (True, True, False)}  # fmt: skip


@watched
@pytest.mark.parametrize("by_child", [False, True])  # Linux puts only events of one process together
def test_a_folder_that_was_made_and_removed_was_not_there_before(tmp_path: Path, by_child: bool) -> None:
    (tmp_path / "old").mkdir()
    views = FolderViews()
    look = views.look(tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").touch()
    if by_child:
        subprocess.run(["rm", "-r", "new"], cwd=tmp_path, check=True)
    else:
        shutil.rmtree(tmp_path / "new")
    (tmp_path / "old").rmdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "old").rmdir()
    (tmp_path / "list").touch()
    (tmp_path / "list").unlink()
    (tmp_path / "seen").mkdir()
    views.look(tmp_path)
    assert "seen" not in by(look, views)
    (tmp_path / "seen").rmdir()
    found = by(look, views)
    assert found["old"][0]
    assert "new" not in found or not found["new"][0]
    assert not found["seen"][0]
    assert "list" not in found or not found["list"][0]


@watched
def test_a_name_that_is_none_of_a_product_is_not_noted(tmp_path: Path) -> None:
    views = FolderViews()
    look = views.look(tmp_path)
    for name in (".hidden", "n.ipynb", "casa-20260101-000000.log", "pipeline.log"):
        (tmp_path / name).write_text("x")
    assert look.changes_until(views.look(tmp_path, [str(tmp_path / "pipeline.log")])) == {}


def _archive(folder: Path, count: int) -> None:
    for number in range(count):
        place = folder / f"{number // 500}"
        place.mkdir(parents=True, exist_ok=True)
        os.mknod(place / f"{number}.html")


@pytest.mark.parametrize("reported", [pytest.param(True, marks=watched), False])
def test_a_large_folder_and_what_a_link_leads_to_cost_little(
    tmp_path: Path, reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: entries that one look lists or stamps."""
    if not reported:
        monkeypatch.setattr(folder_view, "_view_of", lambda _: None)
    work, seen = tmp_path / "work", [0]
    _archive(work / "weblog", 3000)
    _archive(tmp_path / "archive", 10)
    (work / "data").symlink_to(tmp_path / "archive")
    monkeypatch.setattr(folder_view, "_STEPS", 100)
    monkeypatch.setattr(folder_view, "_MOST_STAMPED", 100)
    scandir = os.scandir

    class Counted:
        def __init__(self, entries: object) -> None:
            self._entries = entries

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._entries.close()  # type: ignore[attr-defined]

        def __iter__(self) -> Self:
            return self

        def __next__(self) -> os.DirEntry[str]:
            entry: os.DirEntry[str] = next(self._entries)  # type: ignore[call-overload]
            assert "archive" not in entry.path
            seen[0] += 1
            return entry

    monkeypatch.setattr(os, "scandir", lambda path: Counted(scandir(path)))
    views = FolderViews()
    looks = []
    for _ in range(40):
        seen[0] = 0
        looks.append(views.look(work))
        # Where nothing is reported, a folder is listed whole before its first file is stamped.
        assert seen[0] <= (110 if reported else 700)
    (tmp_path / "archive" / "new").write_text("x")
    (work / "data" / "other").write_text("x")
    assert by(looks[-1], views) == {}
    if reported:
        assert seen[0] <= 1
        (work / "weblog" / "5" / "new").write_text("x")
        assert by(looks[-1], views) == {"weblog/5/new": (False, True, False)}


@watched
@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
def test_folders_of_other_users_are_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    views = FolderViews()
    look = views.look(tmp_path)
    (tmp_path / "theirs" / "a").write_text("x")
    assert by(look, views) == {}


AS_A_USER = """
import os, subprocess, sys
from pathlib import Path
from casaprov.files.folder_view import FolderViews
folder = Path(sys.argv[1])
if os.geteuid() == 0:
    os.chmod(folder, 0o777)
    os.setgid(65534), os.setuid(65534)
views = FolderViews()
look = views.look(folder)
(folder / "mine").write_text("x")
subprocess.run(["/bin/sh", "-c", "echo > theirs"], cwd=folder, check=True)
print(sorted((path.name, *change) for path, change in look.changes_until(views.look(folder)).items()))
"""


@watched
def test_an_ordinary_user_is_told_as_well() -> None:
    with TemporaryDirectory() as folder:  # that of the test may be closed to others
        command = [sys.executable, "-c", AS_A_USER, folder]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "[('mine', False, True, False), ('theirs', False, False, True)]\n"


def test_where_nothing_is_reported_stamps_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_view, "_view_of", lambda _: None)
    (tmp_path / "old").write_text("x")
    views = FolderViews()
    look = views.look(tmp_path)
    (tmp_path / "old").unlink()
    (tmp_path / "new").write_text("x")
    assert by(look, views) == {"new": (False, False, False), "old": (True, False, False)}


@watched
def test_after_lost_reports_a_view_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = FolderViews()
    look = views.look(tmp_path)
    read: Callable[[Witness], object] = Witness.read
    monkeypatch.setattr(Witness, "read", lambda _: None)
    views.look(tmp_path)
    monkeypatch.setattr(Witness, "read", read)
    (tmp_path / "a").write_text("x")
    assert look.changes_until(views.look(tmp_path)) == {}
    look = views.look(tmp_path)
    (tmp_path / "b").write_text("x")
    assert by(look, views) == {"b": (False, True, False)}


@watched
def test_a_table_with_tables_in_it_is_one_product_whenever_it_becomes_one(tmp_path: Path) -> None:
    """A Multi-MS: its parts are whole before it has a description."""
    views = FolderViews()
    look = views.look(tmp_path)
    table_folder(tmp_path / "n.mms" / "SUBMSS" / "a.ms")
    views.look(tmp_path)  # of another call, in the middle of it
    table_folder(tmp_path / "n.mms" / "SUBMSS" / "b.ms")
    (tmp_path / "n.mms" / "table.f0").write_bytes(b"x")
    (tmp_path / "n.mms" / "table.dat").write_bytes(b"x")
    assert by(look, views) == {"n.mms": (False, True, False)}
    look = views.look(tmp_path)
    (tmp_path / "n.mms" / "SUBMSS" / "a.ms" / "table.f0").write_bytes(b"new")
    assert by(look, views) == {"n.mms": (True, True, False)}
    look = views.look(tmp_path)
    (tmp_path / "n.mms").rename(tmp_path / "m.mms")
    (tmp_path / "m.mms" / "SUBMSS" / "b.ms" / "table.f0").write_bytes(b"new")
    assert by(look, views) == {"m.mms": (False, True, False), "n.mms": (True, True, False)}
    look = views.look(tmp_path)
    (tmp_path / "m.mms" / "SUBMSS" / "a.ms" / "table.f0").write_bytes(b"newer")
    assert by(look, views) == {"m.mms": (True, True, False)}


@watched
def test_what_another_process_puts_into_a_new_folder_is_noted(tmp_path: Path) -> None:
    views = FolderViews()
    look = views.look(tmp_path)
    elsewhere("mkdir -p out/deep; echo > out/deep/a; echo > out/b", tmp_path)
    assert by(look, views) == {"out/b": (False, False, True), "out/deep/a": (False, False, True)}


@watched
def test_it_is_said_that_reports_were_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = FolderViews()
    look = views.look(tmp_path)
    assert not look.misses(views.look(tmp_path))
    read: Callable[[Witness], object] = Witness.read
    monkeypatch.setattr(Witness, "read", lambda _: None)
    lost = views.look(tmp_path)
    monkeypatch.setattr(Witness, "read", read)
    assert look.misses(lost)


@pytest.mark.parametrize("reported", [pytest.param(True, marks=watched), False])
def test_what_changed_in_a_table_or_folder_is_told_of_the_parts_and_the_whole(
    tmp_path: Path, reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reported:
        monkeypatch.setattr(folder_view, "_view_of", lambda _: None)
    parts = [tmp_path / "n.mms" / "SUBMSS" / name for name in ("a.ms", "b.ms")]
    table_folder(tmp_path / "n.mms")
    for part in parts:
        table_folder(part)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "old").write_text("x")
    (tmp_path / "same").write_text("x")
    settle(parts[1])
    look = FolderViews().look(tmp_path)
    settle(parts[1])
    (parts[0] / "table.f0").write_bytes(b"new")
    (tmp_path / "folder" / "deep" / "old").write_text("y")
    changed = [tmp_path / "n.mms", parts[0], tmp_path / "folder" / "deep" / "old"]
    assert [look.has_changed(path) for path in changed] == [True] * len(changed)
    assert [look.has_changed(path) for path in (parts[1], tmp_path / "same")] == [False] * 2
    if reported:
        assert look.has_changed(tmp_path / "folder")
        assert all(look.had(path) for path in (*changed, *parts))
