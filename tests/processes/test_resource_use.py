"""Resources of a piece of work: its own, and nothing where they are not known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from casaprov.processes import resource_use
from casaprov.processes.resource_use import ResourceMeter

ALONE = """
import sys, tempfile
from casaprov.processes.resource_use import ResourceMeter
meter = ResourceMeter()
block = bytearray(b"x") * 200_000_000
with tempfile.TemporaryFile() as file:
    file.write(block[:3_000_000])
sum(range(5_000_000))
first = meter.used()
del block
second = ResourceMeter().used()
print(first.cpu_s, first.peak_memory_bytes, first.written_bytes, second.peak_memory_bytes)
"""


def test_a_process_measures_its_own_work_and_knows_no_peak_below_an_earlier_one() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    cpu, peak, written, later = done.stdout.split()
    assert float(cpu) > 0.01
    assert int(peak) > 200_000_000
    assert int(written) >= 3_000_000
    assert later == "None"


def test_what_the_system_does_not_count_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resource_use, "_text", lambda _: b"")
    used = ResourceMeter().used()
    assert (used.peak_memory_bytes, used.written_bytes) == (None, None)
    assert used.cpu_s >= 0
