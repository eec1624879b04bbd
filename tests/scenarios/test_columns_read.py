"""Columns that tasks read of a MeasurementSet, as the kernel saw it, are those of the task table."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from casaprov.tasks.reuse import CONTENT_COLUMNS
from casaprov.tasks.specs import load_specs

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long]

GAINS = {"solint": "inf", "refant": "3", "minsnr": 0.0}
IMAGE = {"imsize": 32, "cell": "30arcsec", "niter": 1}

CALLS: tuple[tuple[str, dict[str, object]], ...] = (
    ("gaincal", {"caltable": "g.G", **GAINS}),
    ("gaincal", {"caltable": "t.G", "gaintype": "T", "calmode": "p", "gaintable": ["g.G"], **GAINS}),
    ("bandpass", {"caltable": "b.B", "gaintable": ["g.G"], **GAINS}),
    ("blcal", {"caltable": "bl.M", "solint": "inf"}),
    ("split", {"outputvis": "data.ms", "datacolumn": "data"}),
    ("split", {"outputvis": "corrected.ms", "datacolumn": "corrected"}),
    ("mstransform", {"outputvis": "transformed.ms", "datacolumn": "data"}),
    ("mstransform", {"outputvis": "again.ms", "datacolumn": "corrected", "chanaverage": True, "chanbin": 2}),
    ("hanningsmooth", {"outputvis": "h.ms", "datacolumn": "data"}),
    ("phaseshift", {"outputvis": "p.ms", "datacolumn": "data", "phasecenter": "J2000 15h22m00 +05d04m00"}),
    ("tclean", {"imagename": "d", "datacolumn": "data", **IMAGE}),
    ("tclean", {"imagename": "c", "datacolumn": "corrected", "weighting": "briggs", **IMAGE}),
    ("exportuvfits", {"fitsfile": "d.fits", "datacolumn": "data"}),
    ("exportuvfits", {"fitsfile": "c.fits", "datacolumn": "corrected"}),
    ("visstat", {"datacolumn": "data", "axis": "amp"}),
    ("visstat", {"datacolumn": "corrected", "axis": "amp"}),
    ("listobs", {"listfile": "l.txt"}),
    ("gencal", {"caltable": "o.G", "caltype": "amp", "parameter": [2.0]}),
    ("uvmodelfit", {"niter": 2, "sourcepar": [1.0, 0.0, 0.0], "outfile": "fit.cl"}),
)
"""Calls on a MeasurementSet with all columns."""

PREPARE = """
import json, os, sys
import casatasks
from casatools import table
columns, calls = json.loads(sys.argv[1])
casatasks.setjy("w.ms", standard="manual", fluxdensity=[1, 0, 0, 0], usescratch=True)
casatasks.gaincal("w.ms", "first.G", solint="inf", refant="3", minsnr=0.0)
casatasks.applycal("w.ms", gaintable=["first.G"], flagbackup=False)
tb = table()
tb.open("w.ms")
managers = {name: facts["SEQNR"] for facts in tb.getdminfo().values() for name in facts["COLUMNS"] if name in columns}
tb.close()
open("managers.json", "w").write(json.dumps(managers))
def mark(name):
    try:
        os.rmdir(f"/casaprov-audit/{name}")
    except OSError:
        pass
failed = []
for number, (task, parameters) in enumerate(calls):
    mark(number)
    try:
        getattr(casatasks, task)(vis="w.ms", **parameters)
    except Exception as error:
        failed.append(f"{task}: {error}")
    mark("end")
print(json.dumps(failed))
"""

_MARK = re.compile(r'rmdir\("/casaprov-audit/(\w+)"')
_READ = re.compile(r"(?:read|pread64|readv|preadv|mmap)\(.*?<[^>]*/w\.ms/table\.f(\d+)(_TSM\d+)?>")


@pytest.fixture(scope="module")
def columns_read(small_ms: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, frozenset[str]]:
    """The columns of which each call read values."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    folder = tmp_path_factory.mktemp("columns")
    shutil.copytree(small_ms, folder / "w.ms")
    calls = json.dumps([CONTENT_COLUMNS, CALLS])
    trace = ["strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", "signal=none", "-o", "trace"]
    trace += ["-e", "trace=read,pread64,readv,preadv,mmap,rmdir"]
    run = [*trace, "-s", "64", sys.executable, "-c", PREPARE, calls]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
    managers = json.loads((folder / "managers.json").read_text())
    return dict(_read((folder / "trace").read_text(errors="replace").splitlines(), managers))


def _read(lines: list[str], managers: Mapping[str, int]) -> Iterator[tuple[int, frozenset[str]]]:
    found: dict[int, set[str]] = defaultdict(set)
    running = ""
    for line in lines:
        if mark := _MARK.search(line):
            running = mark[1]
        elif running.isdigit() and (read := _READ.search(line)) and read[2]:  # values lie in the tiles
            found[int(running)] |= {name for name, number in managers.items() if number == int(read[1])}
    return ((number, frozenset(found[number])) for number in range(len(CALLS)))


def test_no_call_reads_a_column_that_the_task_table_leaves_out(columns_read: dict[int, frozenset[str]]) -> None:
    present = frozenset(CONTENT_COLUMNS) - {"FLOAT_DATA", "WEIGHT_SPECTRUM", "SIGMA_SPECTRUM"}
    specs, wrong, left_unread = load_specs(), [], 0
    for number, (task, parameters) in enumerate(CALLS):
        unread = specs[task].reuse.unread_columns("vis", {"docallib": False, **parameters}, present)
        left_unread += bool(unread)
        if extra := unread & columns_read[number]:
            wrong.append(f"{task} {parameters} reads {sorted(extra)}")
    assert wrong == []
    assert left_unread >= 10
    assert {"DATA", "MODEL_DATA"} <= columns_read[0]  # a trace that saw nothing would agree with any table
