"""(k) How long a chain of calls that change one MeasurementSet waits.

    python benchmarks/chains.py [--calls 200] [--repeats 1]

``flagdata`` in a loop, each call with another selection, on a MeasurementSet of 3.4 MB split from NGC 5921: each call would
wait for the digest of the state that the one before it left. The time that the record says the user waited, over the
duration of the calls, with the cache off and on.
"""

from __future__ import annotations

import measuring
from measuring import Finding, Goal, compared, guarded
from notebook_runs import LOAD, Run, ngc5921_fits, run_cells

WAITING = Goal(0.05, "≤ 0.05")


def run(calls: int, *, cached: bool) -> Run:
    """Flag in a loop, in a fresh process and folder."""
    cells = [
        LOAD,
        f"%casaprov config cache {'on' if cached else 'off'}\n%casaprov config patience 5 %",
        "import casaprov, shutil\nfrom casatasks import flagdata, importuvfits, split",
        (
            f"with casaprov.nocache():\n    importuvfits({str(ngc5921_fits())!r}, 'n.ms')\n"
            "    split('n.ms', 'w.ms', datacolumn='data', spw='0:20~25')\nshutil.rmtree('n.ms')"
        ),
        (
            f"for n in range({calls}):\n"
            "    flagdata('w.ms', spw=f'0:{n % 6}', uvrange=f'>{800 + n}m', flagbackup=False)"
        ),
    ]
    return run_cells(cells)


def measure(calls: int, repeats: int) -> list[Finding]:
    """Measure with the cache off and on, in turns."""
    sides = {"off": lambda: run(calls, cached=False), "on": lambda: run(calls, cached=True)}
    findings = []
    for name, runs in measuring.in_turns(sides, repeats).items():
        chains = [[call for call in run.activities if call.task == "flagdata"] for run in runs]
        waited = [sum(call.waited_s for call in chain) for chain in chains]
        took = [sum(call.seconds or 0.0 for call in chain) for chain in chains]
        what = f"waiting / task time: {calls} flagdata in a loop, cache {name}"
        findings.append(compared("k", what, waited, took, goal=WAITING))
    return findings


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__, repeats=1)
    parser.add_argument("--calls", type=int, default=200, metavar="N", help="number of calls (default 200)")
    options = measuring.options(parser)
    calls = options.chosen["calls"]
    measuring.tell(guarded("k", "chains", lambda: measure(calls, options.repeats)), options.output)


if __name__ == "__main__":
    main()
