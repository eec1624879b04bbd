"""Stamps from memory: always what somebody who looks at every file would see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casaprov.files import regular, watched_stamps
from casaprov.files.kinds import is_table
from casaprov.files.regular import scan
from casaprov.files.snapshot import take_snapshot
from casaprov.files.stamps import Stamps, is_settled, stamp
from casaprov.files.watched_stamps import WatchedStamps
from table_folders import lock_with, table_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writes in this way")


@contextmanager
def _listed() -> Iterator[list[str]]:
    """Note which folders of tables are looked at."""
    listed: list[str] = []

    def noting(folder: Path | str) -> list[os.DirEntry[str]]:
        if is_table(Path(folder)):
            listed.append(Path(folder).name)
        return scan(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched_stamps, "scan", noting)
        patch.setattr(regular, "scan", noting)
        yield listed


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with a sub-table."""
    made = table_folder(tmp_path / "x.ms")
    table_folder(made / "ANTENNA")
    return made


def _is_kept(watched: WatchedStamps, table: Path) -> bool:
    """Tell whether a table that nobody writes in is looked at only once."""
    watched.stamp(table)
    with _listed() as listed:
        found = watched.stamp(table)
    assert found == stamp(table)
    return listed == []


# -- what is looked at -------------------------------------------------------------


def test_only_tables_in_which_somebody_wrote_are_looked_at_again(tmp_path: Path, table: Path) -> None:
    other = table_folder(tmp_path / "y.ms")
    watched = WatchedStamps()
    with _listed() as listed:
        first = take_snapshot(tmp_path, stamp_table=watched.stamp)
        assert listed == ["x.ms", "ANTENNA", "y.ms"]
        listed.clear()
        (other / "table.f0").write_bytes(b"others")
        after = take_snapshot(tmp_path, stamp_table=watched.stamp)
        assert listed == ["y.ms"]
        listed.clear()
        assert take_snapshot(tmp_path, stamp_table=watched.stamp).products == after.products
    assert listed == []
    assert after.changed_since(first) == (other,)
    assert after.products == take_snapshot(tmp_path).products


def test_a_table_that_is_only_read_is_not_looked_at_again(table: Path) -> None:
    watched = WatchedStamps()
    watched.stamp(table)
    for file in ("table.dat", "table.lock", "ANTENNA/table.f0"):
        with (table / file).open("r+b") as stream:  # casacore opens locks for writing
            stream.read()
    assert list((table / "ANTENNA").iterdir())
    assert _is_kept(watched, table)


def test_a_write_of_the_lock_changes_nothing(table: Path) -> None:
    watched = WatchedStamps()
    before = watched.stamp(table)
    (table / "table.lock").write_bytes(b"another lock")
    assert watched.stamp(table) == before
    (table / "table.lock").write_bytes(lock_with(7))
    assert watched.stamp(table) == stamp(table) != before
    assert _is_kept(watched, table)
    (table / "table.f0").write_bytes(b"other values")
    assert watched.stamp(table) == stamp(table) != before


def test_stamps_from_memory_are_of_now(table: Path) -> None:
    """Nobody wrote since: they are what one would see now, and a write would show in them."""
    watched = WatchedStamps()
    for _ in range(50):  # a busy machine may take longer than a step of the clock
        (table / "table.dat").touch()
        if not is_settled(watched.stamp(table)):
            break
    else:
        pytest.fail("No stamp was taken within a step of the clock.")
    time.sleep(0.02)
    before_ns = time.time_ns()
    asked_ns: list[int] = []
    changed = watched_stamps._changed

    def asking(queue: int) -> Iterator[int]:
        asked_ns.append(time.time_ns())
        return changed(queue)

    with _listed() as listed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched_stamps, "_changed", asking)
        found = watched.stamp(table)
    assert listed == []
    assert before_ns <= found.taken_ns <= asked_ns[0]
    assert is_settled(found)
    assert not found.linked


def test_a_task_that_writes_often_is_told_of_once(table: Path) -> None:
    watched = WatchedStamps()
    watched.stamp(table)
    for turn in range(20_000):  # more than a queue of Linux holds
        with (table / ("table.f0" if turn % 2 else "table.dat")).open("r+b", buffering=0) as stream:
            stream.write(b"v")
    assert watched._queue is not None
    assert len(list(watched_stamps._changed(watched._queue))) == 2  # the write, and that the watch has ended


# -- what changes ------------------------------------------------------------------


def _write(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def _fold(path: Path) -> None:
    table_folder(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "y.ms")


def _rename(path: Path) -> None:
    path.rename(path.with_name("renamed"))


def _come_back(path: Path) -> None:
    path.with_name("renamed").rename(path)


def _swap(path: Path) -> None:
    """Put another table in the place of one."""
    copy = shutil.copytree(path, path.with_name("copy"), symlinks=True)
    _remove(path)
    copy.rename(path)


def _back_up(path: Path) -> None:
    """Give all files of a table a second name, as ``cp -al`` does."""
    shutil.copytree(path, path.with_name("backup"), copy_function=os.link, symlinks=True)


def _write_in_backup(path: Path) -> None:
    _write(path.with_name("backup") / "table.f0")


def _touch(path: Path) -> None:
    os.utime(path, ns=(0, 0))


CHANGES: tuple[Callable[[Path], None], ...] = (
    _write, _fold, _remove, _link, _rename, _come_back, _swap, _back_up, _write_in_backup, _touch,
)  # fmt: skip
PATHS = (
    "x.ms",
    "x.ms/table.dat",
    "x.ms/table.f0",
    "x.ms/table.f1",
    "x.ms/table.lock",
    "x.ms/SUB",
    "x.ms/SUB/table.f0",
    "y.ms",
)


@settings(max_examples=400, deadline=None)
@given(
    steps=st.lists(st.tuples(st.sampled_from(CHANGES), st.sampled_from(PATHS)), max_size=25),
    looked=st.sampled_from([".", "x.ms"]),
)
def test_it_is_always_what_one_sees_who_looks_at_every_file(
    steps: list[tuple[Callable[[Path], None], str]], looked: str
) -> None:
    with TemporaryDirectory() as name:
        work = Path(name)
        table_folder(work / "x.ms" / "SUB")
        table_folder(work / "y.ms")
        watched = WatchedStamps()
        for change, path in steps:
            with suppress(OSError):  # it does not go with what is there now
                change(work / path)
            assert take_snapshot(work, stamp_table=watched.stamp).products == take_snapshot(work).products
            if (work / looked).is_dir():
                assert (
                    take_snapshot(work / looked, stamp_table=watched.stamp).products
                    == take_snapshot(work / looked).products
                )


@pytest.mark.parametrize("where", ["tmp_path", "memory"])
def test_a_write_right_after_a_look_shows(where: str, request: pytest.FixtureRequest) -> None:
    table = table_folder(Path(request.getfixturevalue(where)) / "x.ms")
    watched = WatchedStamps()
    for turn in range(200):
        before = watched.stamp(table)
        with (table / "table.f0").open("ab") as stream:
            stream.write(b"x")
        assert watched.stamp(table) != before, f"turn {turn}"
        (table / "table.f1").unlink(missing_ok=True)
        (table / "table.f1").write_bytes(b"new")
        assert watched.stamp(table) == stamp(table)


def test_what_a_child_process_writes_shows(table: Path) -> None:
    watched = WatchedStamps()
    before = watched.stamp(table)
    subprocess.run(["truncate", "-s", "3", table / "ANTENNA" / "table.f0"], check=True)
    assert watched.stamp(table) == stamp(table) != before


def test_a_folder_above_may_be_renamed(tmp_path: Path) -> None:
    first, second = table_folder(tmp_path / "a" / "x.ms"), table_folder(tmp_path / "b" / "x.ms")
    (second / "table.f0").write_bytes(b"other values")
    watched = WatchedStamps()
    watched.stamp(first)
    (tmp_path / "a").rename(tmp_path / "c")
    assert not watched.stamp(first)
    (tmp_path / "b").rename(tmp_path / "a")
    assert watched.stamp(first) == stamp(tmp_path / "a" / "x.ms")


@contextmanager
def _on_another_device(name: str) -> Iterator[None]:
    """Have a folder lie in another file system, whatever its name leads to."""
    real = os.stat

    def moved(path: Path | str | bytes, **how: Any) -> os.stat_result:
        found = real(path, **how)
        if os.fsdecode(path).rpartition("/")[2] != name:
            return found
        facts = [*found[:2], found.st_dev + 1, *found[3:]]
        return os.stat_result(
            facts, {key: getattr(found, key) for key in ("st_mtime_ns", "st_ctime_ns", "st_atime_ns")}
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", moved)
        yield


def test_another_folder_with_the_same_inodes_is_another(table: Path) -> None:
    """As where a snapshot took the place of a folder: its files have the numbers and times that they had."""
    watched = WatchedStamps()
    assert _is_kept(watched, table)
    with _listed() as listed, _on_another_device("x.ms"):
        watched.stamp(table)
    assert listed == ["x.ms", "ANTENNA"]


def test_a_table_of_two_file_systems_is_always_looked_at(table: Path) -> None:
    watched = WatchedStamps()
    with _on_another_device("ANTENNA"):
        assert not _is_kept(watched, table)


def test_nothing_is_kept_of_names_that_are_gone(tmp_path: Path, table: Path) -> None:
    watched = WatchedStamps()
    for turn in range(5):
        table = table.rename(tmp_path / f"{turn}.ms")
        assert _is_kept(watched, table)
        assert set(watched._kept) == {str(table)}
    shutil.rmtree(table)
    other = table_folder(tmp_path / "y.ms")
    assert _is_kept(watched, other)
    assert set(watched._kept) == {str(other)}
    assert list(watched._tables.values()) == [{str(other)}]


def test_files_with_two_names_are_always_looked_at(tmp_path: Path, table: Path) -> None:
    """A write through the other name is reported at the other place only."""
    watched = WatchedStamps()
    assert _is_kept(watched, table)
    subprocess.run(["cp", "-al", table, tmp_path / "y.ms"], check=True)
    assert not _is_kept(watched, table)
    with (tmp_path / "y.ms" / "table.f0").open("ab") as stream:
        stream.write(b"more")
    assert watched.stamp(table) == stamp(table)


def test_links_are_always_looked_at(tmp_path: Path, table: Path) -> None:
    (tmp_path / "elsewhere").write_text("a")
    (table / "table.f1").symlink_to("../elsewhere")
    watched = WatchedStamps()
    before = watched.stamp(table)
    (tmp_path / "elsewhere").write_text("other")
    assert watched.stamp(table) == stamp(table) != before


def test_a_table_with_links_takes_no_watches(tmp_path: Path, table: Path) -> None:
    """As a Multi-MS, whose parts share sub-tables."""
    (table / "ANTENNA").rename(tmp_path / "shared")
    (table / "ANTENNA").symlink_to("../shared")
    watched = WatchedStamps(most=1)
    assert not _is_kept(watched, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched, "_watch", lambda *_: pytest.fail("it is watched again"))
        watched.stamp(table)
    assert _is_kept(watched, table_folder(tmp_path / "y.ms"))


def test_a_table_whose_links_went_is_kept(table: Path) -> None:
    (table / "link").symlink_to("table.dat")
    watched = WatchedStamps()
    assert not _is_kept(watched, table)
    (table / "link").unlink()
    assert _is_kept(watched, table)
    (table / "table.f0").write_bytes(b"others")
    with _listed() as listed:
        watched.stamp(table)
    assert listed == ["x.ms", "ANTENNA"]


def test_folders_without_files_and_with_odd_names(tmp_path: Path) -> None:
    watched = WatchedStamps()
    (tmp_path / "x.ms.flagversions").mkdir()
    for _ in range(2):
        assert not watched.stamp(tmp_path / "x.ms.flagversions")
    odd = table_folder(tmp_path / os.fsdecode(b"\xff.ms"))
    assert _is_kept(watched, odd)
    (odd / "table.f0").write_bytes(b"others")
    assert watched.stamp(odd) == stamp(odd)


def test_a_link_to_a_table_may_be_changed(tmp_path: Path, table: Path) -> None:
    other = table_folder(tmp_path / "y.ms")
    link = tmp_path / "linked.ms"
    link.symlink_to("x.ms")
    watched = WatchedStamps()
    assert watched.stamp(link) == stamp(table)
    link.unlink()
    link.symlink_to("y.ms")
    assert watched.stamp(link) == stamp(other) != stamp(table)
    (other / "table.f0").write_bytes(b"others")
    assert watched.stamp(link) == stamp(other)


def test_files_may_come_from_elsewhere_and_go_there(tmp_path: Path, table: Path) -> None:
    (tmp_path / "table.f1").write_bytes(b"values")
    watched = WatchedStamps()
    before = watched.stamp(table)
    (tmp_path / "table.f1").rename(table / "table.f1")
    after = watched.stamp(table)
    assert after == stamp(table) != before
    (table / "table.f1").rename(tmp_path / "table.f1")
    assert watched.stamp(table) == before


def test_a_folder_may_belong_to_two_products(table: Path) -> None:
    """A session may go into a table: its sub-tables are products there."""
    watched = WatchedStamps()
    for looked in (table, table / "ANTENNA"):
        assert _is_kept(watched, looked)
    (table / "ANTENNA" / "table.f0").write_bytes(b"others")
    for looked in (table, table / "ANTENNA"):
        assert watched.stamp(looked) == stamp(looked)


def test_a_file_is_looked_at_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    watched = WatchedStamps()
    assert watched.stamp(tmp_path / "a.txt") == stamp(tmp_path / "a.txt")
    assert not watched.stamp(tmp_path / "missing")


# -- where nobody tells ------------------------------------------------------------


class _Libc:
    """The C library, some of whose functions fail or are missing."""

    def __init__(self, real: object, **functions: Callable[..., int] | None) -> None:
        self._real = real
        self._functions = functions

    def __getattr__(self, name: str) -> object:
        function = self._functions.get(name, getattr(self._real, name))
        if function is None:
            raise AttributeError(name)
        return function


@pytest.mark.parametrize(
    "functions",
    [
        pytest.param({"inotify_init1": None}, id="another system"),
        pytest.param({"inotify_init1": lambda _flags: -1}, id="no queue left"),
        pytest.param({"inotify_add_watch": lambda *_: -1}, id="no watch left"),
        pytest.param({"statfs": lambda *_: -1}, id="unknown file system"),
        pytest.param({"statfs": lambda *_: 0}, id="another file system"),
        pytest.param({"_EXPORTED": "/data 192.168.1.0/24(rw)"}, id="served to other machines"),
    ],
)
def test_everything_is_looked_at_where_nobody_tells(
    functions: dict[str, Any], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if exported := functions.pop("_EXPORTED", ""):
        (tmp_path / "etab").write_text(exported)
        monkeypatch.setattr(watched_stamps, "_EXPORTED", tmp_path / "etab")
    monkeypatch.setattr(watched_stamps, "_libc", _Libc(watched_stamps._libc, **functions))
    watched = WatchedStamps()
    before = watched.stamp(table)
    (table / "table.f0").write_bytes(b"others")
    assert watched.stamp(table) == stamp(table) != before
    assert not watched._kept


def test_a_file_server_is_asked_once_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def statfs(folder: bytes, _about: object) -> int:
        asked.append(folder)
        return 0  # and the number of the file system is none of those that are local

    monkeypatch.setattr(watched_stamps, "_libc", _Libc(watched_stamps._libc, statfs=statfs))
    watched = WatchedStamps()
    for name in ("x.ms", "y.ms"):
        table_folder(tmp_path / name / "ANTENNA")
        assert not _is_kept(watched, tmp_path / name)
    assert asked == [os.fsencode(tmp_path / "x.ms")]


def test_everything_is_looked_at_where_some_of_it_is_not_told(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([-1, 7])
    monkeypatch.setattr(watched_stamps, "_libc", _Libc(watched_stamps._libc, inotify_add_watch=lambda *_: next(left)))
    watched = WatchedStamps()
    watched.stamp(table)
    assert not watched._kept


def test_no_more_folders_are_watched_than_wanted(tmp_path: Path) -> None:
    tables = [table_folder(tmp_path / name) for name in ("a", "b", "c")]
    watched = WatchedStamps(most=2)
    assert [_is_kept(watched, table) for table in tables] == [True, True, False]
    (tables[0] / "table.f0").write_bytes(b"others")
    assert [_is_kept(watched, table) for table in tables] == [True, True, False]
    table_folder(tables[1] / "SUB")  # it has one more now, which leaves a place to another
    assert [_is_kept(watched, table) for table in tables] == [True, False, True]
    for gone in (tables[0], tables[2]):
        shutil.rmtree(gone)
        assert not watched.stamp(gone)
    assert _is_kept(watched, tables[1])


def test_nothing_is_kept_of_a_folder_that_could_not_be_listed(table: Path) -> None:
    watched = WatchedStamps()

    def refusing(folder: Path | str) -> list[os.DirEntry[str]]:
        if Path(folder).name == "ANTENNA":
            raise OSError(24, os.strerror(24))  # a process with too many open files
        return scan(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched_stamps, "scan", refusing)
        assert [name for name, _ in watched.stamp(table).files] == ["table.dat", "table.f0"]
    assert watched.stamp(table) == stamp(table)


def test_nothing_is_kept_when_events_are_lost(tmp_path: Path, table: Path) -> None:
    other = table_folder(tmp_path / "y.ms")
    watched = WatchedStamps()
    assert _is_kept(watched, table)
    assert _is_kept(watched, other)
    with _listed() as listed, pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched_stamps, "_changed", lambda _queue: iter([-1]))
        watched.stamp(other)
    assert listed == ["y.ms"]
    with _listed() as listed:
        watched.stamp(table)
    assert listed == ["x.ms", "ANTENNA"]


def test_nothing_is_kept_when_the_queue_cannot_be_read(table: Path) -> None:
    watched = WatchedStamps()
    watched.stamp(table)
    (table / "table.f0").write_bytes(b"others")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", lambda *_: (_ for _ in ()).throw(OSError(9, os.strerror(9))))
        assert watched.stamp(table) == stamp(table)


def test_a_signal_may_look_while_somebody_looks(table: Path) -> None:
    """The handler of a signal may call a task, at any time."""
    watched = WatchedStamps()
    inner: list[Stamps] = []

    def interrupting(folder: Path | str) -> list[os.DirEntry[str]]:
        if not inner:
            (table / "table.f0").write_bytes(b"others")
            inner.append(watched.stamp(table))
            (table / "table.f0").write_bytes(b"still others")
        return scan(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched_stamps, "scan", interrupting)
        watched.stamp(table)
    assert inner[0] != watched.stamp(table) == stamp(table)


@pytest.mark.parametrize(("text", "most"), [("8192\n", 1024), ("65536", 8192), ("", 1024), (None, 1024)])
def test_an_eighth_of_what_a_user_may_watch_is_taken(
    text: str | None, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "most").write_text(text)
    monkeypatch.setattr(watched_stamps, "_MOST_WATCHES", tmp_path / "most")
    assert WatchedStamps()._most == most


def test_nothing_is_kept_after_an_interrupt(table: Path) -> None:
    watched = WatchedStamps()
    watched.stamp(table)
    (table / "table.f0").write_bytes(b"others")

    def interrupted(queue: int) -> Iterator[int]:
        if os.read(queue, 1 << 16):
            raise KeyboardInterrupt
        yield 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched_stamps, "_changed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            watched.stamp(table)
    assert not watched._tables
    assert watched.stamp(table) == stamp(table)


def test_threads_may_look_at_once(tmp_path: Path) -> None:
    tables = [table_folder(tmp_path / name) for name in ("a", "b", "c")]
    watched = WatchedStamps()
    stopped = threading.Event()
    wrong: list[Path] = []

    def look(own: Path) -> None:
        turn = 0
        while not stopped.is_set():
            (own / "table.f0").write_bytes(b"x" * (turn := turn + 1))
            if watched.stamp(own) != stamp(own):
                wrong.append(own)
            for table in tables:
                watched.stamp(table)

    threads = [threading.Thread(target=look, args=[table]) for table in tables]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    stopped.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def _open_files() -> set[str]:
    return {os.fspath(path) for path in Path("/proc/self/fd").iterdir() if path.exists() or path.is_symlink()}


def test_the_queue_is_closed_with_the_last_reference(table: Path) -> None:
    before = _open_files()
    watched = WatchedStamps()
    watched.stamp(table)
    assert _open_files() > before
    del watched
    assert _open_files() == before


# -- what casacore writes ------------------------------------------------------------

_WRITE = """
import sys
import numpy
from casacore.tables import makearrcoldesc, maketabdesc, table

path, how = sys.argv[1:]
if how == "make":
    made = maketabdesc(makearrcoldesc("DATA", 0.0, ndim=1, shape=[1000], datamanagertype="TiledColumnStMan"))
    one = table(path, made, nrow=500, ack=False)
    one.putcol("DATA", numpy.ones((500, 1000)))
else:
    one = table(path, readonly=False, ack=False)
    one.putcol("DATA", one.getcol("DATA") + 1)
one.close()
"""


@pytest.mark.parametrize("option", ["cache", "buffer", "mmap", "mmapold"])
def test_what_casacore_writes_shows_however_it_does(option: str, tmp_path: Path) -> None:
    (tmp_path / ".casarc").write_text(f"table.tsm.option: {option}\n")
    environ = os.environ | {"HOME": str(tmp_path)}

    def write(how: str) -> None:
        subprocess.run([sys.executable, "-c", _WRITE, str(table), how], check=True, env=environ)

    table = tmp_path / "x.tab"
    write("make")
    watched = WatchedStamps()
    assert _is_kept(watched, table)
    before = watched.stamp(table)
    write("change")
    assert watched.stamp(table) == stamp(table) != before
