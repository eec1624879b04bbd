"""Open files are left to CASA where they are few."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.casa.installed.data import DataSource
from casaprov.processes.descriptors import are_scarce

CALLS = (
    "importuvfits({fits!r}, 'n.ms')",
    "listobs('n.ms', listfile='l.txt')",
    "flagdata('n.ms', autocorr=True)",
    "vishead('n.ms', mode='list')",
)
SCRIPT = """
import os, resource, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell(sys.argv[1])
shell.run_cell("from casatasks import *")
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + int(sys.argv[2]),) * 2)
for cell in sys.argv[3:]:
    print("CALL", shell.run_cell(cell + ";").success, flush=True)
"""
SPARE = 40  # 36 are too few without recording: casatasks 6.7.0.31


@pytest.fixture
def limit() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_few_are_scarce_and_many_are_not(limit: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    open_files = sum(1 for _ in Path("/dev/fd").iterdir())
    for spare, expected in ((20, True), (100, True), (300, False), (5000, False)):
        if hard == resource.RLIM_INFINITY or open_files + spare <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files + spare, hard))
            assert are_scarce() is expected, spare


@pytest.mark.long
@pytest.mark.casa
def test_calls_that_have_just_enough_files_without_recording_have_them_with_it(
    casa_site_config: DataSource, ngc5921_fits: Path, tmp_path: Path
) -> None:
    cells = [call.format(fits=str(ngc5921_fits)) for call in CALLS]
    for first in ("", "%load_ext casaprov"):
        folder = tmp_path / ("recorded" if first else "plain")
        folder.mkdir()
        command = [sys.executable, "-c", SCRIPT, first, str(SPARE), *cells]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert ran.stdout.count("CALL True") == len(CALLS), ran.stdout + ran.stderr
