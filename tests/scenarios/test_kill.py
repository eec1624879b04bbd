"""Kernels that are killed at random moments: what had ended is recorded, and the next kernel goes on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from casacore.tables import table

from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, journals
from casaprov.journal.reader import read_session
from casaprov.lineage.graph import Lineage
from checkout import SUPPORT
from reductions import write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.usefixtures("casa_site_config")]

KILLS, FOLDERS = 50, 10
LONGEST_S = 0.7


PREPARE = """
import sys
from casaprov.casa.installed.data import prepare
prepare()
import casatasks
casatasks.importuvfits(sys.argv[1], "all.ms")
casatasks.split("all.ms", "n.ms", datacolumn="data", scan="1,2")
"""


@dataclass
class Kernels:
    """The process whose forks are killed, and the MeasurementSet that they work on."""

    process: subprocess.Popen[str]
    template: Path

    def start(self, notebook: Path, ended: Path) -> int:
        """Start a kernel for a notebook; return its process id."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{notebook.parent} {notebook} {ended}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def kernels(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernels]:
    folder = tmp_path_factory.mktemp("template")
    subprocess.run([sys.executable, "-c", PREPARE, ngc5921_fits], cwd=folder, check=True)
    process = subprocess.Popen(
        [sys.executable, SUPPORT / "killed_kernels.py"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Kernels(process, folder / "n.ms")
    process.communicate(timeout=30)
    assert process.returncode == 0


def of_session(session: int) -> list[str]:
    """Processes that belong to a session of the operating system, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        state, _parent, _group, its_session = rest.split()[:4]
        if its_session == str(session) and state not in "ZX":
            found.append(name)
    return found


def wait_until_gone(session: int) -> None:
    deadline = time.monotonic() + 10
    while (left := of_session(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == [], "processes of the killed kernel stay behind"


def lines(path: Path) -> list[str]:
    """Whole lines of a file that may have been cut short."""
    return path.read_text().split("\n")[:-1] if path.exists() else []


def check_session(path: Path, ended: list[str]) -> None:
    """Everything that had ended is recorded as it ended; what had not is the last."""
    record = read_session(path)
    assert len(record.damaged) <= 1
    assert not record.session.closed
    outermost = [activity for activity in record.activities if activity.parent is None]
    completed = [activity.task for activity in outermost if activity.outcome == "completed"]
    assert completed[: len(ended)] == ended
    assert len(completed) <= len(ended) + 1
    unfinished = [activity for activity in record.activities if activity.outcome != "completed"]
    assert {activity.outcome for activity in unfinished} <= {"unfinished"}
    last = record.activities[-1]
    assert {activity.id for activity in unfinished} <= {last.id, last.parent}


def works(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@dataclass
class Victim:
    """A kernel that works in one of the folders until it is killed."""

    notebook: Path
    ended: Path
    known: set[Path]
    before: int
    pid: int

    def kill_at(self, moment_s: float) -> None:
        """Kill it so long after its first call has ended."""
        deadline = time.monotonic() + 60
        while len(lines(self.ended)) == self.before:
            assert time.monotonic() < deadline, "the kernel records nothing"
            time.sleep(0.01)
        time.sleep(moment_s)
        os.killpg(self.pid, signal.SIGKILL)

    def check(self) -> None:
        """Everything that had ended is recorded, and what reads records works."""
        (journal,) = set(journals(journal_folder(self.notebook))) - self.known
        check_session(journal, lines(self.ended)[self.before :])
        works("inspect", self.notebook)
        works("sync", self.notebook)
        wait_until_gone(self.pid)


def is_damaged(path: Path) -> bool:
    """Tell whether a killed process left a table that casacore cannot read."""
    try:
        with table(str(path), lockoptions="usernoread", ack=False) as opened:
            for name in opened.colnames():
                if opened.iscelldefined(name, 0):
                    opened.getcol(name)
    except RuntimeError:
        return True
    return False


def victim(kernels: Kernels, folder: Path) -> Victim:
    """Start a kernel in a folder where others were killed before."""
    notebook, ended = folder / "k.ipynb", folder.with_suffix(".ended")
    if not folder.exists():
        folder.mkdir()
        shutil.copytree(kernels.template, folder / "n.ms")
        write_notebook(notebook, ["1"])
    elif is_damaged(folder / "n.ms"):  # CASA was killed while it wrote: nobody can go on with that
        shutil.rmtree(folder / "n.ms")
        shutil.copytree(kernels.template, folder / "n.ms")
    known, before = set(journals(journal_folder(notebook))), len(lines(ended))
    return Victim(notebook, ended, known, before, kernels.start(notebook, ended))


@pytest.mark.long
def test_whatever_had_ended_is_recorded_when_a_kernel_is_killed(kernels: Kernels, tmp_path: Path) -> None:
    seed = int(os.environ.get("CASAPROV_KILL_SEED", time.time_ns()))
    print("CASAPROV_KILL_SEED =", seed)  # noqa: T201 - shown if the test fails
    chance = random.Random(seed)
    places = [tmp_path / f"f{kill % FOLDERS}" for kill in range(KILLS)]
    following = victim(kernels, places[0])
    for folder in [*places[1:], None]:
        # The next kernel starts while this one is checked.
        now, following = following, following if folder is None else victim(kernels, folder)
        now.kill_at(chance.uniform(0, LONGEST_S))
        now.check()
    for folder in set(places):
        works("export", folder / "k.ipynb", "-o", folder / "k.zip")
        works("validate", folder / "k.zip")
        continued(journal_folder(folder / "k.ipynb"), KILLS // FOLDERS)


def continued(journal: Path, kernels: int) -> None:
    """Each kernel goes on from what the one before it left; a gap is where that was killed within a call."""
    document = read_document(journal, "k.ipynb")
    assert len(document.sessions) == kernels
    order = [session.id for session in document.sessions]
    cut_short = [order.index(call.session) for call in document.activities if call.outcome == "unfinished"]
    entities = {entity.id: entity for entity in document.entities}
    for gap in Lineage(document).gaps():
        assert gap.revision_of is not None
        found_in, left_by = (order.index(state.partition("/")[0]) for state in (gap.id, gap.revision_of))
        assert any(left_by <= session < found_in for session in cut_short), gap
    for session in order[1:]:
        first = next(call for call in document.activities if call.session == session)
        (found,) = (entities[usage.entity] for usage in first.used if entities[usage.entity].path == "n.ms")
        # What a session left and could not digest any more is found again by its stamps; of an input that it
        # could not digest nothing is known.
        before = [e for e in document.entities if e.path == "n.ms" and order.index(e.session) < order.index(session)]
        known = any(e.content_digest or e.generated_by for e in before)
        assert not known or found.gap or found.copy_of is not None or found.session != session
