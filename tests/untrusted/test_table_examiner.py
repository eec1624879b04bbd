"""Tables in a crate: whoever looks at the crate opens none, and is warned of those that run code."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from casaprov.cli.commands import main
from casaprov.untrusted.table_examiner import table_issues
from hostile_tables import loading, plain, replacing
from sample_records import make_reduction, pack_reduction


def test_tables_that_only_store_values_are_no_issue(tmp_path: Path) -> None:
    (tmp_path / "crate").mkdir()
    plain(tmp_path / "crate" / "a.tab")
    (tmp_path / "crate" / "damaged.tab").mkdir()
    (tmp_path / "crate" / "damaged.tab" / "table.dat").write_bytes(b"no table")
    assert list(table_issues(tmp_path / "crate")) == []


def test_each_table_that_runs_code_is_named_with_its_storage_manager(tmp_path: Path) -> None:
    (tmp_path / "crate" / "deep").mkdir(parents=True)
    precious = plain(tmp_path / "precious.ms")
    replacing(tmp_path / "crate" / "deep" / "x.ms", precious)
    loading(tmp_path / "crate" / "y.ms")
    found = {issue.path: issue.message for issue in table_issues(tmp_path / "crate")}
    assert found.keys() == {"deep/x.ms", "y.ms"}
    assert "VirtualTaQLColumn" in found["deep/x.ms"]
    assert "evilevilevil" in found["y.ms"]


@pytest.mark.parametrize("command", ["validate", "inspect", "replay"])
def test_a_crate_that_ships_one_is_refused_by_name(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    precious, crate = plain(tmp_path / "precious.ms"), tmp_path / "crate"
    before = (precious / "table.dat").read_bytes()
    with zipfile.ZipFile(pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path) as packed:
        packed.extractall(crate)
    shutil.rmtree(crate / "products" / "n.gcal")
    replacing(crate / "products" / "n.gcal", precious)
    options = ["--work", str(tmp_path / "again"), "--ignore-checksums"] if command == "replay" else []
    assert main([command, str(crate), *options]) == (1 if command == "validate" else 3)
    captured = capsys.readouterr()
    assert "VirtualTaQLColumn" in captured.out + captured.err
    assert (precious / "table.dat").read_bytes() == before
    assert not (tmp_path / "again").exists()
