"""Recording in a real kernel: every way to call a task, and everything that stays as without casaprov."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.bundle import BUNDLE_MIME, MAX_CALL_BYTES
from casaprov.notebook.execute import RunResult, run_notebook
from casaprov.notebook.notebook_name import UNNAMED
from casaprov.records.model import Activity, Document
from casaprov.records.schema import validate_record
from reductions import Reduction, write_notebook
from watched_kernel import SETTLE, Corner, WatchedKernel, corner

pytestmark = [pytest.mark.casa, pytest.mark.usefixtures("casa_site_config")]

IMPORT = "importuvfits(fitsfile={fits!r}, vis='n.ms')"


KILLED_IN_TCLEAN = """
import os, threading
from pathlib import Path

def kill():
    while not Path("n.residual").exists():
        pass
    os.kill(os.getpid(), 9)

threading.Thread(target=kill).start()
tclean(vis="n.ms", imagename="n", imsize=128, cell="15arcsec", niter=10**8, specmode="cube")
"""


def run(folder: Path, *cells: str) -> RunResult:
    return run_notebook(write_notebook(folder / "k.ipynb", cells), folder / "k.ipynb")


def recorded(result: RunResult) -> tuple[Activity, ...]:
    assert result.document is not None
    return result.document.activities


def test_tasks_are_recorded_however_they_were_imported(tmp_path: Path, ngc5921_fits: Path) -> None:
    result = run(
        tmp_path,
        "from casatasks import importuvfits as before\nimport casatasks as cts",
        "%load_ext casaprov",
        f"before({str(ngc5921_fits)!r}, 'n.ms')",
        "from casatasks import *\nvishead('n.ms')",
        "for field in ('0', '1'):\n    cts.vishead(vis='n.ms', mode='list')",
        "def summary(**how):\n    from casatasks import visstat\n    return visstat(**how)\n"
        "s = summary(vis='n.ms', field='0')",
    )
    assert result.failure is None
    assert [a.task for a in recorded(result)] == ["importuvfits", "vishead", "vishead", "vishead", "visstat"]
    steps = [activity.step for activity in recorded(result)]
    assert [step and step.execution_count for step in steps] == [3, 4, 5, 5, 6]
    assert [cell.execution_count for cell in read(result).cells] == [1, 2, 3, 4, 5, 6]
    assert recorded(result)[0].given == ("fitsfile", "vis")
    assert recorded(result)[4].given == ("vis", "field")
    assert recorded(result)[4].parameters["useflags"] is True


def test_garbage_ends_tools_in_threads_that_make_them(tmp_path: Path) -> None:
    """casacore is not safe for threads, and Python collects garbage in any of them."""
    result = run(
        tmp_path,
        "%load_ext casaprov\nimport casatools, gc, threading, weakref\ngc.disable()",
        "class Circle: pass\n"
        "def end_in(thread):\n"
        "    circle = Circle()\n    circle.circle, circle.tool = circle, casatools.quanta()\n"
        "    below = weakref.ref(circle.tool._swigobj)\n    del circle\n    thread.start()\n    thread.join()\n"
        "    return below",
        "others = end_in(threading.Thread(target=gc.collect))\nprint(others() is not None)",
        "print(others() is None)",
        "others = end_in(threading.Thread(target=gc.collect))\nmade = casatools.quanta()\nprint(others() is None)",
        "other = end_in(threading.Thread(target=lambda: (casatools.quanta(), gc.collect())))\nprint(other() is None)",
        "others = end_in(threading.Thread(target=gc.collect))\n%unload_ext casaprov\nprint(others() is None)",
        "other = end_in(threading.Thread(target=gc.collect))\nprint(other() is None)",
        "print(len(gc.callbacks))",
    )
    assert result.failure is None
    assert [cell.outputs[0].text for cell in read(result).cells[2:]] == ["True\n"] * 6 + ["0\n"]


def test_a_tool_that_is_dropped_ends_at_once(tmp_path: Path) -> None:
    """In any thread, as without casaprov: it closes its table."""
    result = run(
        tmp_path,
        "%load_ext casaprov\nimport casatools, gc, threading, weakref\ngc.disable()\ntool = casatools.quanta()",
        "below = weakref.ref(tool._swigobj)\ndel tool\nprint(below() is None)",
        "here, below = threading.local(), []\ntools = [casatools.quanta()]\nbelow = [weakref.ref(tools[0]._swigobj)]\n"
        "def drop():\n    del tools[0]\n    below.append(below[0]() is None)\n"
        "thread = threading.Thread(target=drop)\nthread.start()\nthread.join()\nprint(below[1])",
        "def make():\n    here.tool = casatools.quanta()\n    below.append(weakref.ref(here.tool._swigobj))\n"
        "thread = threading.Thread(target=make)\nthread.start()\nthread.join()\nprint(below[2]() is None)",
    )
    assert result.failure is None
    assert [cell.outputs[0].text for cell in read(result).cells[1:]] == ["True\n"] * 3


@pytest.fixture(scope="module")
def shared(
    casa_site_config: DataSource, tmp_path_factory: pytest.TempPathFactory, ngc5921_fits: Path
) -> Iterator[WatchedKernel]:
    """A kernel that records, with casatools and all tasks imported and n.ms made."""
    folder = tmp_path_factory.mktemp("hook")
    write_notebook(folder / "k.ipynb", ["%load_ext casaprov"])
    kernel = WatchedKernel(folder, "k.ipynb")
    kernel.run("%load_ext casaprov\nfrom casatasks import *\nimport asyncio, casatools, gc, shutil, weakref")
    assert kernel.run(f"importuvfits({str(ngc5921_fits)!r}, 'all.ms')").error == ""
    assert kernel.run("split('all.ms', 'n.ms', scan='1', datacolumn='data')").error == ""
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared: WatchedKernel) -> Iterator[Corner]:
    """A folder of its own, with n.ms, in the shared kernel, in which no garbage is collected."""
    with corner(shared) as folder:
        folder.run("shutil.copytree('../n.ms', 'n.ms')\ngc.collect()\ngc.disable()")
        yield folder
        folder.run("gc.enable()")


def calls_in(corner: Corner) -> list[Activity]:
    document = read_document(journal_folder(corner.kernel.folder / "k.ipynb"), "k.ipynb")
    return [call for call in document.activities if call.cwd == corner.name]


def test_a_tool_that_wrote_and_is_dropped_closes_its_table(kernel: Corner) -> None:
    """Nothing waits for a lock, and the record has the table as the tool left it."""
    shown = kernel.run(
        "def work():\n    tb = casatools.table()\n    tb.open('n.ms', nomodify=False)\n    tb.putkeyword('MINE', 1)\n"
        "    return weakref.ref(tb)\nwritten = work()\nprint(written() is None)"
    )
    assert shown.streams["stdout"] == "True\n"
    shown = kernel.run(
        "def look():\n    tb = casatools.table()\n    tb.open('n.ms')\n    row = tb.row()\n    return row, weakref.ref(tb)\n"
        "row, lent = look()\ndel row\nprint(lent() is None)"
    )
    assert shown.streams["stdout"] == "True\n"
    kernel.run(SETTLE)
    (written,) = calls_in(kernel)
    assert (written.task, written.problems) == ("table.putkeyword", ())
    assert len(written.generated) == 1


def test_a_tool_that_fails_while_recording_is_paused_ends(kernel: Corner) -> None:
    kernel.run("%casaprov pause")
    try:
        shown = kernel.run(
            "def fail():\n    tb = casatools.table()\n    tb.open('n.ms', nomodify=False)\n"
            "    try:\n        tb.putcell('NONE', 0, 1)\n    except RuntimeError:\n        return weakref.ref(tb)\n"
            "failed = fail()\nprint(failed() is None)"
        )
    finally:
        kernel.run("%casaprov resume")
    assert shown.streams["stdout"] == "True\n"


def test_what_a_task_or_a_tool_that_failed_had_open_is_closed(kernel: Corner) -> None:
    kernel.run(
        "kinds = casatools.agentflagger, casatools.ms, casatools.table\n"
        "def tools():\n    return [id(thing) for thing in gc.get_objects() if isinstance(thing, kinds)]\nbefore = tools()"
    )
    kernel.run("try:\n    flagdata('n.ms', scan='99')\nexcept RuntimeError:\n    pass")
    kernel.run(
        "tb = casatools.table()\ntb.open('n.ms', nomodify=False)\ntry:\n    tb.putcell('NONE', 0, 1)\n"
        "except RuntimeError:\n    pass"
    )
    kernel.run("del tb")
    assert kernel.run("set(tools()) - set(before)").of("text/plain") == ["set()"]


def test_calls_from_several_threads_run_one_after_the_other_and_leave_their_own(kernel: Corner) -> None:
    # Without recording, calls get each other's parameters: all tasks have them checked by one object.
    shown = kernel.run(
        "calls = [asyncio.to_thread(listobs, 'n.ms', scan='1', listfile=f'{n}.txt') for n in range(4)]\n"
        "len(await asyncio.gather(*calls, return_exceptions=True))"
    )
    assert shown.error == ""
    kernel.run(SETTLE)
    document = read_document(journal_folder(kernel.kernel.folder / "k.ipynb"), "k.ipynb")
    left = {entity.id: Path(entity.path).name for entity in document.entities}
    calls = calls_in(kernel)
    assert [(a.task, a.outcome, a.problems, a.observed) for a in calls] == [("listobs", "completed", (), ())] * 4
    assert [[left[used.entity] for used in a.generated] for a in calls] == [[a.parameters["listfile"]] for a in calls]
    assert {a.parameters["listfile"] for a in calls} == {f"{n}.txt" for n in range(4)}
    assert len(list(journal_folder(kernel.kernel.folder / "k.ipynb").glob("*.jsonl"))) == 1


def test_a_call_that_casa_refuses_is_recorded_as_failed(kernel: Corner) -> None:
    assert kernel.run("listobs(vis='not there.ms')").error
    kernel.run(SETTLE)
    (activity,) = calls_in(kernel)
    assert activity.outcome == "failed"
    assert activity.failure is not None
    assert "not there.ms" in activity.failure.message


def test_a_failing_task_raises_what_it_always_raised(kernel: Corner) -> None:
    shown = kernel.run(
        "try:\n    imstat(imagename='n.ms')\nexcept Exception as error:\n    print('caught', type(error).__name__)"
    )
    assert shown.error == ""
    assert shown.streams["stdout"].startswith("caught ")
    kernel.run(SETTLE)
    assert [call.outcome for call in calls_in(kernel)] == ["failed"]


@pytest.mark.long
def test_a_folder_that_was_moved_continues_its_record(tmp_path: Path, ngc5921_fits: Path) -> None:
    (tmp_path / "old").mkdir()
    first = run(tmp_path / "old", "from casatasks import *", IMPORT.format(fits=str(ngc5921_fits)))
    (tmp_path / "old").rename(tmp_path / "new")
    second = run(tmp_path / "new", "from casatasks import *\nlistobs('n.ms')")
    assert [a.task for a in recorded(second)] == ["listobs"]
    assert recorded(second)[0].used[0].entity == recorded(first)[0].generated[0].entity


CASA_FIRST = """
import casatasks  # before anything of Python's that CASA brings a copy of, as CASA's own shell does
from IPython.core.interactiveshell import InteractiveShell
cell = "%load_ext casaprov\\ncasatasks.listfits({fits!r})"
InteractiveShell.instance(user_ns={{"casatasks": casatasks}}).run_cell(cell).raise_error()
"""


def test_casa_may_be_imported_before_anything_else(tmp_path: Path, ngc5921_fits: Path) -> None:
    script = CASA_FIRST.format(fits=str(ngc5921_fits))
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)
    (activity,) = read_document(journal_folder(tmp_path / UNNAMED), UNNAMED).activities
    assert (activity.task, activity.outcome, activity.problems) == ("listfits", "completed", ())


@pytest.mark.long
def test_the_extension_may_be_loaded_twice_and_unloaded(tmp_path: Path, ngc5921_fits: Path) -> None:
    result = run(
        tmp_path,
        "%load_ext casaprov\n%load_ext casaprov\nfrom casatasks import *",
        IMPORT.format(fits=str(ngc5921_fits)),
        "%unload_ext casaprov",
        "vishead('n.ms')",
        "%load_ext casaprov\nvisstat('n.ms')",
    )
    assert result.failure is None
    assert [a.task for a in recorded(result)] == ["importuvfits", "visstat"]
    cells = read(result).cells
    assert [(a.step and (a.step.execution_count, a.step.cell_id)) for a in recorded(result)] == [
        (2, cells[1].id),
        (5, cells[4].id),  # the cell that loads the extension counts as well
    ]


@pytest.mark.long
def test_signatures_help_and_pickles_are_as_without(tmp_path: Path) -> None:
    look = (
        "import inspect, pickle, io, contextlib, pydoc, casatasks\n"
        "tclean = casatasks.tclean\n"
        "print(inspect.signature(tclean))\nprint(tclean.__doc__ == type(tclean).__doc__)\n"
        "print(type(tclean), pickle.loads(pickle.dumps(type(tclean))) is type(tclean))\n"
        "print(get_ipython().inspector.info(tclean, oname='tclean')['definition'])\n"
        "print(get_ipython().inspector.info(tclean, oname='tclean')['call_def'])\n"
        "print(len(pydoc.render_doc(tclean)))"
    )
    run(tmp_path / "with", "%load_ext casaprov", look)

    plain = write_notebook(tmp_path / "without" / "k.ipynb", ["1", look])
    notebook = nbformat.read(plain, as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(plain.parent)}}).execute()
    with_it = nbformat.read(tmp_path / "with" / "k.ipynb", as_version=4)
    texts = ["".join(o["text"] for o in nb.cells[1].outputs if o.get("name") == "stdout") for nb in (with_it, notebook)]
    assert texts[0] == texts[1]
    assert "vis=" in texts[0]


@pytest.mark.parametrize("part", ["begin", pytest.param("end_soon", marks=pytest.mark.long)])
def test_a_broken_recorder_breaks_no_cell_and_warns_once(tmp_path: Path, ngc5921_fits: Path, part: str) -> None:
    result = run(
        tmp_path,
        "%load_ext casaprov\nimport casaprov, casatools\nfrom casatasks import *\n"
        "from casaprov.recorder import Recorder\n"
        f"def broken(*_args, **_kwargs):\n    raise RuntimeError('on purpose')\nRecorder.{part} = broken",
        IMPORT.format(fits=str(ngc5921_fits)),
        "r = visstat('n.ms')\nprint(sorted(r)[0])",
        "@casaprov.activity(used=['vis'])\ndef f(vis):\n    with casaprov.activity('inner'):\n"
        "        return len(listobs(vis))\nassert f('n.ms') > 1",
        "tb = casatools.table()\ntb.open('n.ms', nomodify=False)\ntb.putkeyword('A', 1)\ntb.close()",
        "%%casaprov_sh\necho out > n.txt",
        "assert open('n.txt').read() == 'out\\n'",
    )
    assert result.failure is None
    told = "".join(o.get("text", "") for c in read(result).cells for o in c.outputs if o.get("name") == "stderr")
    assert told.count("casaprov:") == 1
    assert "on purpose" in told


def read(result: RunResult) -> Any:
    return nbformat.read(result.notebook, as_version=4)


def test_bundles_metadata_and_journal_keep_their_contracts(reduction: Reduction) -> None:
    notebook = nbformat.read(reduction.notebook, as_version=4)
    bundles = [o.data[BUNDLE_MIME] for c in notebook.cells for o in c.outputs if BUNDLE_MIME in o.get("data", {})]
    assert bundles
    for bundle in bundles:
        validate_record(json.loads(json.dumps(bundle)), "bundle-1")
        assert all(len(json.dumps(call)) <= MAX_CALL_BYTES for call in bundle["calls"])
        assert all(state["digest"] for call in bundle["calls"] for state in (*call["used"], *call["generated"]))
    metadata = json.loads(json.dumps(notebook.metadata["casaprov"]))
    validate_record(metadata, "notebook-metadata-1")
    cells = {cell["id"] for cell in notebook.cells}
    assert {call["cell"] for call in metadata["calls"]} <= cells
    (journal,) = journal_folder(reduction.notebook).glob("*.jsonl")
    for line in journal.read_text().splitlines():
        validate_record(json.loads(line), "journal-1")


def test_the_session_says_what_it_ran_in(reduction: Reduction) -> None:
    (session,) = document_of(reduction).sessions
    assert session.closed
    environment = session.environment
    assert environment.casatasks.startswith("6.7")
    assert environment.casadata
    assert "IERSeop2000" in environment.measures
    assert environment.packages["numpy"]
    assert environment.threads["cpus"]


def document_of(reduction: Reduction) -> Document:
    return read_document(journal_folder(reduction.notebook), reduction.notebook.name)


def test_each_call_has_its_log(reduction: Reduction) -> None:
    folder = journal_folder(reduction.notebook)
    for activity in document_of(reduction).activities:
        assert activity.log is not None
        text = (folder / activity.log.path).read_text()
        assert f"Begin Task: {activity.task}" in text
        assert text.count("Begin Task") == 1
        assert activity.log.lines == len(text.splitlines())


def test_return_values_come_back_and_are_recorded(reduction: Reduction) -> None:
    imstat = next(a for a in document_of(reduction).activities if a.task == "imstat")
    peak = imstat.returned["max"]["@array"][0]
    notebook = nbformat.read(reduction.notebook, as_version=4)
    printed = [o.text for c in notebook.cells for o in c.outputs if o.get("name") == "stdout"]
    assert str(peak) in "".join(printed)


@pytest.mark.long
def test_a_killed_kernel_leaves_what_was_recorded_and_says_so(
    tmp_path: Path, ngc5921_fits: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    notebook = write_notebook(
        tmp_path / "k.ipynb",
        [
            "%load_ext casaprov\nfrom casatasks import *",
            IMPORT.format(fits=str(ngc5921_fits)),
            KILLED_IN_TCLEAN,
        ],
    )
    assert main(["run", str(notebook)]) == 3
    told = capsys.readouterr()
    assert "Cell 3 failed" in told.err
    document = read_document(journal_folder(notebook), "k.ipynb")
    assert [(a.task, a.outcome) for a in document.activities] == [
        ("importuvfits", "completed"),
        ("tclean", "unfinished"),
    ]
    assert not document.sessions[0].closed
    assert main(["inspect", str(notebook)]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert main(["export", str(notebook), "-o", str(tmp_path / "k.zip")]) == 0
    capsys.readouterr()
    assert main(["validate", str(tmp_path / "k.zip")]) == 0


def test_a_failing_cell_ends_the_run_and_loses_nothing(
    tmp_path: Path, ngc5921_fits: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    notebook = write_notebook(
        tmp_path / "k.ipynb",
        ["from casatasks import *", IMPORT.format(fits=str(ngc5921_fits)), "1 / 0", "vishead('n.ms')"],
    )
    assert main(["run", str(notebook)]) == 3
    told = capsys.readouterr().err
    assert "Cell 3 failed: ZeroDivisionError" in told
    written = nbformat.read(notebook, as_version=4)
    assert len(written.cells) == 4
    assert written.cells[2].outputs[-1]["ename"] == "ZeroDivisionError"
    assert [call["task"] for call in written.metadata["casaprov"]["calls"]] == ["importuvfits"]


def test_nothing_is_left_behind_by_a_notebook_without_tasks(tmp_path: Path) -> None:
    result = run(tmp_path, "%load_ext casaprov", "1 + 1")
    assert result.document is None
    assert [p.name for p in tmp_path.iterdir()] == ["k.ipynb"]


def test_cleared_outputs_come_back_as_an_index(reduction: Reduction, tmp_path: Path) -> None:

    shutil.copytree(reduction.folder / ".casaprov", tmp_path / ".casaprov")
    notebook = nbformat.read(reduction.notebook, as_version=4)
    before = notebook.metadata.pop("casaprov")
    for cell in notebook.cells:
        cell.outputs = []
    nbformat.write(notebook, tmp_path / "n.ipynb")
    assert main(["sync", str(tmp_path / "n.ipynb")]) == 0
    after = nbformat.read(tmp_path / "n.ipynb", as_version=4).metadata["casaprov"]
    assert after == before
