"""(i) The cost of a byte of a column on its way into a digest, one process, one thread.

    python benchmarks/column_cost.py [--repeats 3] [--size 1]

DATA of a simulated MeasurementSet is read as a digest reads it, then hashed, then
sketched, then all of that as :func:`casaprov.digests.table.column_part` does it: with the
sums over all values of its sketch, and without. The numbers are processor times, user
and system, per GB of values.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import measuring
from measuring import Finding, Goal, compared, guarded, in_turns, number
from simulated import read_once, simulated_ms

COLUMN = "DATA"
SUMS = Goal(1.15, "≤ 1.15")
ALL, WITHOUT_SUMS = "all", "all, without sums"


def costs(ms: Path, repeats: int) -> list[Finding]:
    """Measure the parts of the way, and the whole, in turns."""
    # One thread, as in a worker; numpy reads this when it is loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    from casaprov.digests import table as digests_of_tables
    from casaprov.digests.linear_sketch import LinearSketcher
    from casaprov.digests.sketch import Sketcher
    from casaprov.digests.table import READ_BYTES, Part, column_part, count_values
    from casaprov.readers.casacore_tables import CasacoreReader

    table = CasacoreReader().open(ms)
    runs = table.runs(COLUMN)
    count = count_values(runs)
    whole = Part(runs, first_row=0, first=0, place=0, count=count, total=count)

    def read(use: Callable[[memoryview], object]) -> None:
        for values in table.stretch(COLUMN, runs, 0, 0, count, max_bytes=READ_BYTES):
            use(values.data)

    def seconds(work: Callable[[], object]) -> float:
        before = os.times()
        work()
        after = os.times()
        return (after.user + after.system - before.user - before.system) / (8 * count / 1e9)

    block = next(iter(table.stretch(COLUMN, runs, 0, 0, READ_BYTES // 8, max_bytes=READ_BYTES))).copy()
    hasher, statistics, sums = hashlib.sha256(), Sketcher(linear=False), LinearSketcher()

    def again(use: Callable[[], object]) -> None:
        for _ in range(count // block.size):
            use()

    def without_sums() -> None:
        with patch.object(digests_of_tables, "Sketcher", partial(Sketcher, linear=False)):
            column_part(table, COLUMN, whole)

    sides = {
        "reading, python-casacore": lambda: seconds(lambda: read(len)),
        "sha256": lambda: seconds(lambda: again(lambda: hasher.update(block.data.cast("B")))),
        "sketch, without sums": lambda: seconds(lambda: again(lambda: statistics.update(block))),
        "sketch, sums": lambda: seconds(lambda: again(lambda: sums.update(block))),
        ALL: lambda: seconds(lambda: column_part(table, COLUMN, whole)),
        WITHOUT_SUMS: lambda: seconds(without_sums),
    }
    found = in_turns(sides, repeats)
    table.close()
    costs = [
        Finding(letter="i", what=f"one GB of {COLUMN}: {name}", number=number(found[name]), unit="s") for name in sides
    ]
    return [*costs, compared("i", f"{COLUMN}: {ALL} / {WITHOUT_SUMS}", found[ALL], found[WITHOUT_SUMS], goal=SUMS)]


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--size", type=float, default=1, metavar="GB", help="size of the MeasurementSet (default 1)")
    options = measuring.options(parser)

    def measure() -> list[Finding]:
        ms = simulated_ms(options.cache, options.chosen["size"])
        read_once(ms)
        return costs(ms, options.repeats)

    measuring.tell(guarded("i", "cost of a column", measure), options.output)


if __name__ == "__main__":
    main()
