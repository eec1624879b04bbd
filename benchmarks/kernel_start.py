"""How long the CASA kernel takes until its first cell has run, against what one would start without it.

    python benchmarks/kernel_start.py [--repeats 5]

All sides run in turns in one go, each in a folder and a home folder of its own: a plain kernel
whose first cell imports casatasks and casatools, CASA's own shell (``python -m casashell``)
running nothing, and the CASA kernel. On a machine that others use, too, the time that the
processor spent says more than the time that passed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from jupyter_client.manager import KernelManager

from casaprov.casa.data import prepare

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


def main() -> None:
    """Print a table of medians, and what the CASA kernel adds to the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    prepare()
    sides: dict[str, Callable[[], float]] = {
        "plain kernel, import casatasks, casatools": lambda: kernel([], "import casatasks, casatools"),
        "CASA's own shell": shell,
        "CASA kernel": lambda: kernel(["--ext", "casaprov.casa_kernel"], "tclean"),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            before = processor_s()
            took = side()
            found[name].append((took, processor_s() - before))
    print("| until the first cell has run | time | of the processor | the CASA kernel adds | of the processor |")
    print("|---|---|---|---|---|")
    for name, measured in found.items():
        medians = [f"{statistics.median(column):.2f} s" for column in zip(*measured, strict=True)]
        for column in (0, 1):
            pairs = zip(found["CASA kernel"], measured, strict=True)
            medians.append(f"{statistics.median(ours[column] - theirs[column] for ours, theirs in pairs):+.2f} s")
        print(f"| {name} | {' | '.join(medians)} |")


if __name__ == "__main__":
    main()
