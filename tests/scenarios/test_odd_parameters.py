"""Odd parameters: a call under recording ends as it would without, and is in the record."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.records.model import UNDIGESTED, Activity
from casaprov.records.schema import validate_record
from checkout import SUPPORT
from reductions import write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("casa_site_config")]

TASKS: dict[str, tuple[dict[str, str], str]] = {
    "vishead": ({"vis": "'n.ms'"}, "vis mode listitems hdkey hdindex hdvalue"),
    "listobs": ({"vis": "'n.ms'"}, "vis selectdata spw field antenna uvrange timerange verbose listfile cachesize"),
    "imstat": (
        {"imagename": "'a.im'"},
        "imagename axes region box chans stokes mask includepix excludepix algorithm maxiter logfile verbose",
    ),
    "imhead": ({"imagename": "'a.im'"}, "imagename mode hdkey hdvalue verbose"),
    "flagdata": (
        {"vis": "'n.ms'", "mode": "'list'", "inpfile": "[\"spw='0' scan='1'\"]", "flagbackup": "False"},
        "vis mode inpfile reason tbuff spw antenna action",
    ),
    "flagmanager": ({"vis": "'n.ms'", "mode": "'save'"}, "vis mode versionname oldname comment merge"),
    "importfits": (
        {"fitsimage": "'a.fits'", "imagename": "'b.im'"},
        "fitsimage imagename whichrep whichhdu zeroblanks defaultaxes defaultaxesvalues beam",
    ),
}
ACTIVITIES = ("echo", "use_up", "refuse")

VALUES = """
    np.int64(5)
    np.float32('nan')
    np.bool_(True)
    np.str_('n.ms')
    np.bytes_(b'n.ms')
    np.array(['n.ms', 'a.im'])
    np.array([1.5, float('inf')])
    np.array(['n.ms', None, [1]], dtype=object)
    np.zeros((0, 3), dtype='>i2')
    np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')])
    np.datetime64('2026-05-01')
    Path('n.ms')
    Path('größe ☃.ms')
    b'n.ms'
    bytearray(b'\\xff\\x00')
    memoryview(b'n.ms')
    'n.ms'
    'a.im'
    'größe ☃.ms'
    '\\udcff.ms'
    'n.ms\\0'
    'x' * 10_000
    '{vis}{0}{'
    None
    True
    -1
    10**400
    1e300 * 1e10
    float('nan')
    complex('nan+infj')
    {'file': 'n.ms', 1: 2}
    {'@array': [1], 'dtype': 'f8'}
    {'value': 3, 'unit': 'Jy'}
    {str(n): [n] for n in range(5_000)}
    {('n.ms', 1): {2, 'three'}, None: frozenset()}
    ['n.ms'] * 3_000
    range(1_000)
    (c for c in ('n.ms', 'a.im'))
    iter(['n.ms'])
    [c for c in 'abc']
    circular_list()
    circular_dict()
    Odd('__repr__')
    Odd('__str__')
    Odd('__eq__')
    Odd('__hash__')
    Odd('__len__')
    Odd('__bool__')
    OddPath('__fspath__')
    OddPath('')
    OddText('n.ms')
    OddList(['n.ms'])
    OddAttributes()
    lambda: 'n.ms'
    Ellipsis
    Odd
    np.longdouble(1.5)
    np.array([1, 2], dtype=np.clongdouble)
    10**6000
    "~nobody-here/n.ms"
    "n.ms{vis.__class__}"
    Odd("__class__")
    ValueError('n.ms')
    open
""".strip().splitlines()  # fmt: skip

# No character with which a task could write outside its folder.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="/.~$*?"), max_size=30).map(repr)
ODD = st.recursive(
    st.sampled_from([value.strip() for value in VALUES]) | TEXTS | st.integers().map(repr) | st.floats().map("float('{}')".format),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda members: f"[{', '.join(members)}]"),
        st.lists(inner, max_size=3).map(lambda members: f"({''.join(f'{m}, ' for m in members)})"),
        st.tuples(TEXTS, inner).map(lambda pair: f"{{{pair[0]}: {pair[1]}, 'file': {pair[1]}}}"),
    ),
    max_leaves=4,
)  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from([*TASKS, *ACTIVITIES]))
    base, parameters = TASKS.get(name, ({"vis": "'n.ms'"}, "vis out how"))
    odd = draw(st.dictionaries(st.sampled_from(parameters.split()), ODD, min_size=1, max_size=2))
    return {"call": name, "values": {**base, **odd}}


class Process:
    """A process that makes calls, with recording or without."""

    def __init__(self, how: str, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, SUPPORT / "odd_calls.py", how, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},  # sets are in the same order in both
        )

    def send(self, call: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any] | None:
        """How the call ended; None if it was the end of the process, as CASA's own code can be."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> int:
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            self._process.communicate(timeout=60)
        return self._process.returncode


PREPARE = """
import sys
from casaprov.casa.installed.data import prepare
prepare()
import casatasks, casatools
casatasks.importuvfits(sys.argv[1], 'n.ms')
ia = casatools.image()
ia.fromshape('a.im', [16, 16, 1, 4])
ia.addnoise()
ia.close()
casatasks.exportfits('a.im', 'a.fits')
"""


class Pair:
    """The two processes, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.called: list[str] = []
        self.ended: list[str] = []
        self._start()

    def _start(self) -> None:
        self.plain, self.recorded = (Process(how, self.folder / how / "work") for how in ("plain", "recorded"))

    def call(self, call: dict[str, Any]) -> None:
        self.plain.send(call)
        self.recorded.send(call)
        without, under_recording = self.plain.answer(), self.recorded.answer()
        self.called.append(call["call"])
        if without is None or under_recording is None:
            self.ended.append("unfinished")
            self.plain.end()
            self.recorded.end()
            self._start()
        else:
            self.ended.append("failed" if under_recording["error"] else "completed")
        if under_recording is not None:  # a busy machine may also say what it waits for
            said = under_recording["said"]
            under_recording["said"] = [re.sub(r"casaprov: still digesting .*\n", "", text) for text in said]
            # By the order of the tests, calls may continue from what others left.
            under_recording["after"] = [re.sub(r"⚠️ Continued: .*\n?", "", text) for text in under_recording["after"]]
        assert under_recording == without


@pytest.fixture(scope="module")
def pair(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "plain" / "work").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", PREPARE, ngc5921_fits], cwd=folder / "plain" / "work", check=True)
    shutil.copytree(folder / "plain", folder / "recorded")
    made = Pair(folder)
    yield made
    made.plain.end()
    made.recorded.end()


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_a_call_ends_as_it_would_without_recording(pair: Pair, count: int) -> None:
    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(call=calls())
    def ends_the_same(call: dict[str, Any]) -> None:
        pair.call(call)

    ends_the_same()


@pytest.mark.parametrize("call", ["listobs", "echo", "use_up", "refuse"])
def test_an_odd_value_of_every_kind_changes_nothing(pair: Pair, call: str) -> None:
    for value in VALUES:
        pair.call({"call": call, "values": {"vis": value.strip()}})


@pytest.mark.long
def test_a_call_that_ends_the_process_in_casa_is_in_the_record(pair: Pair) -> None:
    pair.call({"call": "imstat", "values": {"imagename": "'a.im'", "axes": "[0, 0]"}})
    assert pair.ended[-1] == "unfinished"
    pair.call({"call": "imstat", "values": {"imagename": "'a.im'"}})
    assert pair.ended[-1] == "completed"


def _problems(calls: list[Activity]) -> set[str]:
    """What calls miss, but for those that were still digested when CASA's own code ended the process."""
    problems: set[str] = set()
    ends = False
    for call in reversed(calls):  # their records are finished in the order in which they ended
        ends = call.outcome == "unfinished" or (ends and call.problems == (UNDIGESTED,))
        problems |= set(call.problems) - ({UNDIGESTED} if ends else set())
    return problems


def test_every_call_is_in_the_record(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    pair.call({"call": "echo", "values": {"vis": "'n.ms'"}})  # another process may run the tests before this one
    assert (pair.plain.end(), pair.recorded.end()) == (0, 0)
    notebook = write_notebook(pair.folder / "recorded" / "work" / "_unnamed.ipynb", ["1"])
    document = read_document(journal_folder(notebook), notebook.name)
    calls: list[Activity] = [activity for activity in document.activities if activity.parent is None]
    assert [call.task for call in calls] == pair.called
    assert [call.outcome for call in calls] == pair.ended
    assert _problems(calls) == set()
    for journal in journal_folder(notebook).glob("*.jsonl"):
        for line in journal.read_text().splitlines():
            validate_record(json.loads(line), "journal-1")
    assert main(["inspect", str(notebook)]) == 0
    assert "echo" in capsys.readouterr().out
