"""A child process that runs a module of the audit, traced or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from checkout import SUPPORT


def run_module(folder: Path, module: str, *arguments: Path, tracer: Sequence[str] = ()) -> None:
    """Run a module in a new folder, below the command of a tracer if there is one; it must succeed."""
    folder.mkdir()
    ran = subprocess.run(
        [*tracer, sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SUPPORT), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
