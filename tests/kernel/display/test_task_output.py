"""Output of task calls in a notebook, in one real kernel that all tests of this module share."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.lineage.graph import Lineage
from casaprov.notebook.bundle import BUNDLE_MIME
from casaprov.notebook.execute import run_notebook
from reductions import Reduction, write_notebook
from watched_kernel import WatchedKernel

pytestmark = [pytest.mark.casa, pytest.mark.usefixtures("casa_site_config")]

SOLVE = "gaincal(vis='n.ms', caltable='n.gcal', field='0', spw='0:6~56', solint='inf', refant='15');"


@pytest.fixture(scope="module")
def kernel(
    casa_site_config: DataSource, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WatchedKernel]:
    """A kernel with casaprov loaded and n.ms, n.gcal and n.image made.

    CASA's listvis leaves its table open and locked, so that other tasks fail on it: listed.ms is for listvis alone.
    """
    folder = tmp_path_factory.mktemp("shown")
    write_notebook(folder / "n.ipynb", ["%load_ext casaprov"])
    kernel = WatchedKernel(folder)
    try:
        kernel.run("%load_ext casaprov\nfrom casatasks import *")
        kernel.run(f"importuvfits({str(ngc5921_fits)!r}, 'n.ms')")
        shutil.copytree(folder / "n.ms", folder / "listed.ms")
        kernel.run(SOLVE)
        kernel.run("tclean(vis='n.ms', imagename='n', field='0', imsize=64, cell='15arcsec', niter=10);")
        yield kernel
    finally:
        kernel.close()


def test_warnings_stand_below_the_cell_and_not_in_its_streams(kernel: WatchedKernel) -> None:
    shown = kernel.run("flagdata('n.ms', autocorr=True)")
    assert shown.streams == {}
    assert "1 warning" in shown.plain
    assert "<b>Warning</b>: PROCESSOR sub-table is empty." in shown.html
    assert "Table type is Measurement Set" in shown.html


def test_what_a_task_prints_is_whole_in_its_own_cell_and_in_the_journal(kernel: WatchedKernel) -> None:
    shown = kernel.run("listcal('n.ms', 'n.gcal')")
    assert shown.streams == {}
    assert "Ant = 28" in shown.html
    assert "Listed 28 antenna solutions." in shown.html
    assert kernel.run("import os; os.write(1, b'mine')", printing="mine").streams["stdout"].strip() == "mine"
    document = read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb")
    log = next(a.log for a in document.activities if a.task == "listcal")
    assert log is not None
    text = (journal_folder(kernel.folder / "n.ipynb") / log.path).read_text()
    assert "Listed 28 antenna solutions." in text


def test_a_failure_is_said_once(kernel: WatchedKernel) -> None:
    shown = kernel.run("statwt('n.ms')")
    assert shown.error.startswith("RuntimeError")
    assert shown.streams == {}
    assert "statwt failed" in shown.plain
    assert kernel.run("listobs('not there.ms')").plain.startswith("listobs failed")


def test_two_hundred_calls_are_one_block_and_few_bytes(kernel: WatchedKernel) -> None:
    shown = kernel.run("for n in range(200): vishead('n.ms', mode='get', hdkey='telescope')")
    assert len(shown.of("text/html")) == 1
    assert "197 more calls: 197 × vishead" in shown.plain
    assert len(shown.history) < 30  # few updates on the way
    assert sum(len(json.dumps(data)) for data in shown.outputs) < 200 * 1000


def test_calls_grow_the_notebook_by_less_than_5_kb_each(reduction: Reduction) -> None:
    notebook = nbformat.read(reduction.notebook, as_version=4)
    calls = len(notebook.metadata["casaprov"]["calls"])
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"] for output in outputs if output["output_type"] == "display_data"]  # no values of cells
    notes = [data for data in shown if BUNDLE_MIME in data]
    logs = [data for data in shown if "log line" in data.get("text/plain", "").partition("\n")[0]]
    tables = [data for data in shown if "text/html" in data and data not in logs]
    assert len(notes) == len(logs) > 3
    assert len(json.dumps([notebook.metadata["casaprov"], notes, logs])) / calls < 5000
    assert all(len(json.dumps(data)) < 12_000 for data in tables)


# An interrupt that does nothing: the call goes on, however slow the machine is.
INTERRUPTING = """
import os, signal, threading, time
from pathlib import Path

def interrupt():
    while not Path("long.mask").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, lambda *_: None)
threading.Thread(target=interrupt, daemon=True).start()
"""


def test_a_long_call_shows_how_far_it_is_and_then_only_its_log(kernel: WatchedKernel) -> None:
    shown = kernel.run(
        f"{INTERRUPTING}\ntclean(vis='n.ms', imagename='long', field='2', imsize=512, cell='5arcsec', niter=300, specmode='cube',"
        " nchan=5, start=10);\nprint('after')"
    )
    live = [(at, data["text/plain"]) for at, data in shown.history if "is running" in data.get("text/plain", "")]
    before = [(at, text) for at, text in live if "interrupt" not in text]
    assert before
    assert all(later - earlier > 0.4 for (earlier, _), (later, _) in pairwise(before))
    assert any(text.endswith("interrupt requested; tclean stops at its next cycle") for _, text in live)
    assert all(text.startswith("tclean is running: ") for _, text in live)
    assert any(len(text.split(", ")) > 1 for _, text in live)
    assert "running" not in shown.plain
    assert len(shown.of("text/html")) == 1
    assert shown.streams == {"stdout": "after\n"}


def test_logs_can_be_switched_off(kernel: WatchedKernel) -> None:
    try:
        kernel.run("%casaprov config show_log no")
        shown = kernel.run("vishead('n.ms', mode='get', hdkey='telescope');")
        assert shown.of("text/html") == []
        # CASA writes to the process's output, which ipykernel reads in a thread of its own.
        listing = kernel.run("import time\nlistcal('n.ms', 'n.gcal')\ntime.sleep(1)")
        assert "Ant = 28" in listing.streams["stdout"]
    finally:
        kernel.run("%casaprov config show_log yes")
    assert kernel.run("vishead('n.ms', mode='get', hdkey='telescope');").of("text/html")


def test_output_that_the_user_captures_is_the_users(kernel: WatchedKernel) -> None:
    shown = kernel.run("%%capture got\nvishead('n.ms', mode='list')")
    assert shown.html == ""
    assert "vishead: " in kernel.run("got.show()").plain


# -- tables --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("obs = listobs('n.ms')", "22653 rows, 3 fields"),
        ("vishead('n.ms')", "Antennas: 27"),
        ("vishead('n.ms', mode='list');", "freq_group_name"),
        ("s = flagdata('n.ms', mode='summary')", "% of 2854278 flagged"),
        ("s = imstat('n.image')", "sigma"),
        ("s = imhead('n.image')", "Right Ascension"),
        ("s = imhead('n.image', mode='list')", "restfreq"),
        ("s = visstat('n.ms', field='0')", "DATA_DESC_ID=0"),
        ("s = calstat('n.gcal', axis='amp', datacolumn='CPARAM')", "stddev"),
        ("listvis('listed.ms', field='0', spw='0:3', antenna='1&2')", "Phase(deg)"),
        ("listpartition('n.ms');", "Nrows"),
    ],
)
def test_tasks_that_only_print_show_a_table(kernel: WatchedKernel, source: str, told: str) -> None:
    shown = kernel.run(source)
    assert shown.error == ""
    first, second, *_ = shown.of("text/html")
    assert first.startswith("<details><summary>")
    assert told in second
    assert told in shown.plain


def test_the_same_table_is_shown_once_in_a_cell(kernel: WatchedKernel) -> None:
    shown = kernel.run("for n in range(9): imstat('n.image')")
    assert len(shown.of("text/html")) == 2


def test_return_values_are_what_they_are(kernel: WatchedKernel) -> None:
    assert kernel.run("import casatasks; type(listobs('n.ms')), sorted(imstat('n.image'))[0]").of("text/plain")[-1] == (
        "(dict, 'blc')"
    )


# -- figures -------------------------------------------------------------------


def test_a_figure_is_shown_once_whether_it_is_saved_or_not(kernel: WatchedKernel) -> None:
    assert len(kernel.run("plotants('n.ms')").of("image/png")) == 1
    shown = kernel.run("plotants('n.ms', figfile='ants.png')")
    assert len(shown.of("image/png")) == 1
    document = read_document(journal_folder(kernel.folder / "n.ipynb"), "n.ipynb")
    last = document.activities[-1]
    assert [Lineage(document).entities[usage.entity].path for usage in last.generated] == ["ants.png"]


def test_profiles_of_a_cube_are_shown_once_whether_they_are_saved_or_not(kernel: WatchedKernel) -> None:
    kernel.run("tclean(vis='n.ms', imagename='c', field='0', specmode='cube', nchan=4, imsize=64, cell='15arcsec');")
    assert len(kernel.run("plotprofilemap('c.image', numpanels='2')").of("image/png")) == 1
    shown = kernel.run("plotprofilemap('c.image', figfile='profiles.png', numpanels='2')")
    assert len(shown.of("image/png")) == 1
    assert (kernel.folder / "profiles.png").is_file()


@pytest.mark.long  # CASA computes the atmosphere's opacity for a minute
@pytest.mark.observations
def test_the_weather_of_an_observation_is_shown(kernel: WatchedKernel, observations: Path) -> None:
    name = "X5707_1spw_1scan_10chan_1time_1bl_noatm.ms"
    with tarfile.open(observations / "alma_x5707_ms" / f"{name}.tar.gz") as archive:
        archive.extractall(kernel.folder, filter="data")
    shown = kernel.run(f"opacity = plotweather({name!r})")
    assert shown.error == ""
    assert len(shown.of("image/png")) == 1


def test_two_figures_of_a_cell_are_both_shown_in_their_order(kernel: WatchedKernel) -> None:
    pictures = kernel.run("plotants('n.ms')\nplotants('n.ms', logpos=True)").of("image/png")
    assert len(pictures) == 2
    assert pictures[0] != pictures[1]


def test_a_figure_is_still_the_users_to_change_in_its_cell(kernel: WatchedKernel) -> None:
    plain = kernel.run("plotants('n.ms')").of("image/png")
    shown = kernel.run("import matplotlib.pyplot as plt\nplotants('n.ms')\nplt.title('mine');")
    assert len(shown.of("image/png")) == 1
    assert shown.of("image/png") != plain


def test_pages_that_a_task_saves_are_all_shown(kernel: WatchedKernel) -> None:
    kernel.run("bandpass(vis='n.ms', caltable='n.bcal', field='0', refant='15')")
    shown = kernel.run(
        "plotbandpass('n.bcal', figfile='bp.png', interactive=False, antenna='0,1,2', yaxis='amp', subplot=11);"
    )
    files = sorted(path.name for path in kernel.folder.glob("bp*.png"))
    assert len(files) > 1
    assert len(shown.of("image/png")) == len(files)
    assert [data["text/plain"] for data in shown.outputs if "image/png" in data] == [f"<{name}>" for name in files]


def test_figures_of_the_user_are_left_alone(kernel: WatchedKernel) -> None:
    shown = kernel.run("import matplotlib.pyplot as plt\nplt.figure(7); plt.plot([1, 2])\nvishead('n.ms')")
    assert len(shown.of("image/png")) == 1


def test_a_figure_is_shown_where_no_backend_would(kernel: WatchedKernel) -> None:
    try:
        kernel.run("import matplotlib; matplotlib.use('agg')")
        assert len(kernel.run("plotants('n.ms')").of("image/png")) == 1
    finally:
        kernel.run("%matplotlib inline\nplt.close('all')")


# -- elsewhere -----------------------------------------------------------------


@pytest.mark.long
def test_nbclient_keeps_the_last_state_of_a_block(tmp_path: Path, ngc5921_fits: Path) -> None:
    cells = [
        "%load_ext casaprov\nfrom casatasks import *",
        f"importuvfits({str(ngc5921_fits)!r}, 'n.ms')\nvishead('n.ms')",
    ]
    run_notebook(write_notebook(tmp_path / "k.ipynb", cells), tmp_path / "k.ipynb")
    outputs = nbformat.read(tmp_path / "k.ipynb", as_version=4).cells[1].outputs
    blocks = [output.data["text/plain"] for output in outputs if "text/html" in output.get("data", {})]
    assert blocks[0].startswith("importuvfits: ")
    assert "\nvishead: " in blocks[0]
    assert sum(BUNDLE_MIME in output.get("data", {}) for output in outputs) == 1


TERMINAL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for source in sys.argv[1:]:
    shell.run_cell(source).raise_error()
"""


@pytest.mark.long
def test_a_terminal_shows_what_casa_shows(kernel: WatchedKernel, tmp_path: Path) -> None:
    listing = f"listcal('{kernel.folder}/n.ms', '{kernel.folder}/n.gcal'); s = imstat('{kernel.folder}/n.image')"
    told = []
    for first in ("pass", "%load_ext casaprov"):
        command = [sys.executable, "-c", TERMINAL, first, "from casatasks import *", listing]
        told.append(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)
    assert "Ant = 28" in told[0]
    assert told[1] == told[0]
