"""(j) What busy processes beside CASA cost it, by their priority: why workers yield.

    python benchmarks/yielding.py [--repeats 5]

The NGC 5921 example without casaprov, alone and beside one or two processes that do nothing
but hash, in turns in one go.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import measuring
from measuring import Finding, compared, guarded, in_turns
from notebook_runs import EXAMPLE, cells_of, run_cells

NICE = (5, 10, 19)
BUSY = """
import hashlib, os, sys
os.nice(int(sys.argv[1]))
data = os.urandom(2**25)
while True:
    hashlib.sha256(data).digest()
"""


@contextlib.contextmanager
def busy(processes: int, nice: int) -> Iterator[None]:
    """Keep processes busy for a while."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY, str(nice)]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def seconds(processes: int, nice: int) -> float:
    """Run the example beside busy processes; return how long it took."""
    with busy(processes, nice):
        return sum(run_cells(cells_of(EXAMPLE, recorded=False)).seconds)


def measure(repeats: int) -> list[Finding]:
    """Run the example alone and in company, in turns."""
    company = {f"{processes} busy at nice {nice}": (processes, nice) for nice in NICE for processes in (1, 2)}
    sides = {"alone": partial(seconds, 0, 0)} | {name: partial(seconds, *which) for name, which in company.items()}
    found = in_turns(sides, repeats)
    return [compared("j", f"NGC 5921, plain: beside {name} / alone", found[name], found["alone"]) for name in company]


def main() -> None:
    """Measure, and tell."""
    options = measuring.options(measuring.parser(__doc__, repeats=5))
    measuring.tell(guarded("j", "busy processes beside the example", lambda: measure(options.repeats)), options.output)


if __name__ == "__main__":
    main()
