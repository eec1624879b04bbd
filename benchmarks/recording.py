"""(a) What recording costs: the NGC 5921 example with and without it.

    python benchmarks/recording.py [--repeats 3] [--short] [--bare]

Each run is a fresh process in an empty folder; the cells are timed, not the start
of the process. They run in an IPython shell, and again in a Jupyter kernel, which also shows
logs and tables. The record tells how long the user waited for casaprov in each
call; that sum is told beside the ratio of the wall times.

Others may use the machine: the sum of the medians of each cell is told as well, for which it takes
ten pairs or so. With ``--short`` tclean makes ten channels and cleans none: half the time, and the same calls.
What recording adds stands out better from what tclean differs by; ratios are those of another example.
``--bare`` leaves out all but the two sides that the goal is about, for many pairs in little time.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import TypeVar

import measuring
from measuring import Finding, Goal, compared, guarded, in_turns, number
from notebook_runs import EXAMPLE, Run, cells_of, run_cells, run_in_kernel

# In the cell that loads casaprov: everything is recorded as usual, but no file is read for a digest.
UNREAD = """
import itertools
from concurrent.futures import Future
from casaprov.digests.measurement import Measurement
from casaprov.hashing import digest_record
from casaprov.digests.digester import Digester
_count = itertools.count()
def _submit(digester, path, *, tier="full", stamps=None):
    done = Future()
    done.set_result(Measurement(kind="File", content_digest=digest_record("none/1", next(_count)), size_bytes=0))
    return done
Digester.submit, Digester.start = _submit, lambda digester: None
"""

_RECORDED = cells_of(EXAMPLE, recorded=True)
SIDES = {
    "recorded": _RECORDED,
    "plain": cells_of(EXAMPLE, recorded=False),
    "no digests": [UNREAD + _RECORDED[0], *_RECORDED[1:]],
}
T = TypeVar("T")
SHORTER = {"niter=6000": "niter=0", "nchan=46": "nchan=10"}


def measure(repeats: int, *, short: bool = False, bare: bool = False) -> list[Finding]:
    """Run the example with and without recording, in turns."""
    sides = {side: [_shortened(cell) for cell in cells] if short else cells for side, cells in SIDES.items()}
    example, wall = ("NGC 5921 with little imaging", None) if short else ("NGC 5921", Goal(1.03, "≤ 1.03"))
    found = in_turns(
        {side: partial(run_cells, cells) for side, cells in sides.items() if not bare or side != "no digests"},
        repeats,
    )
    runs, without = found["recorded"], found["plain"]
    _check([*runs, *found.get("no digests", ())])
    recorded, plain = _seconds(runs), _seconds(without)
    calls = len(runs[0].activities)
    return [
        compared("a", f"{example}, {calls} calls: recorded / plain", recorded, plain, goal=wall),
        _cell_by_cell([run.seconds for run in runs], [run.seconds for run in without], goal=wall),
        *([] if bare else _other_sides(sides, repeats, _seconds(found["no digests"]), plain, wall)),
        *_added_to(runs, without),
    ]


def _other_sides(
    sides: dict[str, list[str]], repeats: int, unread: list[float], plain: list[float], wall: Goal | None
) -> list[Finding]:
    """Without digests, and in Jupyter kernels."""
    in_kernels = in_turns(
        {
            "recorded": lambda: run_in_kernel(sides["recorded"]),
            "plain": lambda: run_in_kernel(sides["plain"]),
            "without a name": lambda: run_in_kernel(sides["recorded"], named=False),
        },
        repeats,
    )
    shown = "the same, shown by a Jupyter kernel"
    unnamed = "the same, by a kernel that knows no notebook"
    seconds = {side: [sum(run) for run in runs] for side, runs in in_kernels.items()}
    return [
        compared("a", "the same, if digests took no time", unread, plain),
        compared("a", shown, seconds["recorded"], seconds["plain"], goal=wall),
        _cell_by_cell(in_kernels["recorded"], in_kernels["plain"], goal=wall, what=shown),
        compared("a", unnamed, seconds["without a name"], seconds["plain"], goal=wall),
        _cell_by_cell(in_kernels["without a name"], in_kernels["plain"], goal=wall, what=unnamed),
    ]


def _added_to(runs: list[Run], without: list[Run]) -> list[Finding]:
    """Tell what recording added, in seconds; without tclean's cell as well, which differs most from one time to the next."""
    longest = max(range(len(without[0].seconds)), key=lambda cell: without[0].seconds[cell])
    but_longest = [[sum(_but(run.seconds, longest)) for run in side] for side in (runs, without)]
    parts = {
        "seconds that recording added, whole example": _added(_seconds(runs), _seconds(without)),
        "seconds that recording added, all cells but the longest": _added(*but_longest),
        "of these, the user's thread was computing": _added(
            [run.computed_s for run in runs], [run.computed_s for run in without]
        ),
        "of these, the user's thread was ready, and without a processor": _added(
            [run.queued_s for run in runs], [run.queued_s for run in without]
        ),
        "sum of what the record says the user waited": number([run.waited_s for run in runs]),
        "longest wait in one call": number([max(activity.waited_s for activity in run.activities) for run in runs]),
    }
    load = number([1000 * run.seconds[0] for run in runs])
    return [
        *(Finding(letter="a", what=what, number=found, unit="s") for what, found in parts.items()),
        Finding(letter="a", what="`%load_ext casaprov`", number=load, unit="ms"),
    ]


def _seconds(runs: list[Run]) -> list[float]:
    return [sum(run.seconds) for run in runs]


def _check(runs: list[Run]) -> None:
    """Refuse to compare with a recorder that did not do its work."""
    calls = len(runs[0].activities)
    problems = {problem for run in runs for activity in run.activities for problem in activity.problems}
    if not calls or problems or any(len(run.activities) != calls for run in runs):
        raise RuntimeError(f"not all was recorded: {[len(run.activities) for run in runs]} calls, {sorted(problems)}")


def _shortened(cell: str) -> str:
    for long, short in SHORTER.items():
        cell = cell.replace(long, short)
    return cell


def _cell_by_cell(
    ones: list[list[float]], others: list[list[float]], goal: Goal | None, what: str = "the same"
) -> Finding:
    """Compare medians of each cell, added up: what hits one cell of one run is in none of them.

    The smallest and the largest ratio are those when one pair is left out.
    """
    ratio = _sum_of_medians(ones) / _sum_of_medians(others)
    fewer = [
        _sum_of_medians(_but(ones, n)) / _sum_of_medians(_but(others, n)) for n in range(len(ones)) if len(ones) > 1
    ]
    return Finding(
        letter="a",
        what=f"{what}, cell by cell: medians added up",
        number=measuring.Number(ratio, min(fewer, default=ratio), max(fewer, default=ratio), len(ones)),
        goal=goal,
        sides=f"{_sum_of_medians(ones):.3g} s / {_sum_of_medians(others):.3g} s",
    )


def _sum_of_medians(runs: list[list[float]]) -> float:
    return sum((float(statistics.median(cell)) for cell in zip(*runs, strict=True)), 0.0)


def _but(all_of_them: list[T], number: int) -> list[T]:
    return all_of_them[:number] + all_of_them[number + 1 :]


def _added(ones: list[float], others: list[float]) -> measuring.Number:
    return number([one - other for one, other in zip(ones, others, strict=True)])


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--short", action="store_true", help="with little imaging")
    parser.add_argument("--bare", action="store_true", help="only with and without recording, in the bare shell")
    options = measuring.options(parser)
    chosen = {name: bool(options.chosen[name]) for name in ("short", "bare")}
    measuring.tell(
        guarded("a", "NGC 5921: recorded / plain", lambda: measure(options.repeats, **chosen)), options.output
    )


if __name__ == "__main__":
    main()
