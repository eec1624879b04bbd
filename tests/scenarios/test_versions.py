"""Between versions of CASA: a crate recorded with one is verified with another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from checkout import ROOT

OTHER_PYTHON = os.environ.get("CASAPROV_OTHER_PYTHON", "")


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.skipif(
    not OTHER_PYTHON, reason="no second CASA: 'make test-versions', or name its Python in CASAPROV_OTHER_PYTHON"
)
def test_the_example_is_the_same_with_another_casa(
    casa_site_config: DataSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook, crate = tmp_path / "run" / "ngc5921.ipynb", tmp_path / "ngc5921.crate.zip"
    assert main(["run", str(ROOT / "examples" / "ngc5921.ipynb"), "-o", str(notebook)]) == 0
    assert main(["export", str(notebook), "-o", str(crate)]) == 0
    capsys.readouterr()
    code = main(["replay", str(crate), "--work", str(tmp_path / "again"), "--python", OTHER_PYTHON, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert "casatasks" in {difference["name"] for difference in told["environment"]}
    verdicts = {product["path"]: product["comparison"]["verdict"] for product in told["products"]}
    assert len(verdicts) == 19
    assert set(verdicts.values()) <= {"identical", "same-content"}
    assert code == 0
