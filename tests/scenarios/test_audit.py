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

from audit.child import run_module
from audit.compare import Difference, Recorded, differences, explanations, recorded_calls
from audit.trace import Accesses, command, read_trace
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


def audit(place: Path, casadata: Path, *observations: Path) -> Audit:
    """Run tasks, traced: all of the audit with observations, else a few."""
    folder, output, snapshots, failures = (place / name for name in ("work", "trace", "snapshots", "failures"))
    run_module(folder, "audit.run", casadata, snapshots, failures, *observations, tracer=command(output))
    calls, accesses = recorded_calls(folder), read_trace(output, folder)
    return Audit(
        calls=calls,
        accesses=accesses,
        differences=tuple(differences(folder, calls, accesses, snapshots)),
        failures=tuple((task, told) for task, told in json.loads(failures.read_text())),
    )


def unexplained(audit: Audit) -> list[Difference]:
    return [found for found in audit.differences if not any(one.explains(found) for one in EXPLAINED)]


def untraced(audit: Audit) -> list[int]:
    """Numbers of calls of which nothing was seen: a trace that saw nothing would agree with any record."""
    return [number for number, _ in enumerate(audit.calls, start=1) if number not in audit.accesses]


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.usefixtures("tracer", "casa_site_config")
def test_what_flagging_touched_is_in_its_record_and_nothing_else(casadata_path: Path, tmp_path: Path) -> None:
    found = audit(tmp_path.resolve(), casadata_path)
    assert unexplained(found) == []
    assert found.failures == ()
    assert {call.activity.task for call in found.calls} >= {"importuvfits", "split", "flagdata", "flagmanager"}
    assert untraced(found) == []


@pytest.mark.casa
@pytest.mark.long
@pytest.mark.observations
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("tracer", "casa_site_config")
def test_every_file_that_a_task_touched_is_in_its_record_and_no_other(
    observations: Path, casadata_path: Path, tmp_path: Path
) -> None:
    found = audit(tmp_path.resolve(), casadata_path, observations)
    assert unexplained(found) == []
    assert found.failures == ()
    completed = {call.activity.task for call in found.calls if call.activity.outcome == "completed"}
    assert len(completed) >= MIN_TASKS
    assert untraced(found) == []
    needed = {one for one in EXPLAINED for difference in found.differences if one.explains(difference)}
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
