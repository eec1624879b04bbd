"""What lies in a folder before and after a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from casaprov.files.snapshot import IGNORED, take_snapshot
from casaprov.files.stamps import Stamps, stamp
from table_folders import table_folder


def test_a_walk_takes_tables_and_flag_versions_as_one_product(tmp_path: Path) -> None:
    table_folder(tmp_path / "x.ms")
    table_folder(tmp_path / "x.ms" / "ANTENNA")
    table_folder(tmp_path / "x.ms.flagversions" / "flags.a")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.png").write_text("x")
    table_folder(tmp_path / "plots" / "b.im")
    assert set(take_snapshot(tmp_path).products) == {"x.ms", "x.ms.flagversions", "plots/a.png", "plots/b.im"}


def test_a_walk_does_not_see_what_notebooks_leave(tmp_path: Path) -> None:
    for name in (".git", ".casaprov", ".ipynb_checkpoints", "__pycache__", ".cache/fontconfig", ".ipython"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a").write_text("x")
    (tmp_path / ".bash_history").write_text("casa")
    (tmp_path / "n.ipynb").write_text("{}")
    (tmp_path / "casa-20260101-000000.log").write_text("")
    assert take_snapshot(tmp_path).products == {}
    assert take_snapshot(tmp_path, ignore=()).products.keys() >= {"n.ipynb", ".git/a"}
    assert "*.ipynb" in IGNORED


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_a_walk_does_not_go_through_a_python(tmp_path: Path, mark: str) -> None:
    """A notebook may lie in a home folder, beside an environment of a hundred thousand files."""
    (tmp_path / "env" / "lib").mkdir(parents=True)
    (tmp_path / "env" / "lib" / "a.py").write_text("x")
    assert set(take_snapshot(tmp_path).products) == {"env/lib/a.py"}
    (tmp_path / "env" / mark).parent.mkdir(exist_ok=True)
    (tmp_path / "env" / mark).write_text("x")
    assert take_snapshot(tmp_path).products == {}


def test_a_walk_finds_what_is_new_or_different(tmp_path: Path) -> None:
    table = table_folder(tmp_path / "x.ms")
    (tmp_path / "same").write_text("x")
    before = take_snapshot(tmp_path)
    (table / "table.f0").write_bytes(b"other values")
    (table / "table.lock").write_bytes(b"other lock")
    (tmp_path / "new").write_text("x")
    after = take_snapshot(tmp_path)
    assert after.changed_since(before) == (tmp_path / "new", tmp_path / "x.ms")
    assert tuple(after.products) == ("new", "same", "x.ms")


def test_a_walk_stops_and_says_so(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}").write_text("x")
    before = take_snapshot(tmp_path, max_entries=5)
    (tmp_path / "00").write_text("new")
    (tmp_path / "1").write_text("changed")
    after = take_snapshot(tmp_path, max_entries=5)
    assert not after.complete
    assert after.changed_since(before) == (tmp_path / "1",)


def test_a_walk_passes_over_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    (tmp_path / "linked").symlink_to("folder")
    found = take_snapshot(tmp_path).products
    assert list(found) == ["folder/a.txt", "itself", "linked", "nothing"]
    assert {name: stamps.linked for name, stamps in found.items()} == {
        "folder/a.txt": False, "itself": False, "linked": False, "nothing": False,
    }  # fmt: skip
    assert found["folder/a.txt"] == stamp(tmp_path / "folder" / "a.txt")
    assert all(len(stamps.files) == 1 for stamps in found.values())  # a link is a name, whatever it leads to


def test_a_walk_takes_the_stamps_of_tables_from_whom_it_is_given(tmp_path: Path) -> None:
    for name in ("x.ms", "x.ms.flagversions/flags.a", "plots/b.im"):
        table_folder(tmp_path / name)
    (tmp_path / "a.txt").write_text("a")
    asked: list[str] = []

    def asking(path: str) -> Stamps:
        asked.append(path)
        return stamp(Path(path))

    assert take_snapshot(tmp_path, stamp_table=asking).products == take_snapshot(tmp_path).products
    assert asked == [f"{tmp_path}/{name}" for name in ("plots/b.im", "x.ms", "x.ms.flagversions")]
