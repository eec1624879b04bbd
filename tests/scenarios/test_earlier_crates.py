"""Crates of casaprov 0.1.0 are opened, validated, inspected and replayed as they were then."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.crate import open_crate
from casaprov.crates.checking.validation import check_crate
from checkout import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
NGC5921 = FIXTURES / "ngc5921-0.1.0.crate.zip"
ALMA = FIXTURES / "x5707-0.1.0.crate.zip"
CALLS = {NGC5921: 20, ALMA: 6}


@pytest.mark.parametrize("crate", CALLS, ids=lambda path: path.name)
class TestCrateOfTheFirstRelease:
    def test_it_is_valid(self, crate: Path) -> None:
        assert check_crate(crate) == ()
        assert main(["validate", str(crate)]) == 0

    def test_it_is_opened(self, crate: Path, tmp_path: Path) -> None:
        opened = open_crate(crate, tmp_path / "opened")
        assert opened.manifest.format == "casaprov/crate/1"
        assert len(opened.document.activities) == CALLS[crate]
        assert opened.notebook.is_file()
        assert check_crate(opened.folder) == ()

    def test_it_is_inspected(self, crate: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", str(crate), "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)["activities"]) == CALLS[crate]


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.observations
def test_a_crate_of_the_first_release_is_replayed(
    casa_site_config: object, observations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive,) = (observations / "alma_x5707_ms").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "data", filter="data")
    report = replayed(ALMA, tmp_path, capsys, "--data", str(tmp_path / "data"))
    assert [step["action"] for step in report["steps"]].count("run") == 5


@pytest.mark.casa
@pytest.mark.long
def test_the_example_of_the_first_release_is_replayed(
    casa_site_config: object, ngc5921_fits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = replayed(NGC5921, tmp_path, capsys)
    assert {step["action"] for step in report["steps"]} == {"run"}
    assert len([product for product in report["products"] if product["final"]]) == 19


def replayed(
    crate: Path, folder: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> dict[str, list[dict[str, Any]]]:
    """Replay a crate, every product of which must be verified; return the report."""
    assert main(["replay", str(crate), "--work", str(folder / "again"), "--json", *options]) == 0
    report: dict[str, list[dict[str, Any]]] = json.loads(capsys.readouterr().out)
    assert {product["comparison"]["verdict"] for product in report["products"]} <= {"identical", "same-content"}
    return report
