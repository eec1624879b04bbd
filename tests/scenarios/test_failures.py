"""Calls that fail and notebooks that are run in disorder: the record says what happened all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

from casaprov.cli.commands import main
from casaprov.config import Config
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.lineage.graph import Lineage
from casaprov.notebook.execute import run_notebook
from casaprov.notebook.notebook_name import NOTEBOOK_VARIABLE
from casaprov.readers.installed import open_digester
from casaprov.records.model import Activity, Document, Entity
from made_once import made_once
from reductions import write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("casa_site_config")]

START = "%load_ext casaprov\nfrom casatasks import *\nimportuvfits({!r}, 'n.ms')"

# -- calls that fail --------------------------------------------------------------

INTERRUPTED = """
import os, signal, threading, time
from pathlib import Path

def interrupt():
    while not Path("t.residual").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    tclean(vis="n.ms", imagename="t", imsize=256, cell="10arcsec", niter=100000, specmode="cube", nchan=20)
except KeyboardInterrupt:
    print("stopped")
"""
FAILING = (
    "try:\n    applycal('n.ms', gaintable=['not there.gcal'])\nexcept RuntimeError as error:\n    print(error)",
    "gaincal('n.ms', caltable='none.gcal', field='0', minblperant=100, refant='15')",
    "open('nonsense.mir', 'w').write('x')\ntry:\n    importmiriad('nonsense.mir', 'miriad.ms')\nexcept Exception as error:\n    print(error)",
    INTERRUPTED,
    "v = visstat('n.ms', datacolumn='data')",
)  # fmt: skip


@pytest.fixture(scope="module")
def failing(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:

    def run(folder: Path) -> None:
        notebook = write_notebook(folder / "k.ipynb", (START.format(str(ngc5921_fits)), *FAILING))
        assert run_notebook(notebook, notebook).failure is None

    return made_once(tmp_path_factory, "failing", run) / "k.ipynb"


def document_of(notebook: Path) -> Document:
    return read_document(journal_folder(notebook), notebook.name)


def call(notebook: Path, task: str) -> Activity:
    (found,) = (activity for activity in document_of(notebook).activities if activity.task == task)
    return found


def left(notebook: Path, activity: Activity) -> dict[str, Entity]:
    document = document_of(notebook)
    return {
        entity.path: entity for entity in (Lineage(document).entities[usage.entity] for usage in activity.generated)
    }


def printed(notebook: Path, name: str = "stdout") -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(o.text for c in cells for o in c.outputs if o.get("name") == name)


def test_what_a_task_changed_before_it_raised_is_recorded(failing: Path) -> None:
    """applycal adds its column and saves the flags before it looks for the tables."""
    applycal = call(failing, "applycal")
    assert applycal.outcome == "failed"
    assert applycal.failure is not None
    assert "not there.gcal" in applycal.failure.message
    made = left(failing, applycal)
    assert made.keys() == {"n.ms", "n.ms.flagversions"}
    assert made["n.ms"].revision_of == applycal.used[0].entity


def test_a_task_without_its_output_claims_none(failing: Path) -> None:
    gaincal, importmiriad = call(failing, "gaincal"), call(failing, "importmiriad")
    assert gaincal.outcome == "completed"
    assert gaincal.parameters["caltable"] == "none.gcal"
    assert not (failing.parent / "none.gcal").exists()
    assert left(failing, gaincal) == {}
    assert left(failing, importmiriad) == {}


def test_an_interrupted_task_is_recorded_with_what_it_left(failing: Path) -> None:
    tclean = call(failing, "tclean")
    assert "stopped" in printed(failing)
    assert tclean.outcome == "interrupted"
    assert tclean.failure is not None
    assert tclean.failure.type == "KeyboardInterrupt"
    assert "t.residual" in left(failing, tclean)
    assert tclean.problems == ()


def test_nothing_of_a_failure_is_taken_for_a_gap(failing: Path) -> None:
    assert Lineage(document_of(failing)).gaps() == ()
    assert call(failing, "visstat").used[0].entity == left(failing, call(failing, "applycal"))["n.ms"].id


# -- where the journal cannot be written ------------------------------------------

small_disk = pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0,
    reason="this user may not mount a small file system (unshare -rm)",
)
FILL = """
with open(".casaprov/filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(512)):
            pass
    except OSError as error:
        print(error)
"""


def run_on(disk: str, notebook: Path, *, code: int = 0) -> str:
    """Run a notebook whose journal lies on a file system of its own, keep what was written there; return stderr."""
    journal = notebook.parent / ".casaprov"
    journal.mkdir()
    command = (
        f"mount -t tmpfs -o {disk} tmpfs {journal} && {sys.executable} -m casaprov run {notebook}; code=$?; "
        f"cp -r {journal} {notebook.parent / 'kept'}; exit $code"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    shutil.copytree(notebook.parent / "kept", journal, dirs_exist_ok=True)
    return done.stderr


@pytest.mark.long
@small_disk
def test_a_full_disk_delays_the_record_and_stops_no_task(ngc5921_fits: Path, tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "k.ipynb",
        (
            START.format(str(ngc5921_fits)),
            FILL,
            "split('n.ms', 's.ms', datacolumn='data', field='0')\nflagdata('s.ms', autocorr=True)",
            "import os\nos.remove('.casaprov/filler')",
            "v = visstat('s.ms', datacolumn='data')\nprint(sorted(v))",
        ),
    )
    run_on("size=2m", notebook)
    assert "No space left" in printed(notebook)
    # A busy machine also says what it waits for.
    lines = [line for line in printed(notebook, "stderr").splitlines() if line.startswith("casaprov:")]
    assert len([line for line in lines if "still digesting" not in line]) == 1
    calls = document_of(notebook).activities
    assert [(call.task, call.outcome) for call in calls] == [
        (task, "completed") for task in ("importuvfits", "split", "flagdata", "visstat")
    ]
    assert any("cannot be written" in problem for problem in calls[1].problems)
    assert calls[3].problems == ()
    assert calls[3].used[0].entity == left(notebook, calls[2])["s.ms"].id
    assert Lineage(document_of(notebook)).gaps() == ()
    assert main(["inspect", str(notebook)]) == 0
    assert main(["export", str(notebook), "-o", str(tmp_path / "k.zip")]) == 0
    assert main(["validate", str(tmp_path / "k.zip")]) == 0


@pytest.mark.long
@small_disk
def test_a_folder_that_is_read_only_stops_no_task_and_is_told_once(ngc5921_fits: Path, tmp_path: Path) -> None:
    notebook = write_notebook(
        tmp_path / "k.ipynb",
        (
            START.format(str(ngc5921_fits)),
            "v = visstat('n.ms', datacolumn='data')\nprint(sorted(v)[0])",
            "%casaprov status",
        ),
    )
    assert "There is no record in" in run_on("size=2m,ro", notebook, code=3)
    assert "DATA_DESC_ID=0" in printed(notebook)
    told = printed(notebook, "stderr")
    assert told.count("casaprov:") == 1
    assert "cannot be written" in told
    shown = str(nbformat.read(notebook, as_version=4).cells[-1].outputs)
    assert "Not recorded yet. Nothing of this session could be written to " in shown


# -- notebooks in disorder ----------------------------------------------------------


class Kernel:
    """A kernel whose cells are run in any order, by their number from 1."""

    def __init__(self, notebook: Path) -> None:
        self._cells = [cell.source for cell in nbformat.read(notebook, as_version=4).cells]
        environment = {**os.environ, NOTEBOOK_VARIABLE: str(notebook)}
        self._manager, self._client = start_new_kernel(kernel_name="python3", cwd=notebook.parent, env=environment)

    def run(self, *numbers: int) -> None:
        for number in numbers:
            self.wait(self.begin(number))

    def begin(self, number: int) -> str:
        """Run a cell, without waiting for its end."""
        return str(self._client.execute(self._cells[number - 1]))

    def wait(self, message: str) -> None:
        while True:
            reply: dict[str, Any] = self._client.get_shell_msg(timeout=120)
            if reply["parent_header"]["msg_id"] == message:
                assert reply["content"]["status"] == "ok", reply["content"]
                return

    def end(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel()


@contextmanager
def kernel(notebook: Path) -> Iterator[Kernel]:
    started = Kernel(notebook)
    try:
        yield started
    finally:
        started.end()


DISORDER = (
    "%load_ext casaprov\nfrom casatasks import *\nimport os, shutil",
    "importuvfits(os.environ['FITS'], 'n.ms')",
    "scan = '1'",
    "shutil.rmtree('s.ms', ignore_errors=True)\nsplit('n.ms', 's.ms', scan=scan, datacolumn='data')",
    "v = visstat('s.ms', datacolumn='data')",
    "scan = '2'",
    "flagdata('n.ms', autocorr=True)",
    "split('n.ms', 'two.ms', scan='3', datacolumn='data')",
)


def present(notebook: Path, path: str) -> tuple[Entity, Activity]:
    """The recorded state of a file, which is what is there now, and the call that made it."""
    lineage = Lineage(document_of(notebook))
    (entity,) = (product for product in lineage.products() if product.path == path)
    digester = open_digester(Config(workers=1))
    try:
        assert digester.measure(notebook.parent / path).content_digest == entity.content_digest
    finally:
        digester.close()
    maker = lineage.generator(entity)
    assert maker is not None
    return entity, maker


@pytest.fixture
def disorder(ngc5921_fits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FITS", str(ngc5921_fits))
    return write_notebook(tmp_path / "k.ipynb", DISORDER)


@pytest.mark.long
def test_the_record_says_which_run_of_a_cell_made_what_is_there(
    disorder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with kernel(disorder) as first:
        first.run(1, 2, 3, 4, 5, 4, 6, 4, 5)
    calls = document_of(disorder).activities
    splits = [call for call in calls if call.task == "split"]
    entity, maker = present(disorder, "s.ms")
    assert maker == splits[2]
    assert (maker.parameters["scan"], maker.step and maker.step.execution_count) == ("2", 8)
    looks = [call for call in calls if call.task == "visstat"]
    assert [look.used[0].entity for look in looks] == [splits[0].generated[0].entity, entity.id]
    assert Lineage(document_of(disorder)).gaps() == ()

    # After a restart, from the middle: the second kernel makes neither n.ms nor imports it again.
    with kernel(disorder) as second:
        second.run(1, 7, 3, 4)
    _, maker = present(disorder, "s.ms")
    assert maker.session == document_of(disorder).sessions[1].id
    assert maker.parameters["scan"] == "1"
    flagged, changer = present(disorder, "n.ms")
    assert (changer.task, maker.used[0].entity) == ("flagdata", flagged.id)
    assert Lineage(document_of(disorder)).gaps() == ()
    capsys.readouterr()
    assert main(["inspect", str(disorder)]) == 0
    assert "Cell 4 (split) used the result of cell 7 (flagdata)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.long
def test_two_kernels_in_a_folder_keep_two_records_and_see_each_others_changes(disorder: Path) -> None:
    with kernel(disorder) as first, kernel(disorder) as second:
        first.run(1, 2, 3)
        second.run(1)
        at_once = [(first, first.begin(4)), (second, second.begin(8))]
        for each, cell in at_once:
            each.wait(cell)
        second.run(7)
        first.run(4)
    document = document_of(disorder)
    one, two = document.sessions
    assert [(c.session, c.task) for c in document.activities if c.session == one.id] == [
        (one.id, task) for task in ("importuvfits", "split", "split")
    ]
    assert [(c.task, c.outcome) for c in document.activities if c.session == two.id] == [
        ("split", "completed"),
        ("flagdata", "completed"),
    ]
    declared = [
        (call.session, Lineage(document).entities[usage.entity].path)
        for call in document.activities
        for usage in call.generated
        if call.task == "split" and usage.declared
    ]
    assert sorted(declared) == sorted([(one.id, "s.ms"), (one.id, "s.ms"), (two.id, "two.ms")])
    flagdata = call(disorder, "flagdata")
    last = [call for call in document.activities if call.session == one.id][-1]
    (gap,) = Lineage(document).gaps()
    assert gap.id == last.used[0].entity
    assert gap.content_digest == left(disorder, flagdata)["n.ms"].content_digest
    assert "FLAG" in gap.note
