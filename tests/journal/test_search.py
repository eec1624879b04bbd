"""Records are found beside and above a product, and below a folder."""

from __future__ import annotations

from pathlib import Path

from casaprov.journal.search import crates_below, journal_folders_above, journal_folders_below


def journal(folder: Path, name: str) -> Path:
    found = folder / ".casaprov" / name
    found.mkdir(parents=True)
    (found / "s.jsonl").write_text("{}\n")
    return found


def test_the_nearest_journal_comes_first(tmp_path: Path) -> None:
    far, near = journal(tmp_path, "far"), journal(tmp_path / "a" / "b", "near")
    assert [*journal_folders_above(tmp_path / "a" / "b" / "x.image")][:2] == [near, far]


def test_folders_are_searched_without_links_and_tables(tmp_path: Path) -> None:
    found = {journal(tmp_path, "one"), journal(tmp_path / "deep" / "er", "two")}
    inside = tmp_path / "x.ms"
    inside.mkdir()
    (inside / "table.dat").touch()
    journal(inside / "SOURCE", "three")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    assert set(journal_folders_below(tmp_path)) == found


def test_crates_are_zips_and_a_folder_that_cannot_be_listed_holds_none(tmp_path: Path) -> None:
    (tmp_path / "b.zip").touch()
    (tmp_path / "c.txt").touch()
    (tmp_path / "d.zip").mkdir()
    assert [*crates_below(tmp_path)] == [tmp_path / "b.zip"]
    assert [*crates_below(tmp_path / "nothing")] == []
