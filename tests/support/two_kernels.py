"""Two kernels that run the same cells, one with the cache on and one without casaprov: after each cell all must be equal."""

from __future__ import annotations

import ast
import random
import shutil
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from casaprov.digests.digester import Digester
from casaprov.errors import CasaprovError
from live_kernel import LiveKernel

PREPARE = """
import os, shutil, casatools, casatasks, numpy as np
from casatasks import *
from casatools import table
np.set_printoptions(threshold=10**9, precision=17)
tb = table()
HOME = os.getcwd()
def show(function):
    try:
        answer = ('returned', repr(function()))
    except Exception as error:
        answer = (type(error).__name__, str(error))
    print('ANSWER', repr(tuple(text.replace(HOME, '') for text in answer)))
"""

CACHED = """
%load_ext casaprov
%casaprov config cache on
%casaprov config show_log no
"""

COUNTS = "casaprov.kernel_hook._recording.session.recomputation().counts"
TAKE_COUNTS = f"[dict({COUNTS}), {COUNTS}.clear()][0]"


class Unequal(AssertionError):
    """The kernel with the cache left or returned something else than the plain one."""


@dataclass(frozen=True)
class Step:
    """A cell; `ends` says that the cached kernel is killed while it runs, or started anew after it."""

    code: str
    ends: str = ""


def call(task: str, **parameters: object) -> Step:
    """A cell that calls a task and shows its answer."""
    given = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return Step(f"show(lambda: {task}({given}))")


class TwoKernels:
    """A kernel with the cache on and a plain one, each in a folder with the same files.

    Parameters
    ----------
    place
        Empty folder.
    measurement_set
        The MeasurementSet that all work starts from.
    digester
        Measures what the kernels left.
    planted
        Cell that plants a bug in the cached kernel, or one of the cells of a user.
    """

    def __init__(self, place: Path, measurement_set: Path, digester: Digester, planted: str = "") -> None:
        self.measurement_set = measurement_set
        self._digester = digester
        self._planted = planted
        self.folders = {name: place / name / "w" for name in ("cached", "plain")}
        for folder in self.folders.values():
            folder.mkdir(parents=True)
        self._kernels = {"plain": LiveKernel(self.folders["plain"])}
        self._kernels["plain"].good(PREPARE)
        self._start_cached()
        self.outcomes: dict[str, int] = {}
        self.steps = 0

    def _start_cached(self) -> None:
        kernel = self._kernels["cached"] = LiveKernel(self.folders["cached"])
        kernel.good(CACHED)
        kernel.good(PREPARE)
        kernel.good("import casaprov.kernel_hook")
        if self._planted:
            kernel.good("show(lambda: visstat('nothing.ms'))")  # the session opens with the first call
            kernel.good(self._planted)

    def run(self, step: Step) -> None:
        """Run a cell in both kernels; raise :class:`Unequal` if they differ afterwards."""
        self.steps += 1
        if step.ends == "killed":
            self._kill_during(step)
            return
        answers = {name: _answer(kernel.run(step.code).stdout) for name, kernel in self._kernels.items()}
        if answers["cached"] != answers["plain"]:
            raise Unequal(f"{step.code}: {answers['cached']} instead of {answers['plain']}")
        left = {name: self._contents(folder) for name, folder in self.folders.items()}
        if left["cached"] != left["plain"]:
            unequal = sorted(
                name
                for name in left["cached"].keys() | left["plain"].keys()
                if left["cached"].get(name) != left["plain"].get(name)
            )
            raise Unequal(f"after {step.code}: {', '.join(unequal)}")
        if step.ends == "restarted":
            self._take_outcomes()
            self._kernels["cached"].close()
            self._start_cached()
            self._kernels["cached"].good(f"os.chdir({str(self._cwd())!r})")

    def begin_anew(self, planted: str = "") -> None:
        """Start the cached kernel anew, with an empty store and another planted bug."""
        self._kernels["cached"].close()
        shutil.rmtree(self.folders["cached"])
        self.folders["cached"].mkdir()
        self._kernels["plain"].good("tb.close(); os.chdir(HOME)")
        self._planted, self.outcomes, self.steps = planted, {}, 0
        self._start_cached()

    @property
    def hits(self) -> float:
        """Part of the look-ups so far that were hits."""
        self._take_outcomes()
        looked_up = self.outcomes.get("restored", 0) + self.outcomes.get("run", 0)
        return self.outcomes.get("restored", 0) / looked_up if looked_up else 0.0

    def close(self) -> None:
        """End both kernels."""
        for kernel in self._kernels.values():
            kernel.close()

    def _kill_during(self, step: Step) -> None:
        """Kill the cached kernel in the middle of a cell; what it leaves is made anew by the next round."""
        kernel = self._kernels["cached"]
        self._take_outcomes()
        delay_s = step.code.count("a") % 5 * 0.05
        kill = f"threading.Timer({delay_s}, os.kill, (os.getpid(), {signal.SIGKILL.value})).start()"
        kernel.die(f"import threading; {kill}\n{step.code}")
        self._start_cached()

    def _cwd(self) -> str:
        folder = Path(ast.literal_eval(self._kernels["plain"].good("os.getcwd()").text))
        return str(self.folders["cached"] / folder.relative_to(self.folders["plain"]))

    def _take_outcomes(self) -> None:
        shown = self._kernels["cached"].run(TAKE_COUNTS)
        if shown.error is None:
            for outcome, times in ast.literal_eval(shown.text).items():
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + times

    def _contents(self, folder: Path) -> dict[str, str]:
        return dict(self._measured(folder))

    def _measured(self, folder: Path) -> Iterator[tuple[str, str]]:
        for path in sorted(folder.rglob("*") if (folder / "sub").is_dir() else folder.iterdir()):
            inside = path.relative_to(folder).parts
            if len(inside) > 2 or (len(inside) == 2 and inside[0] != "sub") or inside == ("sub",):
                continue
            if path.name.startswith(".") or path.suffix in {".log", ".last"}:
                continue
            try:
                yield "/".join(inside), self._digester.measure(path).content_digest
            except CasaprovError as error:
                yield "/".join(inside), type(error).__name__


def _answer(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("ANSWER")]


# -- rounds ------------------------------------------------------------------------


@dataclass
class Rounds:
    """Rounds of a small reduction, each a little different from the one before: most of its calls are known then."""

    kernels: TwoKernels
    random: random.Random
    values: dict[str, Any] = field(default_factory=dict)
    _CHOICES: ClassVar[dict[str, list[Any]]] = {
        "antenna": ["1", "2", "9&&9"],  # no antenna 9: the flags stay as they are
        "flux": [5.0, 2.0],
        "solint": ["inf", "60s"],
        "column": ["corrected", "data"],
        "niter": [0, 3],
        "major": ["60arcsec", "90arcsec"],
    }

    def __post_init__(self) -> None:
        self.values = {name: choices[0] for name, choices in self._CHOICES.items()}

    def fresh(self) -> Step:
        """Remove everything, and begin with the MeasurementSet."""
        return Step(
            "os.chdir(HOME); tb.close()\n"
            "for name in os.listdir():\n"
            "    if not name.startswith('.') and not name.endswith('.log'):\n"
            "        shutil.rmtree(name) if os.path.isdir(name) else os.remove(name)\n"
            f"shutil.copytree({str(self.kernels.measurement_set)!r}, 'w.ms')"
        )

    def reduction(self) -> list[Step]:
        """The calls with the present values."""
        of = self.values
        image = {"imagename": "i", "imsize": 32, "cell": "30arcsec", "niter": of["niter"], "interactive": False}
        return [
            call("flagdata", vis="w.ms", antenna=of["antenna"], flagbackup=False),
            call("setjy", vis="w.ms", standard="manual", fluxdensity=[of["flux"], 0, 0, 0], usescratch=True),
            call("gaincal", vis="w.ms", caltable="g.G", solint=of["solint"], refant="3", minsnr=0.0),
            call("applycal", vis="w.ms", gaintable=["g.G"], flagbackup=False),
            call("split", vis="w.ms", outputvis="s.ms", datacolumn=of["column"]),
            call("tclean", vis="s.ms", datacolumn="data", **image),
            call("imsmooth", imagename="i.image", outfile="sm.im", major=of["major"], minor="50arcsec", pa="10deg"),
            call("imstat", imagename="sm.im"),
        ]

    def edited(self) -> list[Step]:
        """A round after one value was edited."""
        name = self.random.choice(sorted(self._CHOICES))
        self.values[name] = self.random.choice(self._CHOICES[name])
        return [self.fresh(), *self.reduction()]

    def disturbed(self) -> list[Step]:
        """A round with something else between its calls."""
        steps = self.reduction()
        position = self.random.randrange(1, len(steps))
        kind = self.random.choice(sorted(self._DISTURBANCES))
        return [self.fresh(), *steps[:position], *self._DISTURBANCES[kind], *steps[position:]]

    _DISTURBANCES: ClassVar[dict[str, list[Step]]] = {
        "putcol": [
            Step(
                "tb.open('w.ms', nomodify=False); data = tb.getcol('DATA'); data *= 1.5; tb.putcol('DATA', data); tb.close()"
            )
        ],
        "a column of the model": [call("delmod", vis="w.ms", scr=True)],
        "a copy": [
            Step("shutil.copytree('w.ms', 'v.ms')"),
            call("flagdata", vis="v.ms", antenna="3", flagbackup=False),
            Step("shutil.rmtree('v.ms')"),
        ],
        "an open table": [Step("tb.open('w.ms'); d = tb.getcol('DATA')")],
        "another kernel": [Step("pass", "restarted")],
    }

    def again(self) -> list[Step]:
        """The calls once more, onto what they left."""
        return self.reduction()

    def in_another_order(self) -> list[Step]:
        """Two neighbouring calls of the calibration change places."""
        steps = self.reduction()
        position = self.random.randrange(0, 3)
        steps[position], steps[position + 1] = steps[position + 1], steps[position]
        return [self.fresh(), *steps]

    def deleted(self) -> list[Step]:
        """A product is deleted, and the calls from there on run again."""
        steps = self.reduction()
        product = self.random.choice([("g.G", 2), ("s.ms", 4), ("sm.im", 6)])
        return [Step(f"shutil.rmtree({product[0]!r}, ignore_errors=True)"), *steps[product[1] :]]

    def below(self) -> list[Step]:
        """The calls in a folder below."""
        return [
            self.fresh(),
            Step("os.mkdir('sub'); os.rename('w.ms', 'sub/w.ms'); os.chdir('sub')"),
            *self.reduction(),
        ]

    def with_threads(self) -> list[Step]:
        """The calls with another number of threads, and then with the former one."""
        return [
            self.fresh(),
            *self.reduction()[:6],
            Step("casatasks.casalog.ompSetNumThreads(1)"),
            *self.reduction()[6:],
            Step("casatasks.casalog.ompSetNumThreads(2)"),
            Step("shutil.rmtree('sm.im')"),
            *self.reduction()[6:],
        ]

    def killed(self) -> list[Step]:
        """A kill in the middle of a call, and a round after it."""
        steps = self.reduction()
        position = self.random.randrange(0, 6)
        first = [self.fresh(), *steps[:position], Step(steps[position].code, "killed")]
        return [*first, self.fresh(), *self.reduction()]

    def play(self, kinds: Iterable[str]) -> None:
        """Run the calls once, and then a round of each of these kinds."""
        for step in (self.fresh(), *self.reduction()):
            self.kernels.run(step)
        for kind in kinds:
            for step in getattr(self, kind)():
                self.kernels.run(step)


KINDS = (
    "edited",
    "with_threads",
    "again",
    "disturbed",
    "in_another_order",
    "deleted",
    "below",
    "killed",
)
"""Kinds of rounds."""

PLANTED = {
    "keys by path": """
import casaprov.recompute.lookup
casaprov.recompute.lookup.content_state = lambda measured, unread=frozenset(): "there"
""",
    "existing outputs ignored": """
import casaprov.recompute.action_key
casaprov.recompute.action_key.KeyedCall.stateful_outputs = property(lambda call: ())
""",
    "threads ignored": """
import casaprov.casa.installed.environment
casaprov.casa.installed.environment._threads_of_casa = lambda: 1
""",
    "an open table ignored": """
import casaprov.casa.installed.held
casaprov.casa.installed.held.held_reason = lambda paths: ""
""",
    "columns taken too narrowly": """
import casaprov.tasks.reuse
columns = frozenset(casaprov.tasks.reuse.CONTENT_COLUMNS)
casaprov.tasks.reuse.ReuseTerms.unread_columns = lambda terms, parameter, parameters, present: present & columns
""",
}
"""Bugs of a cache, each as a cell that plants it in a kernel."""


def small_measurement_set(folder: Path, fits: Path) -> None:
    """Make ``w.ms``, with a few rows of NGC 5921."""
    kernel = LiveKernel(folder)
    try:
        kernel.good("from casatasks import importuvfits, mstransform")
        kernel.good(f"importuvfits(fitsfile={str(fits)!r}, vis='n.ms')")
        kernel.good(
            "mstransform('n.ms', 'w.ms', datacolumn='data', field='0', antenna='1~7&1~7', scan='1',"
            " timerange='<09:21:00', spw='0:20~23')"
        )
        kernel.good("import shutil; shutil.rmtree('n.ms')")
    finally:
        kernel.close()
    assert (folder / "w.ms").is_dir()
    for path in folder.glob("*.log"):
        path.unlink()
    shutil.rmtree(folder / ".casaprov", ignore_errors=True)
