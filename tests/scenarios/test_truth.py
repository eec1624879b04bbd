"""What users do besides calling tasks: replays tell the truth about it."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from casaprov.casa.installed.data import DataSource, import_casatasks
from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.records.model import Activity
from casaprov.tasks.specs import load_specs
from reductions import reduce, write_notebook
from task_source import call_of_function, handed_over

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.usefixtures("casa_site_config")]

START = "%load_ext casaprov\nfrom casatasks import *\nimportuvfits('NGC5921.fits', 'n.ms')"

STRAY = """
import threading
from pathlib import Path

def write():
    while not Path("s.ms").exists():
        pass
    Path("notes.txt").write_text("mine")

thread = threading.Thread(target=write)
thread.start()
split("n.ms", "s.ms", datacolumn="data")
thread.join()
"""

# All images are there, and the call has not returned.
KILLED = """
import os
from casatasks.private.imagerhelpers.imager_base import PySynthesisImager
delete = PySynthesisImager.deleteTools
PySynthesisImager.deleteTools = lambda self: (delete(self), os.kill(os.getpid(), 9))
tclean("n.ms", imagename="x", field="0", imsize=64, cell="15arcsec")
"""


def elsewhere(change: str) -> str:
    """A cell in which another process changes the table `t`."""
    code = f"from casacore.tables import table\nt = table('n.ms', readonly=False, ack=False)\n{change}\nt.close()"
    return f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)"


@dataclass(frozen=True)
class Replayed:
    """A notebook that was run, packed and replayed."""

    code: int
    verdicts: dict[str, str]
    report: dict[str, Any]
    calls: tuple[Activity, ...]

    def verified(self, *paths: str) -> bool:
        return all(self.verdicts[path] in ("identical", "same-content") for path in paths)


def replay(folder: Path, fits: Path, *cells: str, data: str = "") -> Replayed:
    """Run cells, pack and replay them; inputs are searched in the folder `data` beside the notebook, too."""
    reduction = reduce(folder, fits, (START, *cells))
    work = folder.parent / f"{folder.name}-again"
    search = ["--data", str(folder / data)] if data else []
    code = main(["replay", str(reduction.crate), "--work", str(work), *search])
    report = json.loads((work / "replay-report.json").read_text())
    return Replayed(
        code=code,
        verdicts={p["path"]: p["comparison"]["verdict"] for p in report["products"] if p["final"]},
        report=report,
        calls=read_document(journal_folder(reduction.notebook), "n.ipynb").activities,
    )


@pytest.fixture(scope="module")
def faithful(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory, casa_site_config: DataSource) -> Replayed:
    """A notebook of calls that are easily recorded wrongly, and can all be verified."""
    return replay(
        tmp_path_factory.mktemp("faithful") / "n",
        ngc5921_fits,
        "flagdata('n.ms', mode='list', inpfile=[\"spw='0' scan='1'\"])",
        "concat(['n.ms'], 'c.ms')\nexportuvfits('n.ms', 'x.uvfits', field='0')",
        "listobs('n.ms', listfile='l.txt')",
        "import numpy as np\ntclean('n.ms', imagename='x', field='0', imsize=64, cell='15arcsec', niter=np.int64(5))",
        STRAY,
    )


def test_a_faithful_record_is_verified(faithful: Replayed) -> None:
    assert faithful.code == 0


def test_a_task_that_asks_about_itself_gets_its_own_answer(faithful: Replayed) -> None:
    """flagdata's list mode reads the signature of flagdata."""
    assert faithful.calls[1].outcome == "completed"
    assert faithful.verified("n.ms")


def test_parameters_have_the_names_that_users_know(faithful: Replayed) -> None:
    concat = faithful.calls[2]
    assert concat.given == ("vis", "concatvis")
    assert len(concat.used) == 1
    assert faithful.verified("c.ms", "x.uvfits")


def test_a_listing_is_the_same_in_another_folder(faithful: Replayed) -> None:
    assert faithful.verdicts["l.txt"] == "same-content"


def test_a_numpy_scalar_means_to_the_replay_what_it_meant_to_casa(faithful: Replayed) -> None:
    assert faithful.verified("x.image", "x.model")


def test_a_file_that_somebody_else_wrote_meanwhile_decides_nothing(faithful: Replayed) -> None:
    assert faithful.verdicts["notes.txt"] == "not-verifiable"


def test_every_task_takes_its_values_in_the_order_of_its_parameters() -> None:
    """The hook names values by position: the class hands over each parameter once, in order."""
    casatasks = import_casatasks()
    for name in (n for n in casatasks.__all__ if n in load_specs()):
        module = sys.modules[f"casatasks.{name}"]
        call = call_of_function(module, name)
        handed = handed_over(call)
        public = list(inspect.signature(getattr(module, f"_{name}").__call__).parameters)[1:]
        assert handed == public[: len(handed)], name
        assert set(public[len(handed) :]) <= {"kwargs"}, name
        assert all(keyword.arg is None for keyword in call.keywords), name


@pytest.mark.long
def test_a_copied_and_a_moved_product_are_followed(ngc5921_fits: Path, tmp_path: Path) -> None:
    found = replay(
        tmp_path / "n",
        ngc5921_fits,
        "import os, shutil\nshutil.copytree('n.ms', 'copy.ms')",
        "flagdata('n.ms', autocorr=True)",
        "flagdata('copy.ms', scan='1')",
        "split('copy.ms', 's.ms', datacolumn='data', field='0')\nos.rename('s.ms', 'moved.ms')\nvisstat('moved.ms')",
    )
    assert found.code == 0
    assert found.verified("n.ms", "copy.ms")
    assert [step["action"] for step in found.report["steps"]] == ["run"] * 5


@pytest.mark.long
def test_what_calls_change_under_another_name_is_followed(ngc5921_fits: Path, tmp_path: Path) -> None:
    """A copy of an image whose name is used again, a table with two names, and a Multi-MS."""
    clean = "tclean('n.ms', imagename='im', field='0', imsize=64, cell='15arcsec', niter={})"
    again = "import glob\nfor path in glob.glob('im.*'): shutil.rmtree(path)\n"
    found = replay(
        tmp_path / "n",
        ngc5921_fits,
        f"import shutil\n{clean.format(0)}\nshutil.copytree('im.image', 'kept.image')",
        f"{again}{clean.format(5)}",
        "peak = imstat('kept.image')['max']",
        "import os\nos.symlink('n.ms', 'link.ms')\nflagdata('link.ms', scan='1')",
        "flagdata('n.ms', scan='2')\npartition('n.ms', 'n.mms', createmms=True, separationaxis='scan')",
        "flagdata('n.mms', scan='3')\nsplit('n.mms', 's.ms', datacolumn='data')",
    )
    assert found.verified("im.image", "n.ms", "n.mms", "s.ms", "link.ms")
    steps = {step["task"]: step for step in found.report["steps"]}
    assert [step["action"] for step in found.report["steps"]] == ["run"] * len(found.report["steps"])
    assert steps["imstat"]["same_return"]


@pytest.mark.long
def test_a_multi_ms_is_judged_as_a_whole(ngc5921_fits: Path, tmp_path: Path) -> None:
    """Its parts are changed by calls that flagdata and setjy make, and by uvsub itself, through the whole."""
    found = replay(
        tmp_path / "n",
        ngc5921_fits,
        "partition('n.ms', 'n.mms', createmms=True, separationaxis='scan', numsubms=2)",
        "flagdata('n.mms', antenna='5', flagbackup=False)",
        "setjy('n.mms', field='0', standard='Perley-Taylor 99', usescratch=True)\nuvsub('n.mms')",
    )
    assert found.code == 0
    assert found.verified("n.ms", "n.mms")
    assert not any("SUBMSS" in path for path in found.verdicts)
    between = [p["comparison"]["verdict"] for p in found.report["products"] if not p["final"]]
    assert set(between) == {"same-content"}


@pytest.mark.long
def test_what_did_not_appear_again_stops_what_follows(ngc5921_fits: Path, tmp_path: Path) -> None:
    stray = STRAY.replace('Path("notes.txt").write_text("mine")', 'shutil.copytree("n.ms", "stray.ms")')
    found = replay(tmp_path / "n", ngc5921_fits, f"import shutil\n{stray}", "flagdata('stray.ms', scan='1')")
    *_, last = found.report["steps"]
    assert (last["task"], last["action"]) == ("flagdata", "blocked")
    assert "stray.ms could not be brought back" in last["reason"]
    assert found.verdicts["stray.ms"] == "not-verifiable"
    assert found.code == 4


@pytest.mark.long
def test_a_change_after_the_last_call_is_not_called_verified(ngc5921_fits: Path, tmp_path: Path) -> None:
    found = replay(
        tmp_path / "n",
        ngc5921_fits,
        elsewhere("t.putcol('FLAG', ~t.getcol('FLAG'))"),
    )
    assert found.code == 1
    assert found.verdicts["n.ms"] == "not-verifiable"
    between = [p for p in found.report["products"] if p["path"] == "n.ms" and not p["final"]]
    assert [p["comparison"]["verdict"] for p in between] == ["same-content"]


@pytest.mark.long
def test_a_change_between_two_calls_that_was_not_kept_stops_what_follows(
    ngc5921_fits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASAPROV_KEEP_UP_TO", "0")
    found = replay(
        tmp_path / "n",
        ngc5921_fits,
        elsewhere("t.putcol('DATA', 2 * t.getcol('DATA'))"),
        "split('n.ms', 's.ms', datacolumn='data')",
        "visstat('s.ms')",
    )
    assert found.code == 1  # n.ms itself was last changed by no task
    assert found.verdicts["s.ms"] == "not-verifiable"
    assert [step["action"] for step in found.report["steps"]] == ["run", "blocked", "blocked"]


@pytest.mark.long
def test_what_a_killed_call_left_is_no_input(ngc5921_fits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "n"
    notebook = write_notebook(folder / "n.ipynb", (START, KILLED))
    shutil.copy(ngc5921_fits, folder / "NGC5921.fits")
    assert main(["run", str(notebook)]) == 3
    shutil.rmtree(folder / "n.ms")
    found = replay(folder, ngc5921_fits, "imstat('x.image')")
    assert found.code == 0
    assert found.report["steps"][-1]["same_return"]
    (gap,) = [e for e in read_document(journal_folder(notebook), "n.ipynb").entities if e.gap]
    assert (gap.path, gap.revision_of) == ("x.image", None)
    assert re.fullmatch(r"tclean, which began at .{19} UTC and had not ended, writes there\.", gap.note)


@pytest.mark.long
def test_what_another_notebook_left_is_said_to_be_its(
    ngc5921_fits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ngc5921_fits, tmp_path / "NGC5921.fits")
    calibrate, image = tmp_path / "calibrate.ipynb", tmp_path / "image.ipynb"
    write_notebook(image, ("%load_ext casaprov", "from casatasks import *\nvisstat('n.ms')"))
    told = []
    for cells in ((START,), ("%load_ext casaprov\nfrom casatasks import *\nflagdata('n.ms', scan='1')",)):
        write_notebook(calibrate, cells)
        assert main(["run", str(calibrate)]) == 0
        assert main(["run", str(image)]) == 0
        assert main(["inspect", str(image)]) == 0
        told.append(" ".join(capsys.readouterr().out.split()))
    given, changed = [e for e in read_document(journal_folder(image), "image.ipynb").entities if e.path == "n.ms"]
    assert not given.gap
    assert re.fullmatch(r"importuvfits of calibrate\.ipynb, which began at .{19} UTC, left it\.", given.note)
    assert changed.gap
    assert changed.note.startswith("Something that is no recorded call changed FLAG")
    assert re.search(r"\. flagdata of calibrate\.ipynb, which began at .{19} UTC, left it\.$", changed.note)
    for said, state in zip(told, (given, changed), strict=True):
        assert said.endswith(f"n.ms: {state.note}")


@pytest.mark.long
def test_an_input_that_the_notebook_overwrites_is_copied_first(ngc5921_fits: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.fits"
    found = replay(
        tmp_path / "n",
        ngc5921_fits,
        "%unload_ext casaprov",
        "tclean('n.ms', imagename='x', field='0', imsize=64, cell='15arcsec')\n"
        f"exportfits('x.image', {str(mine)!r})\n"
        f"import os, shutil\nos.mkdir('original')\nshutil.copy({str(mine)!r}, 'original')",
        "%load_ext casaprov",
        f"importfits({str(mine)!r}, 'y.image')\nimsmooth('y.image', major='60arcsec', minor='60arcsec', pa='0deg',"
        " outfile='z.image')",
        f"exportfits('z.image', {str(mine)!r}, overwrite=True)",
        data="original",
    )
    overwritten = mine.read_bytes()
    original = tmp_path / "n" / "original" / "mine.fits"
    assert found.code == 0
    assert found.verified("y.image", "z.image", str(mine))
    assert mine.read_bytes() == overwritten != original.read_bytes()
    assert (tmp_path / "n-again" / "_elsewhere" / str(mine).lstrip("/")).is_file()
