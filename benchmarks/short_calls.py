"""(d) What a short call pays on a MeasurementSet that does not change.

    python benchmarks/short_calls.py [--size 1] [--calls 1000] [--task vishead] [--repeats 3]

The calls are made in one cell, with and without recording in turns, on a copy of
a simulated MeasurementSet of 1 GB. Five calls before them pay for the first digest.
"""

from __future__ import annotations

from pathlib import Path

import measuring
from measuring import Finding, Goal, compared, guarded, in_turns, number
from notebook_runs import LOAD, Run, run_cells
from simulated import copy_of, read_once, simulated_ms, size_of

ADDED = Goal(10, "≤ 10 ms")
TASKS = {"vishead": "vishead({ms!r}, mode='list')", "listobs": "listobs({ms!r})"}


def run(ms: Path, task: str, calls: int, *, recorded: bool) -> Run:
    """Make the calls in a fresh process and folder."""
    call = TASKS[task].format(ms=ms.name)
    cells = [
        LOAD if recorded else "pass",
        f"from casatasks import {task}",
        f"for n in range(5): {call};",
        f"for n in range({calls}): {call};",
    ]
    return run_cells(cells, before=lambda folder: read_once(copy_of(ms, folder)))


def measure(cache: Path, size_gb: float, task: str, calls: int, repeats: int) -> list[Finding]:
    """Measure both sides in turns."""
    ms = simulated_ms(cache, size_gb)
    found = in_turns(
        {
            "recorded": lambda: run(ms, task, calls, recorded=True),
            "plain": lambda: run(ms, task, calls, recorded=False),
        },
        repeats,
    )
    recorded, plain = ([1000 * run.seconds[-1] / calls for run in found[side]] for side in ("recorded", "plain"))
    added = number([one - other for one, other in zip(recorded, plain, strict=True)])
    # The first calls wait for the digest of the whole MeasurementSet: they are not short.
    waited = [1000 * sum(call.waited_s for call in run.activities[-calls:]) / calls for run in found["recorded"]]
    what = f"{task}, {calls} calls on {size_of(ms) / 1e9:.2f} GB"
    return [
        Finding(letter="d", what=f"added per call: {what}", number=added, unit="ms", goal=ADDED),
        compared("d", f"recorded / plain: {what}", recorded, plain, unit="ms"),
        Finding(letter="d", what=f"waited per call, as recorded: {what}", number=number(waited), unit="ms"),
    ]


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--size", type=float, default=1, metavar="GB", help="size of the MeasurementSet (default 1)")
    parser.add_argument("--calls", type=int, default=1000, metavar="N", help="number of calls (default 1000)")
    parser.add_argument("--task", choices=sorted(TASKS), default="vishead", help="task to call (default vishead)")
    options = measuring.options(parser)
    size, task, calls = (options.chosen[name] for name in ("size", "task", "calls"))
    measuring.tell(
        guarded("d", "short calls", lambda: measure(options.cache, size, task, calls, options.repeats)),
        options.output,
    )


if __name__ == "__main__":
    main()
