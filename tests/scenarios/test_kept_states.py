"""States that no task can make again are kept, shipped and taken: a replay runs all that tasks did with them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from made_once import made_once
from reductions import Reduction, reduce, reduction_in

pytestmark = [pytest.mark.casa, pytest.mark.slow]

SCALE = "tb.open('m.ms', nomodify=False)\ntb.putcol('DATA', {} * tb.getcol('DATA'))\ntb.close()"
CELLS = (
    "%load_ext casaprov\nfrom casatasks import *\nimportuvfits('NGC5921.fits', 'n.ms')\nimport casatools, shutil",
    "split('n.ms', 'm.ms', datacolumn='data', field='0', spw='0:1~3')\ntb = casatools.table()",
    SCALE.format(2),  # seen by no task: the next one changes it again
    SCALE.format(3),
    "visstat('m.ms', datacolumn='data')\nflagdata('m.ms', antenna='3', flagbackup=False)",
    SCALE.format(0.5),
    "split('m.ms', 'half.ms', datacolumn='data')\nshutil.rmtree('m.ms')",
    # no tool of CASA: a gap, which a task finds and changes
    (
        "import subprocess, sys\nfrom pathlib import Path\nPath('scale.py').write_text('''\n"
        "from casacore.tables import table\nt = table('half.ms', readonly=False, ack=False)\n"
        "t.putcol('DATA', 7 * t.getcol('DATA'))\nt.close()\n''')\n"
        "subprocess.run([sys.executable, 'scale.py'], check=True)"
    ),
    "flagdata('half.ms', mode='unflag', flagbackup=False)\nlistobs('half.ms', listfile='half.txt')",
)


@pytest.fixture(scope="module")
def reduced(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory, casa_site_config: DataSource) -> Reduction:
    return reduction_in(made_once(tmp_path_factory, "kept", lambda folder: reduce(folder, ngc5921_fits, CELLS)))


def export(reduced: Reduction, out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Pack the notebook and return the outlook of a replay."""
    capsys.readouterr()
    assert main(["export", str(reduced.notebook), "-o", str(out), "--json"]) == 0
    return list(json.loads(capsys.readouterr().out)["outlook"])


@pytest.mark.long
def test_a_replay_takes_them_and_verifies_what_tasks_did(
    reduced: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outlook = export(reduced, tmp_path / "n.crate.zip", capsys)
    assert outlook == [
        "7 of 7 task calls can be replayed.",
        "A replay takes these as they were, for no task can make them again: m.ms, half.ms.",
    ]
    with zipfile.ZipFile(tmp_path / "n.crate.zip") as crate:
        kept = {
            name.split("/")[4] for name in crate.namelist() if name.startswith("inputs/_states/") and name[-1] != "/"
        }
    assert kept == {"m.ms", "half.ms"}
    assert main(["validate", str(tmp_path / "n.crate.zip")]) == 0
    assert main(["replay", str(tmp_path / "n.crate.zip"), "--work", str(tmp_path / "again")]) == 0
    out = capsys.readouterr().out
    assert "taken, not made again: m.ms as the call left it" in out
    assert "taken, not made again: half.ms as the call found it" in out
    report = json.loads((tmp_path / "again" / "replay-report.json").read_text())
    assert report["conclusion"] == "verified"
    assert [step["action"] for step in report["steps"] if step["task"] == "table.putcol"] == [
        "leave-out",
        "take",
        "take",
    ]
    finals = {p["path"]: p["comparison"]["verdict"] for p in report["products"] if p["final"]}
    assert finals == {
        "n.ms": "same-content", "m.ms": "not-verifiable", "half.ms": "same-content", "half.txt": "same-content",
    }  # fmt: skip
    between = [
        p["comparison"]["verdict"] for p in report["products"] if p["path"] in ("m.ms", "half.ms") and not p["final"]
    ]
    assert between.count("same-content") == 3  # of split, of flagdata, of the other split


@pytest.mark.long
def test_without_room_for_them_the_export_and_the_replay_say_what_is_missing(
    reduced: Reduction, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASAPROV_KEEP_UP_TO", "0")
    first, *reasons = export(reduced, tmp_path / "n.crate.zip", capsys)
    assert first == "2 of 7 task calls can be replayed."
    assert "no task can make m.ms as casatools.table.putcol left it, and the crate does not hold it" in reasons[0]
    assert main(["replay", str(tmp_path / "n.crate.zip"), "--work", str(tmp_path / "again")]) == 4
    assert "Verified as far as possible." in capsys.readouterr().out
