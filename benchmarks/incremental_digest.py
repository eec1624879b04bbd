"""(c) The digest after a task that changed some columns, against the task itself.

    python benchmarks/incremental_digest.py [--size 3.5] [--repeats 3]

flagdata, applycal and setjy change a copy of a simulated MeasurementSet whose
digest is known; the next digest need only read the columns that they wrote. It is
compared with the task before it, and with the full digest in the same process.
Then the same tasks run in a recorded session, where digests are computed while other code
runs, and who changes a file before that waits: once each task changes at once what the
one before it left, once somebody looks at the result for three seconds. What the user waited for
casaprov is in the record. CASA runs in this benchmark's process, the workers beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import measuring
from digesting import nothing_cached, warm_digester
from measuring import TIMEOUT_S, Finding, Goal, compared, guarded, number
from notebook_runs import LOAD, run_cells
from simulated import NOMINAL_GB, caltables, copy_of, read_once, simulated_ms, size_of

TASKS = ("flagdata", "applycal", "setjy")
APPLYCAL = Goal(0.10, "≤ 0.10")
PAUSE_S = 3


def calls(name: str, turn: int) -> dict[str, Any]:
    """Parameters of a task, which change the data anew at each turn."""
    given: dict[str, dict[str, Any]] = {
        "flagdata": {"mode": "manual", "antenna": str(turn % 27)},
        "applycal": {"gaintable": [("one.gcal", "two.gcal")[turn % 2]]},
        "setjy": {"standard": "manual", "fluxdensity": [2.0 + turn, 0, 0, 0], "usescratch": True},
    }
    return given[name]


def measure(cache: Path, size_gb: float, repeats: int) -> list[Finding]:
    """Measure in a copy, first the digests alone, then under recording."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-", dir=cache) as name:
        folder = Path(name)
        ms = copy_of(simulated_ms(cache, size_gb), folder)
        caltables(folder, ms)
        read_once(ms)
        size = f"{size_of(ms) / 1e9:.2f} GB"
        arguments = json.dumps({"ms": ms.name, "repeats": repeats})
        command = [sys.executable, __file__, "--child", arguments]
        environment = nothing_cached(f"{name}/cache")
        done = subprocess.run(
            command, cwd=name, check=False, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S
        )
        if done.returncode:
            raise RuntimeError(f"the tasks did not run: {done.stderr.strip()[-500:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        told: list[Finding] = []
        for task in TASKS:
            times = found[task]
            goal = APPLYCAL if task == "applycal" and size_gb >= NOMINAL_GB else None
            told.append(
                compared("c", f"digest after {task} / {task}", times["digest"], times["task"], goal=goal, note=size)
            )
            full = [found["full"]] * len(times["digest"])
            told.append(compared("c", f"digest after {task} / full digest", times["digest"], full, note=size))
        again = number([1000 * seconds for seconds in found["unchanged"]])
        told.append(Finding(letter="c", what=f"digest when nothing changed, {size}", number=again, unit="ms"))
    for when, pause_s in (("when it is changed again at once", 0), (f"when it is looked at for {PAUSE_S} s", PAUSE_S)):
        told += _recorded(cache, size_gb, repeats, f"{when}, {size}", pause_s)
    return told


def _recorded(cache: Path, size_gb: float, repeats: int, note: str, pause_s: int) -> list[Finding]:
    """Record the tasks as a notebook does; what a call left is waited for by the next one that changes it."""
    source = simulated_ms(cache, size_gb)

    def before(folder: Path) -> None:
        read_once(copy_of(source, folder))
        caltables(folder, folder / source.name)

    imports = f"import time\nfrom casatasks import {', '.join(TASKS)}, rmtables, vishead"
    cells = [LOAD, imports, f"vishead({source.name!r}, mode='list')"]
    for turn in range(repeats):
        for task in TASKS:
            given = ", ".join(f"{key}={value!r}" for key, value in calls(task, turn).items())
            # No two are the same: in a terminal a line that runs again waits, to say what is stale.
            cells += [f"{task}(vis={source.name!r}, {given})  # {turn}", f"time.sleep({pause_s})"]
    cells.append(f"rmtables({source.name!r})")
    calls_made = run_cells(cells, before=before).activities
    told = []
    for task in TASKS:
        pairs = [(one, following) for one, following in pairwise(calls_made) if one.task == task]
        waited = [following.waited_s for _, following in pairs]
        alone = [(one.seconds or 0.0) for one, _ in pairs]
        told.append(compared("c", f"recorded: waited after {task} / {task}", waited, alone, note=note))
    return told


def _child(ms: str, repeats: int) -> None:
    """Run the tasks and digest after each of them."""
    import casatasks

    path = Path(ms)
    digester = warm_digester(path)
    found: dict[str, Any] = {"full": _seconds(lambda: digester.measure(path)), "unchanged": []}
    for task in TASKS:
        found[task] = {"task": [], "digest": []}
    for turn in range(repeats):
        for task in TASKS:
            with contextlib.redirect_stdout(sys.stderr):
                function: Callable[..., Any] = getattr(casatasks, task)
                given = calls(task, turn)
                found[task]["task"].append(_seconds(lambda: function(vis=ms, **given)))  # noqa: B023
            # The digester waits until the files' stamps can be trusted: part of what the user would wait.
            found[task]["digest"].append(_seconds(lambda: digester.measure(path)))
            found["unchanged"].append(_seconds(lambda: digester.measure(path)))
    digester.close()
    print("\n" + json.dumps(found))


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--size", type=float, default=3.5, metavar="GB", help="size of the MeasurementSet (default 3.5)"
    )
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = measuring.options(parser)
    if options.chosen["child"]:
        _child(**options.chosen["child"])
        return
    size = options.chosen["size"]
    measuring.tell(
        guarded("c", "incremental digest", lambda: measure(options.cache, size, options.repeats)), options.output
    )


if __name__ == "__main__":
    main()
