"""The benchmarks: pairs, medians, spreads and the table are right, and every script explains itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

import measuring
import other_tools
import recomputing
import run_all
from casaprov.casa.installed.data import casadata_path
from checkout import ROOT
from dvc_stages import STAGES
from measuring import Finding, Goal, Number, compared, failed, guarded, in_turns, number, table

SCRIPTS = sorted(
    path.name for path in (ROOT / "benchmarks").glob("*.py") if "\nif __name__ ==" in path.read_text(encoding="utf-8")
)


def test_other_recorders_run_the_same_statements_with_lists_where_a_generator_is_unpacked(tmp_path: Path) -> None:
    source = "a, b = (2 * n for n in (1, 2))\ntotal = sum(n for n in (a, b))\nprint(total)"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), tmp_path / "n.ipynb")
    script = other_tools.plain_script(tmp_path / "n.ipynb")
    assert "a, b = [2 * n for n in (1, 2)]\ntotal = sum((n for n in (a, b)))\nprint(total)" in script


def test_sides_are_measured_in_turns() -> None:
    order: list[str] = []

    def side(name: str) -> Callable[[], int]:
        def measure() -> int:
            order.append(name)
            return len(order)

        return measure

    found = in_turns({"A": side("A"), "B": side("B")}, 3)
    assert order == ["A", "B", "A", "B", "A", "B"]
    assert found == {"A": [1, 3, 5], "B": [2, 4, 6]}


def test_the_stages_of_dvc_are_the_tasks_of_the_other_sides() -> None:
    script = recomputing._REDUCE.format(antenna="1", niter=300)
    calls = [line.partition("(")[0].removeprefix("peak = ") for line in script.split("\n") if line]
    assert list(STAGES) == calls
    made = {"w.ms"}
    for stage in STAGES.values():
        assert made.issuperset(stage.reads)
        assert made.isdisjoint(stage.makes)
        made.update(stage.makes)


def test_a_number_is_the_median_with_its_spread() -> None:
    assert number([3.0, 1.0, 10.0]) == Number(3.0, 1.0, 10.0, 3)
    assert number([2.0]) == Number(2.0, 2.0, 2.0, 1)


def test_a_comparison_is_made_of_the_ratios_of_pairs() -> None:
    # The machine was three times as slow during the second pair: both sides felt it, the ratio did not.
    found = compared("b", "one / other", [1.0, 3.0, 1.2], [2.0, 6.0, 2.0])
    assert found.number == Number(0.5, 0.5, 0.6, 3)
    assert found.sides == "1.2 s / 2 s"


def test_sides_that_were_not_measured_equally_often_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compared("b", "one / other", [1.0, 2.0], [1.0])


@pytest.mark.parametrize(("median", "verdict"), [(1.3, "| reached |"), (1.31, "| **not reached** |")])
def test_the_table_says_whether_a_goal_is_reached(median: float, verdict: str) -> None:
    finding = Finding(letter="b", what="ratio", number=Number(median, 1, 2, 3), goal=Goal(1.3, "≤ 1.3"))
    assert table([finding]).splitlines()[-1].endswith(f"| ≤ 1.3 {verdict}")


def test_the_table_is_in_the_order_of_letters_and_has_one_cell_per_column() -> None:
    findings = [
        Finding(letter="g", what="a | b", number=number([0.001]), unit="ms"),
        compared("a", "x / y", [1.0], [2.0], goal=Goal(1, "≤ 1")),
        failed("f", "now run / python", RuntimeError("first line\nthe reason")),
    ]
    lines = table(findings).splitlines()
    assert [line[2:5] for line in lines[2:]] == ["(a)", "(f)", "(g)"]
    assert {line.replace("\\|", "").count("|") for line in lines} == {9}


def test_what_fails_is_a_line_that_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    def measure() -> list[Finding]:
        raise RuntimeError("reprozip cannot be installed: no compiler")

    (found,) = guarded("f", "reprozip", measure)
    assert "not measured" in table([found])
    assert "reprozip cannot be installed: no compiler" in table([found])
    assert "Traceback" in capsys.readouterr().err


def test_findings_survive_the_file_between_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = [compared("a", "x / y", [1.0], [2.0], goal=Goal(1.03, "≤ 1.03"), note="n"), failed("b", "z", "gone")]
    measuring.tell(findings, tmp_path / "found.jsonl")
    assert measuring.read(tmp_path / "found.jsonl") == findings
    assert capsys.readouterr().out.strip() == table(findings)


def test_every_group_is_run_and_every_script_is_there() -> None:
    scripts = {script for script, *_ in run_all.GROUPS.values()}
    apart = {"archive_upload.py", "store.py"}  # they take gigabytes of disk, or a file system that clones
    assert scripts | {"run_all.py", "simulated.py", "digesting.py"} | apart == set(SCRIPTS)


def test_the_page_names_date_machine_and_versions() -> None:
    text = run_all.page([compared("a", "x / y", [1.0], [2.0])], 0.1, quick=False, took_s=60)
    for part in (time.strftime("%Y-%m-%d"), "cores of", "Python 3.", "casatasks", "commit", "`make bench`"):
        assert part in text
    assert "not results" in run_all.page([], 0.1, quick=True, took_s=1)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_explains_itself_quickly(script: str) -> None:
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "benchmarks" / script), "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert script in done.stdout
    assert time.monotonic() - began < 10


def test_an_impossible_number_of_repeats_is_refused() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "start.py"), "--repeats", "0"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--repeats is at least 1" in done.stderr


SEEN = """
import os, subprocess, sys, time
import memory
held = bytearray(b"x") * (256 * 2**20)
inner = "import time; held = bytearray(b'x') * (64 * 2**20); print(flush=True); time.sleep(60)"
command = ["sh", "-c", f'{sys.executable} -c "{inner}"; true']
with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
    try:
        child.stdout.readline()
        with memory.PeakMemory(every_s=0.01) as peak:
            time.sleep(0.05)
    finally:
        os.killpg(child.pid, 9)
print(peak.pss_mb, peak.rss_mb)
"""


def test_the_memory_of_children_and_theirs_is_seen() -> None:
    # A shell whose child holds 64 MB; the 256 MB of the parent do not count. A process of its own, because other
    # tests leave kernels as children of this one.
    command = [sys.executable, "-c", SEEN]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    pss_mb, rss_mb = map(float, done.stdout.split())
    assert 64 * 2**20 / 1e6 <= pss_mb <= rss_mb < 200


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
def test_a_simulated_measurement_set_is_like_a_real_one(tmp_path: Path) -> None:
    if casadata_path() is None:
        pytest.skip("CASA's data are not installed: pip install casadata")
    import numpy as np

    from casaprov.readers.installed import table_reader
    from simulated import caltables, simulated_ms, size_of

    ms = simulated_ms(tmp_path, 0.03)
    assert simulated_ms(tmp_path, 0.03) == ms
    assert size_of(ms) == pytest.approx(0.03e9, rel=0.2)
    table = table_reader().open(ms)
    try:
        assert table.rows % 351 == 0  # 27 antennas
        assert table.columns["DATA"].type == "complex64"
        for column in ("DATA", "MODEL_DATA", "CORRECTED_DATA"):
            values = next(table.blocks(column, max_bytes=2**20)).values
            assert values is not None
            assert values.shape[1:] == (256, 4)
            assert len(np.unique(values)) == values.size
    finally:
        table.close()
    assert all((tmp_path / name).is_dir() for name in caltables(tmp_path, ms))


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
def test_cells_run_with_and_without_recording() -> None:
    from notebook_runs import LOAD, ngc5921_fits, run_cells

    cells = [f"from casatasks import importuvfits\nimportuvfits({str(ngc5921_fits())!r}, 'n.ms')"]
    recorded, plain = run_cells([LOAD, *cells], memory=True), run_cells(["pass", "answer = 42"])
    assert [activity.task for activity in recorded.activities] == ["importuvfits"]
    assert len(recorded.seconds) == len(plain.seconds) == 2
    assert recorded.journal_bytes > 1000
    assert recorded.memory["kernel"] > 50e6
    assert plain.activities == ()
    assert plain.journal_bytes == 0
