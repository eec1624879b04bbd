"""(h) How long the CASA kernel takes until its first cell has run, against what one would start without it.

    python benchmarks/kernel_start.py [--repeats 5]

All sides run in turns in one go, each in a folder and a home folder of its own: a plain kernel
whose first cell imports casatasks and casatools, CASA's own shell (``python -m casashell``)
running nothing, and the CASA kernel. On a machine that others use, too, the time that the
processor spent says more than the time that passed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

from jupyter_client.manager import KernelManager

import measuring
from casaprov.casa.installed.data import prepare
from measuring import Finding, compared, guarded, in_turns

_TIMEOUT_S = 120


def kernel(arguments: list[str], cell: str) -> float:
    """Start a kernel and run a cell in it; return how long that took."""
    manager = KernelManager(kernel_name="python3")
    spec = manager.kernel_spec
    assert spec is not None
    spec.argv = [sys.executable, "-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}", *arguments]
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        began = time.perf_counter()
        manager.start_kernel(cwd=folder, env={**os.environ, "HOME": folder})
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=_TIMEOUT_S)
        client.execute_interactive(cell, timeout=_TIMEOUT_S, output_hook=lambda _message: None)
        took = time.perf_counter() - began
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return took


def processor_s() -> float:
    """Time that the processor has spent on child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shell() -> float:
    """Start CASA's own shell and end it; return how long that took."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        command = [sys.executable, "-m", "casashell", "--nologger", "--nogui", "-c", "pass"]
        environ = {**os.environ, "HOME": folder, "MPLBACKEND": "agg"}
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=environ, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return time.perf_counter() - began


def measure(repeats: int) -> list[Finding]:
    """Start all sides in turns; compare the CASA kernel with each of the others."""
    prepare()
    ours = "CASA kernel"
    sides: dict[str, Callable[[], float]] = {
        ours: lambda: kernel(["--ext", "casaprov.casa_kernel"], "tclean"),
        "plain kernel, import casatasks, casatools": lambda: kernel([], "import casatasks, casatools"),
        "CASA's own shell": shell,
    }
    found = in_turns({name: partial(_timed, side) for name, side in sides.items()}, repeats)
    passed, spent = ({name: [times[which] for times in found[name]] for name in sides} for which in (0, 1))
    told = []
    for name in sides:
        if name != ours:
            told.append(compared("h", f"until the first cell has run: {ours} / {name}", passed[ours], passed[name]))
            told.append(compared("h", f"the same, of the processor: {ours} / {name}", spent[ours], spent[name]))
    return told


def _timed(side: Callable[[], float]) -> tuple[float, float]:
    """Time that passed, and time that the processor spent."""
    before = processor_s()
    return side(), processor_s() - before


def main() -> None:
    """Measure, and tell."""
    options = measuring.options(measuring.parser(__doc__, repeats=5))
    measuring.tell(guarded("h", "start of the CASA kernel", lambda: measure(options.repeats)), options.output)


if __name__ == "__main__":
    main()
