"""``casaprov export``: it takes nobody's place, and finds what was moved."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.crate import open_crate
from reductions import Reduction

pytestmark = [pytest.mark.casa, pytest.mark.slow]


@pytest.fixture
def mine(reduction: Reduction, tmp_path: Path) -> Path:
    """A copy of a reduction, notebook, journal and products, somewhere else."""
    shutil.copytree(reduction.folder, tmp_path / "mine")
    return tmp_path / "mine"


@pytest.mark.parametrize(
    "output", ["n.ipynb", "n.fits", "n.ms", "n.ms/crate.zip", "n.ms/ANTENNA/crate.zip", "NGC5921.fits", "notes.zip"]
)
def test_an_output_takes_the_place_of_nothing_else(mine: Path, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "notes.zip").write_text("no crate")
    before = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}
    assert main(["export", str(mine / "n.ipynb"), "-o", str(mine / output)]) == 2
    assert "--output" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == before


def test_an_earlier_crate_is_replaced_only_if_asked_for(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "n.crate.zip").unlink()
    assert main(["export", str(mine / "n.ipynb"), "--title", "first"]) == 0
    before = (mine / "n.crate.zip").read_bytes()
    assert main(["export", str(mine / "n.ipynb"), "--title", "second"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (mine / "n.crate.zip").read_bytes() == before
    assert main(["export", str(mine / "n.ipynb"), "--title", "second", "--overwrite"]) == 0
    assert b"second" in zipfile.ZipFile(mine / "n.crate.zip").read("ro-crate-metadata.json")


def test_a_folder_that_was_moved_is_exported_from_where_it_is(mine: Path, tmp_path: Path) -> None:
    # What lies at the old place is another reduction's by now.
    copied = mine / "n.fits"
    changed = bytearray(copied.read_bytes())
    changed[-2880] ^= 1
    copied.write_bytes(changed)
    assert main(["export", str(mine / "n.ipynb"), "-o", str(mine / "x.zip")]) == 0
    crate = open_crate(mine / "x.zip", tmp_path / "opened")
    shipped = {entity.path: crate.shipped(entity) for entity in crate.document.entities}
    image = shipped["n.image"]
    assert image is not None
    gap = next(entity for entity in crate.document.entities if entity.path == "n.fits" and entity.gap)
    assert (crate.shipped(gap) is None) or crate.shipped(gap).read_bytes() == bytes(changed)  # type: ignore[union-attr]


def test_half_a_table_that_a_killed_task_left_is_exported_as_a_gap(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "n.image" / "table.dat").write_bytes(b"")
    assert main(["export", str(mine / "n.ipynb"), "-o", str(mine / "x.zip")]) == 0
    assert main(["validate", str(mine / "x.zip")]) == 0
    crate = open_crate(mine / "x.zip", tmp_path / "opened")
    (gap,) = (entity for entity in crate.document.entities if entity.path == "n.image" and entity.gap)
    assert gap.content_digest is None
    assert gap.size_bytes > 0
    assert "n.image cannot be opened as a table" in gap.note
    capsys.readouterr()
    assert main(["inspect", str(mine / "x.zip")]) == 0
    assert "n.image" in capsys.readouterr().out


def test_a_moved_folder_is_shipped_when_the_old_one_is_gone(
    reduction: Reduction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    shutil.copytree(reduction.folder, first)
    for journal in (first / ".casaprov").rglob("*.jsonl"):  # as if it had been recorded here
        journal.write_text(journal.read_text().replace(str(reduction.folder), str(first)))
    moved = first.rename(tmp_path / "second")
    assert main(["export", str(moved / "n.ipynb"), "-o", str(tmp_path / "x.zip")]) == 0
    crate = open_crate(tmp_path / "x.zip", tmp_path / "opened")
    paths = {entity.path for entity in crate.document.entities if crate.shipped(entity) is not None}
    assert {"n.image", "n.gcal", "n.fits", "n.txt"} <= paths


def test_a_cell_that_was_edited_since_it_ran_is_told(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(mine / "n.ipynb"), "-o", str(mine / "x.zip"), "--json"]) == 0
    assert "ran in cells" not in capsys.readouterr().err
    notebook = json.loads((mine / "n.ipynb").read_text())
    for cell in notebook["cells"]:
        cell["source"] = [*cell["source"], "\n# edited"]
    (mine / "n.ipynb").write_text(json.dumps(notebook))
    assert main(["export", str(mine / "n.ipynb"), "-o", str(mine / "x.zip"), "--json", "--overwrite"]) == 0
    captured = capsys.readouterr()
    assert "ran in cells that the saved notebook lacks or has in another form" in captured.err
    assert json.loads(captured.out)["notes"][0] in captured.err
    assert main(["validate", str(mine / "x.zip")]) == 0
    readme = zipfile.ZipFile(mine / "x.zip").read("README.md").decode()
    assert "The notebook in this crate does not have the cells of these calls as they ran:" in readme
