"""A large file in the form in use: the server's memory does not grow with it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest

from checkout import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long]

_log = logging.getLogger(__name__)


def test_a_large_file_takes_no_memory() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "archive_upload.py"), "--gigabytes", "0.3"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "202 Accepted" in done.stdout
    _log.info(done.stdout)  # how long others waited meanwhile depends on the machine
    found = re.search(r"(-?\d+) MB over the start", done.stdout)
    assert found is not None
    assert int(found[1]) <= 100
