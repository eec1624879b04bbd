"""Every way in which people call tasks is recorded once, with what they gave and who called."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from casaprov.casa.hooks.shell import shell_modules
from casaprov.casa.hooks.tasks import FunctionExecutor, TaskHook, task_names
from casaprov.casa.installed.data import DataSource, import_casatasks
from casaprov.casa.sandbox.task_server import arguments_for
from casaprov.cli.commands import main
from casaprov.hashing import digest_bytes
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.execute import run_notebook
from casaprov.records.model import Activity
from casaprov.tasks.calls import TaskCall, TaskResult
from checkout import ROOT
from reductions import reduce, write_notebook
from task_source import call_of_function, handed_over

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("casa_site_config")]

VIS = ("vis",)
FIELD = ("vis", "field")


@dataclass(frozen=True)
class Style:
    """A cell, and the calls that are to be recorded of it: task, what was given, and the number of the caller in it."""

    name: str
    cell: str
    calls: tuple[tuple[str, tuple[str, ...], int | None], ...]


def style(name: str, cell: str, *calls: tuple[str, tuple[str, ...]] | tuple[str, tuple[str, ...], int]) -> Style:
    return Style(name, cell, tuple((call[0], call[1], call[2] if len(call) == 3 else None) for call in calls))


BEFORE = """
import functools, os
import casatasks as cts
from casatasks import exportfits, imhead, importgmrt, importuvfits, imstat, rmtables, simanalyze, simobserve, split
from casatasks import tclean, visstat
early, bound = visstat, visstat.__call__
"""

ASYNC = """
import asyncio

async def later(field):
    await asyncio.sleep(0)
    return visstat("n.ms", field=field)

await asyncio.to_thread(visstat, "n.ms")
await later("0")
len(await asyncio.gather(later("1"), later("2")))
"""

THREADS = """
# One at a time: CASA's tools are not safe for threads.
import threading
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(1) as pool:
    found = list(pool.map(lambda field: visstat("n.ms", field=field), ["0", "1"]))
thread = threading.Thread(target=visstat, args=("n.ms",), kwargs={"spw": "0"})
thread.start()
thread.join()
"""

SIMULATE = """
simobserve(
    "sim", skymodel="x.fits", indirection="J2000 10h00m00s -30d00m00s", inbright="1Jy/pixel", incell="0.5arcsec",
    incenter="230GHz", inwidth="1GHz", obsmode="int", antennalist="alma.cycle1.1.cfg", totaltime="60s",
    integration="60s", mapsize="5arcsec", thermalnoise="", graphics="none",
)
"""

SIMULATED = (
    "project", "skymodel", "inbright", "indirection", "incell", "incenter", "inwidth", "integration", "mapsize",
    "obsmode", "totaltime", "antennalist", "thermalnoise", "graphics",
)  # fmt: skip

SHELL = """
casa_inp_go_state, __casashell_state__ = {"last": None}, {}
from casashell.private.init_subparam import default, go, inp, tget, tput
from casashell.private.listobs import listobs
from casashell.private.visstat import visstat
"""

SMALL = "split('all.ms', 'n.ms', width=63, datacolumn='data')"

STYLES = (
    style("keywords", "importuvfits(vis='all.ms', fitsfile=FITS)", ("importuvfits", ("fitsfile", "vis"))),
    style("keywords last", SMALL, ("split", ("vis", "outputvis", "datacolumn", "width"))),
    style(
        "positional and keywords",
        "tclean('n.ms', imagename='x', field='2', imsize=64, cell='15arcsec', niter=2)",
        ("tclean", ("vis", "field", "imagename", "imsize", "cell", "niter")),
    ),
    style(
        "positional only",
        "imhead('x.image')\nexportfits('x.image', 'x.fits')\nimstat('x.image')\nrmtables('x.p*')",
        ("imhead", ("imagename",)),
        ("exportfits", ("imagename", "fitsimage")),
        ("imstat", ("imagename",)),
        ("rmtables", ("tablenames",)),
    ),
    style("dictionary", "how = {'vis': 'n.ms', 'field': '0'}\nvisstat(**how)", ("visstat", FIELD)),
    style("sequence", "how = ['n.ms', 'real']\nvisstat(*how)", ("visstat", ("vis", "axis"))),
    style("module alias", "cts.visstat('n.ms')", ("visstat", VIS)),
    style("star import", "from casatasks import *\nvisstat('n.ms', spw='0')", ("visstat", ("vis", "spw"))),
    style("module of the task", "from casatasks.visstat import visstat as own\nown('n.ms')", ("visstat", VIS)),
    style(
        "import inside a function",
        "def inside():\n    from casatasks import visstat as local\n    return local('n.ms')\ninside()",
        ("visstat", VIS),
    ),
    style("name bound before", "early('n.ms', field='0')", ("visstat", FIELD)),
    style("method bound before", "bound('n.ms', field='0')", ("visstat", FIELD)),
    style("method", "visstat.__call__('n.ms')", ("visstat", VIS)),
    style("method of the class", "type(visstat).__call__(visstat, 'n.ms', field='0')", ("visstat", FIELD)),
    style("partial", "functools.partial(visstat, 'n.ms')(field='0')", ("visstat", FIELD)),
    style("loop", "for field in '01':\n    visstat('n.ms', field=field)", *[("visstat", FIELD)] * 2),
    style("comprehension", "len([visstat('n.ms', field=f) for f in '01'])", *[("visstat", FIELD)] * 2),
    style("generator", "sum(len(visstat('n.ms', field=f)) for f in '01')", *[("visstat", FIELD)] * 2),
    style("condition", "visstat('n.ms') if os.path.isdir('n.ms') else visstat('no.ms')", ("visstat", VIS)),
    style("short circuit", "os.path.isdir('no.ms') and visstat('no.ms')"),
    style("callback", "list(map(visstat, ['n.ms', 'n.ms']))", *[("visstat", VIS)] * 2),
    style("return value", "assert visstat('n.ms')['DATA_DESC_ID=0']['max'] > 0", ("visstat", VIS)),
    style(
        "recursion",
        "def again(n):\n    visstat('n.ms', field=str(n))\n    return n and again(n - 1)\nagain(2)",
        *[("visstat", FIELD)] * 3,
    ),
    style("method of a class", "class Look:\n    at = visstat\nLook().at('n.ms')", ("visstat", VIS)),
    style("exec", "exec(\"visstat('n.ms')\")", ("visstat", VIS)),
    style("magic", "%time r = visstat('n.ms', field='0')", ("visstat", FIELD)),
    style(
        "script",
        "open('s.py', 'w').write(\"from casatasks import visstat\\nvisstat('n.ms')\\n\")\n%run s.py\n%run -i s.py",
        *[("visstat", VIS)] * 2,
    ),
    style("refused", "try:\n    visstat('not there.ms')\nexcept Exception:\n    pass", ("visstat", VIS)),
    style(
        "task that calls a task",
        "importgmrt(FITS, '', 'g.ms')",
        ("importgmrt", ("fitsfile", "flagfile", "vis")),
        ("importuvfits", ("fitsfile", "vis"), 0),
    ),
    style("simulation", SIMULATE, ("simobserve", SIMULATED)),
    style("threads", THREADS, *[("visstat", FIELD)] * 2, ("visstat", ("vis", "spw"))),
    style("asyncio", ASYNC, ("visstat", VIS), *[("visstat", FIELD)] * 3),
    style("shell: keywords", SHELL + "visstat(vis='n.ms', field='0')", ("visstat", FIELD)),
    style("shell: positional", "visstat('n.ms', 'real', field=None)", ("visstat", ("vis", "axis"))),
    style(
        "shell: globals",
        "default(visstat)\nvis, field, axis = 'n.ms', '0', 'amplitude'\ninp(visstat)\nfound = visstat()",
        ("visstat", FIELD),
    ),
    style("shell: go", "default(visstat)\nvis = 'n.ms'\nspw = '0'\ngo()", ("visstat", ("vis", "spw"))),
    style(
        "shell: tput and tget",
        "tput(visstat, 'v.saved')\ndefault(visstat)\ntget(visstat, 'v.saved')\nfound = go(visstat)",
        ("visstat", ("vis", "spw")),
    ),
    style("shell: last", "default(visstat)\ntget(visstat)\ngo()", ("visstat", ("vis", "spw"))),
    style(
        "shell: default that depends on another parameter",
        "default(listobs)\nvis, selectdata, field = 'n.ms', False, ''\nlistobs()",
        ("listobs", ("vis", "selectdata")),
    ),
    style("shell: casatasks beside it", "cts.visstat('n.ms')\nvisstat('n.ms')", *[("visstat", VIS)] * 2),
    style(
        "shell: refused",
        "default(listobs)\nvis = 'no.ms'\ntry:\n    go()\nexcept Exception:\n    pass",
        ("listobs", VIS),
    ),
)


@pytest.fixture(scope="module")
def recorded(
    ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory, casa_site_config: DataSource
) -> dict[str, list[Activity]]:
    """Run all styles in one kernel: the calls of each cell, by its source."""
    notebook = tmp_path_factory.mktemp("styles") / "k.ipynb"
    cells = [BEFORE + f"FITS = {str(ngc5921_fits)!r}", "%load_ext casaprov", *(style.cell for style in STYLES)]
    result = run_notebook(write_notebook(notebook, cells), notebook)
    assert result.failure is None
    assert result.document is not None
    assert [session.closed for session in result.document.sessions] == [True]
    calls: dict[str, list[Activity]] = {digest_bytes(style.cell.encode()): [] for style in STYLES}
    for activity in result.document.activities:
        assert activity.step is not None
        calls[activity.step.source_digest].append(activity)
    return calls


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_each_call_is_recorded_once_whatever_its_style(style: Style, recorded: dict[str, list[Activity]]) -> None:
    found = recorded[digest_bytes(style.cell.encode())]
    numbers = {activity.id: number for number, activity in enumerate(found)}
    assert [(a.task, a.given, numbers.get(a.parent or "")) for a in found] == list(style.calls)
    assert all(a.parent is None or a.parent in numbers for a in found)
    assert {a.package for a in found} <= {"casatasks"}
    assert {a.problems for a in found} <= {()}
    assert [a.outcome for a in found] == ["failed" if "refused" in style.name else "completed"] * len(found)


def test_all_parameters_are_recorded_with_their_final_values(recorded: dict[str, list[Activity]]) -> None:
    by_name = {style.name: recorded[digest_bytes(style.cell.encode())] for style in STYLES}
    plain, shell = by_name["dictionary"][0], by_name["shell: globals"][0]
    assert plain.parameters == shell.parameters
    assert list(plain.parameters)[:2] == ["vis", "axis"]
    assert shell.used[0].entity == plain.used[0].entity
    assert by_name["shell: refused"][0].parameters == {"vis": "no.ms"}


FORK = """
import multiprocessing, os

def look(field):
    return sorted(visstat("n.ms", field=field))

context = multiprocessing.get_context("fork")
with context.Pool(1) as pool:
    assert len(pool.map(look, ["0", "1"])) == 2
child = context.Process(target=split, args=("n.ms", "forked.ms"), kwargs={"datacolumn": "data", "field": "0"})
child.start()
child.join()
assert child.exitcode == 0
"""

FORK_THAT_STOPS_RECORDING = """
if not (child := os.fork()):
    try:
        visstat("not there.ms")
    finally:
        get_ipython().run_line_magic("unload_ext", "casaprov")
        os._exit(0)
os.waitpid(child, 0)
visstat("forked.ms")
"""


@pytest.mark.long
def test_a_fork_writes_nothing_into_the_record_of_its_parent(ngc5921_fits: Path, tmp_path: Path) -> None:
    # A kernel of its own: OpenMP, which other tasks use, does not survive a fork.
    cells = (
        "%load_ext casaprov\nfrom casatasks import importuvfits, split, visstat",
        f"importuvfits({str(ngc5921_fits)!r}, 'n.ms')",
        FORK,
        FORK_THAT_STOPS_RECORDING,
    )
    result = run_notebook(write_notebook(tmp_path / "k.ipynb", cells), tmp_path / "k.ipynb", timeout_s=60)
    assert result.failure is None
    assert result.document is not None
    assert [(a.task, a.given, a.outcome) for a in result.document.activities] == [
        ("importuvfits", ("fitsfile", "vis"), "completed"),
        ("visstat", ("vis",), "completed"),
    ]
    (journal,) = journal_folder(tmp_path / "k.ipynb").glob("*.jsonl")
    assert [json.loads(line)["type"] for line in journal.read_text().splitlines()].count("close") == 1


IN_THE_SHELL = """%load_ext casaprov
default(importuvfits)
fitsfile = FITS
vis = 'n.ms'
inp
go
default('visstat')
vis = 'n.ms'
field = '0'
go visstat
default visstat
go
found = visstat(vis='n.ms', spw='0')
found = casatasks.visstat('n.ms')
%unload_ext casaprov
found = visstat('n.ms')
"""


@pytest.mark.long
def test_the_real_casa_shell_is_recorded(ngc5921_fits: Path, tmp_path: Path) -> None:
    start = ("--nogui", "--nologger", "--agg", "--colors", "NoColor", "--cachedir", str(tmp_path / "cache"))
    subprocess.run(
        [sys.executable, "-m", "casashell", *start],
        input=IN_THE_SHELL.replace("FITS", repr(str(ngc5921_fits))),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    (folder,) = (tmp_path / ".casaprov").iterdir()
    document = read_document(folder, folder.name)
    assert [(a.task, a.package, a.given, a.outcome) for a in document.activities] == [
        ("importuvfits", "casatasks", ("fitsfile", "vis"), "completed"),
        ("visstat", "casatasks", ("vis", "field"), "completed"),
        ("visstat", "casatasks", (), "failed"),  # default took all away
        ("visstat", "casatasks", ("vis", "spw"), "completed"),
        ("visstat", "casatasks", ("vis",), "completed"),
    ]


@pytest.mark.long
def test_what_was_called_in_the_shell_is_replayed_by_casatasks(ngc5921_fits: Path, tmp_path: Path) -> None:
    start = (
        "%load_ext casaprov\ncasa_inp_go_state, __casashell_state__ = {'last': None}, {}\n"
        "from casashell.private.init_subparam import default, go, inp\n"
        "from casashell.private.importuvfits import importuvfits\nfrom casashell.private.tclean import tclean\n"
        "from casashell.private.exportuvfits import exportuvfits"
    )
    cells = (
        start,
        "default(importuvfits)\nfitsfile, vis = 'NGC5921.fits', 'n.ms'\ngo()",
        "default(tclean)\nvis, imagename, field, imsize, cell, niter = 'n.ms', 'x', '2', 64, '15arcsec', 5\ngo(tclean)",
        "exportuvfits('n.ms', 'n.uvfits', field='0')",  # padwithflags is True here and False in casatasks
    )
    reduction = reduce(tmp_path / "n", ngc5921_fits, cells)
    work = tmp_path / "again"
    assert main(["replay", str(reduction.crate), "--work", str(work), "--data", str(reduction.data)]) == 0
    report = json.loads((work / "replay-report.json").read_text())
    assert [step["action"] for step in report["steps"]] == ["run"] * 3
    assert {p["path"] for p in report["products"]} >= {"n.ms", "x.image", "n.uvfits"}
    document = read_document(journal_folder(reduction.notebook), "n.ipynb")
    assert document.activities[2].parameters["padwithflags"] is True


LOOK = """
import copy, inspect, json, pickle, pydoc, re, sys
from IPython.core.interactiveshell import InteractiveShell

def look(task):
    kind = type(task)
    return {
        "signature": str(inspect.signature(task)),
        "parameters": inspect.getfullargspec(kind.__call__).args,
        "documented": kind.__doc__,
        "called": [kind.__call__.__name__, kind.__call__.__qualname__, kind.__call__.__module__, kind.__call__.__doc__],
        "source": inspect.getsource(kind.__call__)[:200],
        "identity": [kind.__name__, kind.__module__, isinstance(task, kind), callable(task)],
        "names": sorted(set(dir(task)) - {"__slotnames__"}),  # pickle adds it
        "function": str(inspect.signature(getattr(sys.modules[kind.__module__], kind.__name__ + "_t"))),
        "shown": re.sub("0x[0-9a-f]+", "ADDRESS", repr(task)),
        "pickled": type(pickle.loads(pickle.dumps(task))) is kind and pickle.loads(pickle.dumps(kind)) is kind,
        "copied": type(copy.deepcopy(task)) is kind,
        "help": re.sub("0x[0-9a-f]+", "ADDRESS", pydoc.render_doc(task)),
        "asked": re.sub("0x[0-9a-f]+", "ADDRESS", shell.object_inspect_text("look_at")),
        "completed": shell.complete("look_at.")[1],
    }

def both():
    found = []
    for shell.user_ns["look_at"] in (casatasks.tclean, visstat, casatasks.flagdata, casatasks.sdcal):
        found.append(look(shell.user_ns["look_at"]))
    return found

casa_inp_go_state, __casashell_state__ = {"last": None}, {}
shell = InteractiveShell.instance(colors="NoColor")
import casatasks
from casashell.private.visstat import visstat
told = [both()]
shell.run_line_magic("load_ext", "casaprov")
told.append(both())
shell.run_line_magic("unload_ext", "casaprov")
told.append(both())
print("LOOKED" + json.dumps(told))
"""


@pytest.mark.long
def test_tasks_look_the_same_with_casaprov_and_after_it(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PAGER": "cat"}
    command = [sys.executable, "-W", "ignore", "look.py"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    before, loaded, after = json.loads(run.stdout.partition("LOOKED")[2])
    assert len(before) == 4
    assert all(look["pickled"] and look["copied"] and "Docstring:" in look["asked"] for look in before)
    assert "visstat" in before[1]["help"]
    assert loaded == before
    assert after == before


@pytest.mark.long
def test_the_shell_has_the_tasks_of_casatasks_and_their_functions() -> None:
    """A call in the shell is recorded as one of casatasks: it must be the same function with the same parameters."""
    casatasks = import_casatasks()
    names = [name.rpartition(".")[2] for name in shell_modules()]
    assert set(task_names(casatasks)) <= set(names)
    for name in task_names(casatasks):
        module, own = import_module(f"casashell.private.{name}"), sys.modules[f"casatasks.{name}"]
        assert getattr(module, f"_{name}_t") is getattr(own, f"_{name}_t"), name
        public = list(inspect.signature(getattr(module, f"_{name}").__call__).parameters)[1:]
        call = call_of_function(module, name)
        handed = handed_over(call)
        assert handed == public, name
        assert not call.keywords, name


def test_a_parameter_that_a_task_takes_as_a_keyword_is_recorded_and_replayed() -> None:
    """sdcal's `intent` is not in its signature."""
    casatasks = import_casatasks()
    calls: list[TaskCall] = []

    def run(call: TaskCall, executor: FunctionExecutor) -> TaskResult:
        calls.append(call)
        return executor.run(call)

    hook = TaskHook(run)
    hook.install(casatasks)
    try:
        with pytest.raises(AssertionError, match=r"not there\.ms"):
            casatasks.sdcal("not there.ms", intent="CALIBRATE")
    finally:
        hook.remove()
    assert calls[0].given == ("infile", "intent")
    assert calls[0].parameters == {"infile": "not there.ms", "intent": "CALIBRATE"}
    signature = inspect.signature(casatasks.sdcal)
    assert arguments_for(signature, calls[0].parameters, calls[0].given) == calls[0].parameters
