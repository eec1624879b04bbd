"""Two kernels that run the same cells, one with the cache on and one without casaprov: after each cell all must be equal.

What the plain kernel leaves after the same cells is remembered: rounds begin with a fresh folder, and many of them share
their first cells.
"""

from __future__ import annotations

import ast
import re
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from casaprov.digests.measurement import measure
from casaprov.errors import CasaprovError
from casaprov.files.stamps import Stamps, stamp
from casaprov.hashing import digest_bytes
from casaprov.readers.installed import fits_reader, table_reader
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
def begin():
    tb.close()
    os.chdir(HOME)
    casatasks.casalog.ompSetNumThreads(2)
    for name in os.listdir():
        if not name.startswith('.') and not name.endswith('.log'):
            shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.remove(name)
"""

CACHED = """
%load_ext casaprov
%casaprov config cache on
%casaprov config show_log no
from casaprov.recompute.store.results import Store
Store._check_worth = lambda *_: None  # what is kept must not depend on the speed of the machine
"""

ANOTHER_STORE = """
from pathlib import Path
results = casaprov.kernel_hook._recording.session.recomputation()
results.settle()
results.store = Store(Path(HOME, ".casaprov", "store-{}"), on_notice=lambda _: None)
results._left.clear()
results.counts.clear()
"""

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")

COUNTS = "casaprov.kernel_hook._recording.session.recomputation().counts"
TAKE_COUNTS = f"[dict({COUNTS}), {COUNTS}.clear()][0]"


class Unequal(AssertionError):
    """The kernel with the cache left or returned something else than the plain one."""


@dataclass(frozen=True)
class Step:
    """A cell; `ends` says that the cached kernel is killed while it runs, or started anew after it."""

    code: str
    ends: str = ""


@dataclass(frozen=True)
class Seen:
    """What a cell answered, and the contents of the folder after it."""

    answers: list[str]
    contents: dict[str, str]


def call(task: str, **parameters: object) -> Step:
    """A cell that calls a task and shows its answer."""
    given = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return Step(f"show(lambda: {task}({given}))")


def fresh(measurement_set: Path) -> Step:
    """A cell that removes everything, and begins with a MeasurementSet called ``w.ms``."""
    return Step(f"begin(); shutil.copytree({str(measurement_set)!r}, 'w.ms')")


@dataclass
class Contents:
    """Digests of what is in a folder; what did not change is not read again."""

    folder: Path
    _known: dict[Path, tuple[Stamps, str]] = field(default_factory=dict)

    def now(self) -> dict[str, str]:
        """Return the digest of each product, by name."""
        self._known = dict(self._measured())
        return {path.relative_to(self.folder).as_posix(): digest for path, (_, digest) in self._known.items()}

    def _measured(self) -> Iterator[tuple[Path, tuple[Stamps, str]]]:
        for path in self._products():
            stamps = stamp(path)
            if path in self._known and self._known[path][0] == stamps:
                yield path, self._known[path]
                continue
            yield path, (stamps, self._digest(path))

    def _digest(self, path: Path) -> str:
        if path.suffix == ".txt":  # a listing names its MeasurementSet by a whole path
            return str(digest_bytes(path.read_bytes().replace(str(self.folder).encode(), b"")))
        try:
            return str(measure(path, table_reader, fits_reader).content_digest)
        except CasaprovError as error:
            return type(error).__name__

    def _products(self) -> Iterator[Path]:
        below = self.folder / "sub"
        for folder in (self.folder, below) if below.is_dir() else (self.folder,):
            for path in sorted(folder.iterdir()):
                if path != below and not path.name.startswith(".") and path.suffix not in {".log", ".last"}:
                    yield path


class Plain:
    """A plain kernel that runs only cells of which it is not known what they leave after the cells before them."""

    def __init__(self, kernel: LiveKernel, folder: Path) -> None:
        self._kernel = kernel
        self._contents = Contents(folder)
        self._known: dict[tuple[str, ...], Seen] = {}
        self._wanted: tuple[str, ...] = ()  # cells of this round so far
        self._done: tuple[str, ...] = ()  # those that this kernel ran since its folder was fresh
        kernel.good(f"import os; os.chdir({str(folder)!r})")
        kernel.good(PREPARE)

    def run(self, code: str) -> Seen:
        """Return what a cell leaves after the earlier ones of its round, which began with a fresh folder."""
        self._wanted = (code,) if code.startswith("begin()") else (*self._wanted, code)
        if self._wanted not in self._known:
            if self._done != self._wanted[: len(self._done)]:
                self._done = ()
            for cell in self._wanted[len(self._done) :]:
                answers = answers_in(self._kernel.run(cell).stdout)
                self._done = (*self._done, cell)
                self._known[self._done] = Seen(answers, self._contents.now())
        return self._known[self._wanted]


class TwoKernels:
    """A kernel with the cache on and a plain one, each in a folder with the same files.

    Parameters
    ----------
    place
        Empty folder.
    plain
        A kernel without casaprov.

    Attributes
    ----------
    plain
        Runs cells without casaprov.
    """

    def __init__(self, place: Path, plain: LiveKernel) -> None:
        for name in ("cached", "plain"):
            (place / name / "w").mkdir(parents=True)
        self._folder = place / "cached" / "w"
        self.plain = Plain(plain, place / "plain" / "w")
        self._contents = Contents(self._folder)
        self._cached = self._start()
        self.outcomes: dict[str, int] = {}
        self._stores = 0

    def _start(self) -> LiveKernel:
        kernel = LiveKernel(self._folder)
        for cell in (CACHED, PREPARE, "import casaprov.kernel_hook"):
            kernel.good(cell)
        return kernel

    def run(self, step: Step) -> None:
        """Run a cell in both kernels; raise :class:`Unequal` if they differ afterwards."""
        if step.ends == "killed":
            self._kill_during(step)
            return
        answers = answers_in(self._cached.run(step.code).stdout)
        there, plain = self._contents.now(), self.plain.run(step.code)
        if answers != plain.answers:
            raise Unequal(f"{step.code}: {answers} instead of {plain.answers}")
        names = sorted(there.keys() | plain.contents.keys())
        if unequal := [name for name in names if there.get(name) != plain.contents.get(name)]:
            raise Unequal(f"after {step.code}: {', '.join(unequal)}")
        if step.ends == "restarted":
            cwd = ast.literal_eval(self._cached.good("os.getcwd()").text)
            self._take_outcomes()
            self._cached.close()
            self._cached = self._start()
            self._cached.good(f"os.chdir({cwd!r})")

    def run_all(self, steps: Iterable[Step]) -> None:
        """Run cells in both kernels, one after the other."""
        for step in steps:
            self.run(step)

    def begin_anew(self) -> None:
        """Begin again with an empty store."""
        self._stores += 1
        self._cached.good("show(lambda: visstat('nothing.ms'))")  # the session opens with the first call
        self._cached.good(ANOTHER_STORE.format(self._stores))
        self.outcomes = {}

    @contextmanager
    def planted(self, plant: Step, remove: Step) -> Iterator[None]:
        """Have a bug in the cached kernel."""
        self._cached.good(plant.code)
        try:
            yield
        finally:
            self._cached.good(remove.code)

    @property
    def hits(self) -> float:
        """Part of the look-ups so far that were hits."""
        self._take_outcomes()
        looked_up = self.outcomes.get("restored", 0) + self.outcomes.get("run", 0)
        return self.outcomes.get("restored", 0) / looked_up if looked_up else 0.0

    def close(self) -> None:
        """End the cached kernel."""
        self._cached.close()

    def _kill_during(self, step: Step) -> None:
        """Kill the cached kernel in the middle of a cell; what it leaves is made anew by the next round."""
        self._take_outcomes()
        delay_s = step.code.count("a") % 5 * 0.05
        kill = f"threading.Timer({delay_s}, os.kill, (os.getpid(), {signal.SIGKILL.value})).start()"
        self._cached.die(f"import threading; {kill}\n{step.code}")
        self._cached = self._start()

    def _take_outcomes(self) -> None:
        shown = self._cached.run(TAKE_COUNTS)
        if shown.error is None:
            for outcome, times in ast.literal_eval(shown.text).items():
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + times


def answers_in(printed: str) -> list[str]:
    """Return the lines in which a cell showed the answers of its calls, without the times that errors of CASA name."""
    return [_TIME.sub("TIME", line) for line in printed.splitlines() if line.startswith("ANSWER")]


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
