"""What lies in a folder before and after a call; folders that have not changed are not listed again."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casaprov import walks
from casaprov.regular_files import scan
from casaprov.stamps import stamp
from casaprov.walks import IGNORED, Listings, walk
from table_folders import table_folder

NAMES = ("a", "b", "x.ms")


def test_a_walk_takes_tables_and_flag_versions_as_one_product(tmp_path: Path) -> None:
    table_folder(tmp_path / "x.ms")
    table_folder(tmp_path / "x.ms" / "ANTENNA")
    table_folder(tmp_path / "x.ms.flagversions" / "flags.a")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.png").write_text("x")
    table_folder(tmp_path / "plots" / "b.im")
    assert set(walk(tmp_path).products) == {"x.ms", "x.ms.flagversions", "plots/a.png", "plots/b.im"}


def test_a_walk_does_not_see_what_notebooks_leave(tmp_path: Path) -> None:
    for name in (".git", ".casaprov", ".ipynb_checkpoints", "__pycache__", ".cache/fontconfig", ".ipython"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a").write_text("x")
    (tmp_path / ".bash_history").write_text("casa")
    (tmp_path / "n.ipynb").write_text("{}")
    (tmp_path / "casa-20260101-000000.log").write_text("")
    assert walk(tmp_path).products == {}
    assert walk(tmp_path, ignore=()).products.keys() >= {"n.ipynb", ".git/a"}
    assert "*.ipynb" in IGNORED


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_a_walk_does_not_go_through_a_python(tmp_path: Path, mark: str) -> None:
    """A notebook may lie in a home folder, beside an environment of a hundred thousand files."""
    (tmp_path / "env" / "lib").mkdir(parents=True)
    (tmp_path / "env" / "lib" / "a.py").write_text("x")
    assert set(walk(tmp_path).products) == {"env/lib/a.py"}
    (tmp_path / "env" / mark).parent.mkdir(exist_ok=True)
    (tmp_path / "env" / mark).write_text("x")
    assert walk(tmp_path).products == {}


def test_a_walk_finds_what_is_new_or_different(tmp_path: Path) -> None:
    table = table_folder(tmp_path / "x.ms")
    (tmp_path / "same").write_text("x")
    before = walk(tmp_path)
    (table / "table.f0").write_bytes(b"other values")
    (table / "table.lock").write_bytes(b"other lock")
    (tmp_path / "new").write_text("x")
    after = walk(tmp_path)
    assert after.changed_since(before) == (tmp_path / "new", tmp_path / "x.ms")
    assert after.paths() == (tmp_path / "new", tmp_path / "same", tmp_path / "x.ms")
    assert after.problems == ()


def test_a_walk_stops_and_says_so(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}").write_text("x")
    before = walk(tmp_path, max_entries=5)
    (tmp_path / "00").write_text("new")
    (tmp_path / "1").write_text("changed")
    after = walk(tmp_path, max_entries=5)
    assert not after.complete
    assert "holds more than" in after.problems[0]
    assert after.changed_since(before) == (tmp_path / "1",)


def test_a_walk_passes_over_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "linked").symlink_to("folder")
    found = walk(tmp_path).products
    assert list(found) == ["folder/a.txt", "itself", "linked", "nothing"]
    assert {name: stamps.linked for name, stamps in found.items()} == {
        "folder/a.txt": False, "itself": False, "linked": False, "nothing": False,
    }  # fmt: skip
    assert {name: found[name] == stamp(tmp_path / name) for name in found} == dict.fromkeys(found, True)


# -- listings ------------------------------------------------------------------


@contextmanager
def _listed() -> Iterator[list[str]]:
    """Note which folders are listed."""
    listed: list[str] = []

    def noting(folder: str) -> list[os.DirEntry[str]]:
        listed.append(Path(folder).name)
        return scan(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "scan", noting)
        yield listed


def _settle() -> None:
    time.sleep(0.012)  # a step of most file systems


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    made = tmp_path / "scratch"
    made.mkdir()
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with a file and a folder, in which nothing has just happened."""
    made = tmp_path / "work"
    (made / "x").mkdir(parents=True)
    (made / "b").write_text("b")
    (made / "x" / "a").write_text("a")
    _settle()
    return made


def test_only_folders_that_changed_are_listed_again(tmp_path: Path, scratch: Path) -> None:
    work = tmp_path / "work"
    table = table_folder(work / "x.ms")
    table_folder(table / "ANTENNA")
    listings = Listings(scratch)
    _settle()
    with _listed() as listed:
        first = walk(work, list_folder=listings)
        assert listed == ["work", "x.ms", "ANTENNA"]
        listed.clear()
        (table / "table.f0").write_bytes(b"others")
        assert walk(work, list_folder=listings).changed_since(first) == (table,)
        assert listed == []  # no name came or went
        (table / "ANTENNA" / "table.f1").write_bytes(b"new")
        after = walk(work, list_folder=listings)
    assert listed == ["ANTENNA"]
    assert after.products == walk(work).products
    assert [name for name, _ in after.products["x.ms"].files] == [
        "ANTENNA/table.dat", "ANTENNA/table.f0", "ANTENNA/table.f1", "table.dat", "table.f0",
    ]  # fmt: skip


def _make(path: Path) -> None:
    if not path.is_dir():
        path.write_text("x")


def _fold(path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        table_folder(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _link(path: Path) -> None:
    if not path.exists() and not path.is_symlink():
        path.symlink_to("elsewhere")


def _rename(path: Path) -> None:
    target = path.with_name("renamed")
    if path.exists() and not target.exists():
        path.rename(target)


def _wait(_path: Path) -> None:
    _settle()


CHANGES: tuple[Callable[[Path], None], ...] = (_make, _fold, _remove, _link, _rename, _wait)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(CHANGES), st.sampled_from(["", *NAMES]), st.sampled_from(NAMES)), max_size=25
    )
)
def test_a_walk_with_listings_sees_what_one_without_sees(
    steps: list[tuple[Callable[[Path], None], str, str]],
) -> None:
    with TemporaryDirectory() as name:
        work, scratch = Path(name, "work"), Path(name, "scratch")
        for folder in (work, scratch, work / "a"):
            folder.mkdir()
        listings = Listings(scratch)
        for change, folder_name, file_name in steps:
            folder = work / folder_name
            if folder.is_dir():
                change(folder / file_name)
            assert walk(work, list_folder=listings).products == walk(work).products


@pytest.mark.parametrize("where", ["tmp_path", "memory", "whole_seconds"])
def test_a_name_that_comes_right_after_a_walk_shows(where: str, request: pytest.FixtureRequest) -> None:
    folder = Path(request.getfixturevalue(where))
    work, scratch = folder / "work", folder / "scratch"
    for new in (work, scratch):
        new.mkdir()
    listings = Listings(scratch)
    expected = set()
    for turn in range(100):
        walk(work, list_folder=listings)
        (work / f"{turn}").write_text("x")
        expected.add(f"{turn}")
        assert set(walk(work, list_folder=listings).products) == expected
        if turn % 10 == 0:
            _settle()


def test_a_name_may_come_in_the_step_in_which_a_folder_was_listed(work: Path, scratch: Path) -> None:
    listings = Listings(scratch)
    changed_ns = work.stat().st_ctime_ns
    with pytest.MonkeyPatch.context() as patch, _listed() as listed:
        listings(scratch)  # so that its file system is known
        listed.clear()
        patch.setattr(time, "time_ns", lambda: changed_ns + 9_000_000)
        listings(work)
        listings(work)
        assert listed == ["work", "work"]
        patch.setattr(time, "time_ns", lambda: changed_ns + 11_000_000)
        listings(work)
        listings(work)
    assert listed == ["work"] * 3


def test_nothing_is_kept_of_another_file_system(scratch: Path, memory: Path) -> None:
    (memory / "a").write_text("x")
    _settle()
    listings = Listings(scratch)
    with _listed() as listed:
        for _ in range(3):
            assert set(walk(memory, list_folder=listings).products) == {"a"}
    assert listed == [memory.name] * 3


def test_nothing_is_kept_where_new_names_do_not_show(work: Path, scratch: Path) -> None:
    def touch(path: Path) -> None:
        path.write_text("")
        os.utime(path.parent, (0, 0))

    with pytest.MonkeyPatch.context() as patch, _listed() as listed:
        # As some file systems in front of object stores: a new name leaves the folder's time alone.
        patch.setattr(Path, "touch", touch)
        listings = Listings(scratch)
        for _ in range(2):
            assert set(walk(work, list_folder=listings).products) == {"b", "x/a"}
    assert listed == ["work", "x"] * 2


def test_nothing_is_kept_before_there_is_a_folder_to_try_it_in(work: Path, tmp_path: Path) -> None:
    listings = Listings(tmp_path / "later")
    with _listed() as listed:
        listings(work)
        listings(work)
        (tmp_path / "later").mkdir()
        listings(work)
        listings(work)
    assert listed == ["work"] * 3


def test_nothing_is_kept_where_it_can_not_be_tried(work: Path, tmp_path: Path) -> None:
    listings = Listings(tmp_path / ("x" * 300))
    with _listed() as listed:
        for _ in range(2):
            assert set(walk(work, list_folder=listings).products) == {"b", "x/a"}
    assert listed == ["work", "x"] * 2


def test_a_folder_that_could_not_be_listed_is_tried_again(work: Path, scratch: Path) -> None:
    listings = Listings(scratch)
    walk(work, list_folder=listings)  # so that its file system is known
    (work / "x" / "c").write_text("c")
    _settle()

    def refusing(_folder: str) -> list[os.DirEntry[str]]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "scan", refusing)  # a process with too many open files
        assert set(walk(work, list_folder=listings).products) == {"b"}
    assert set(walk(work, list_folder=listings).products) == {"b", "x/a", "x/c"}


def test_a_folder_that_went_is_empty(scratch: Path, work: Path) -> None:
    listings = Listings(scratch)
    assert [entry.name for entry in listings(work / "x")] == ["a"]
    shutil.rmtree(work / "x")
    assert list(listings(work / "x")) == []
    assert set(walk(work, list_folder=listings).products) == {"b"}


def test_what_was_there_only_while_it_was_listed_is_not_kept(work: Path, scratch: Path, tmp_path: Path) -> None:
    """Folders above are renamed: the folder's own times stay what they were."""
    listings = Listings(scratch)
    listings(scratch)
    other = tmp_path / "other"
    (other / "x").mkdir(parents=True)
    (other / "x" / "new").write_text("")
    _settle()

    def swapped(folder: str) -> list[os.DirEntry[str]]:
        work.rename(tmp_path / "kept")
        other.rename(work)
        try:
            return scan(folder)
        finally:
            work.rename(other)
            work.mkdir()
            (work / "x").mkdir()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "scan", swapped)
        assert [entry.name for entry in listings(work / "x")] == ["new"]
    shutil.rmtree(work)
    (tmp_path / "kept").rename(work)
    assert [entry.name for entry in listings(work / "x")] == ["a"]


@pytest.mark.parametrize(("most", "listed_again"), [(40, []), (33, ["work", "x"]), (20, ["x"]), (2, ["work", "x"])])
def test_no_more_names_are_kept_than_wanted(work: Path, scratch: Path, most: int, listed_again: list[str]) -> None:
    for number in range(30):
        (work / "x" / f"{number}").write_text("")
    _settle()
    listings = Listings(scratch, most=most)
    assert len(walk(work, list_folder=listings).products) == 32
    with _listed() as listed:
        assert len(walk(work, list_folder=listings).products) == 32
    assert listed == listed_again
