"""What tasks do to files, as the kernel saw it, is what their records say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.compare import Difference, Recorded, differences, explanations, recorded_calls
from audit.trace import Accesses, command, read_trace
from casaprov.casa.installed import data
from checkout import SUPPORT

EXPLAINED = explanations(SUPPORT / "audit" / "explained.toml")
MIN_TASKS = 60


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    calls: tuple[Recorded, ...]
    accesses: dict[int, Accesses]
    differences: tuple[Difference, ...]
    failures: tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def tracer(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip where strace is missing or may not trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    output = tmp_path_factory.mktemp("strace") / "t"
    tried = subprocess.run([*command(output), "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"strace may not trace here (a container needs --cap-add=SYS_PTRACE): {tried.stderr.strip()}")


@pytest.fixture(scope="module")
def audit(
    tracer: None,
    observations: Path,
    casadata_path: Path,
    casa_site_config: data.DataSource,
    tmp_path_factory: pytest.TempPathFactory,
) -> Audit:
    """Run all tasks of the audit once, traced."""
    place = tmp_path_factory.mktemp("audit").resolve()
    folder, output, snapshots, failures = (place / name for name in ("work", "trace", "snapshots", "failures"))
    folder.mkdir()
    run = [sys.executable, "-m", "audit.run", str(observations), str(casadata_path), str(snapshots), str(failures)]
    ran = subprocess.run(
        [*command(output), *run],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SUPPORT), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    calls, accesses = recorded_calls(folder), read_trace(output, folder)
    return Audit(
        calls=calls,
        accesses=accesses,
        differences=tuple(differences(folder, calls, accesses, snapshots)),
        failures=tuple((task, told) for task, told in json.loads(failures.read_text())),
    )


# One test, because workers that share tests would each run an audit of their own.
@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.observations
@pytest.mark.timeout(1200)
def test_every_file_that_a_task_touched_is_in_its_record_and_no_other(audit: Audit) -> None:
    unexplained = [found for found in audit.differences if not any(one.explains(found) for one in EXPLAINED)]
    assert unexplained == []
    assert audit.failures == ()
    completed = {call.activity.task for call in audit.calls if call.activity.outcome == "completed"}
    assert len(completed) >= MIN_TASKS
    # A trace that saw nothing would agree with any record.
    assert [number for number, _ in enumerate(audit.calls, start=1) if number not in audit.accesses] == []
    needed = {one for one in EXPLAINED for found in audit.differences if one.explains(found)}
    assert [one.reason for one in EXPLAINED if one not in needed] == []


TOUCH = """
import os, sys
from audit.recording import _mark
os.mkdir("t"); open("t/old", "w").close(); kept = open("t/old")
_mark([1]); open("t/é", "w").close(); open("t/old").close(); os.rename("t/é", "t/new"); _mark([1, 2])
os.chdir("t"); os.unlink("old"); os.listdir("."); _mark([]); open("after", "w").close()
"""


def test_a_trace_tells_what_each_call_did_and_nothing_done_between_calls(tracer: None, tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    run = [*command(folder / "trace"), sys.executable, "-c", TOUCH]
    subprocess.run(run, cwd=folder, env=environment, check=True)
    calls, t = read_trace(folder / "trace", folder), folder / "t"
    assert {path for path in calls[1].read if path.is_relative_to(folder)} == {t / "old"}
    assert calls[1].written == {t / "é", t / "new"}
    assert calls[1].removed == {t / "é", t / "old"}
    assert t / "old" in calls[1].held
    assert (calls[2].written, calls[2].removed) == (set(), {t / "old"})
