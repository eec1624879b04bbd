"""Chains of tasks that did not wait: states in between have no digests, and a replay verifies what came after them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from reductions import reduce

pytestmark = [pytest.mark.casa, pytest.mark.slow]

CELLS = (
    "%load_ext casaprov\nfrom casatasks import *\nimport casatools, shutil\ntb = casatools.table()",
    "importuvfits('NGC5921.fits', 'n.ms')\nsplit('n.ms', 'm.ms', datacolumn='data', field='0', spw='0:1~3')",
    "for antenna in '3456':\n    flagdata('m.ms', antenna=antenna)",
    # Only its content tells what the copy was made of.
    "flagdata('m.ms', antenna='7')\nshutil.copytree('m.ms', 'copy.ms')\nflagdata('m.ms', antenna='8')",
    "split('copy.ms', 'half.ms', datacolumn='data', spw='0:1')",
    # No task can make again what the tool leaves.
    "tb.open('m.ms', nomodify=False)\ntb.putcol('DATA', 2 * tb.getcol('DATA'))\ntb.close()\nflagdata('m.ms', antenna='9')",
    "clearcal('half.ms', addmodel=True)\nsetjy('half.ms', usescratch=True)\nflagdata('half.ms', mode='rflag')",
)


@pytest.mark.long
def test_a_replay_goes_through_states_that_were_not_digested(
    ngc5921_fits: Path,
    tmp_path: Path,
    casa_site_config: DataSource,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CASAPROV_PATIENCE", "0")
    reduced = reduce(tmp_path / "n", ngc5921_fits, CELLS)
    assert main(["validate", str(reduced.crate)]) == 0
    capsys.readouterr()
    assert main(["check", str(reduced.notebook)]) == 0
    assert "Restart & Run All would give these products." in capsys.readouterr().out
    assert main(["replay", str(reduced.crate), "--work", str(tmp_path / "again")]) == 0
    assert "not compared (The next call changed it before it was digested): m.ms as call" in capsys.readouterr().out
    report = json.loads((tmp_path / "again" / "replay-report.json").read_text())
    assert report["conclusion"] == "verified"
    assert {step["action"] for step in report["steps"] if step["task"] != "table.putcol"} == {"run"}
    finals = {p["path"]: p["comparison"]["verdict"] for p in report["products"] if p["final"]}
    assert finals == dict.fromkeys(
        ("n.ms", "m.ms", "m.ms.flagversions", "half.ms", "half.ms.flagversions"), "same-content"
    )
    between = [p for p in report["products"] if not p["final"] and p["path"] == "m.ms"]
    # The last state before the copy, and that which the tool found and that which it left, are digested.
    assert "not-verifiable" in {p["comparison"]["verdict"] for p in between}
