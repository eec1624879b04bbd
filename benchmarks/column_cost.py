"""(i) What a byte of a column costs on its way into a digest, one process, one thread.

    python benchmarks/column_cost.py [--repeats 3] [--size 1]

DATA of a simulated MeasurementSet is read as a digest reads it, then hashed, then
sketched, then all three as :func:`casaprov.digests.table.column_part` does it.
Told is the time of the processor, user and system, per GB of values.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import measuring
from measuring import Finding, guarded, in_turns, number
from simulated import read_once, simulated_ms

COLUMN = "DATA"


def costs(ms: Path, repeats: int) -> list[Finding]:
    """Measure the parts of the way, and the whole, in turns."""
    # One thread, as in a worker; numpy reads this when it is loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    from casaprov.digests.sketch import Sketcher
    from casaprov.digests.table import READ_BYTES, Part, column_part, count_values
    from casaprov.readers.casacore_tables import CasacoreReader

    table = CasacoreReader().open(ms)
    runs = table.runs(COLUMN)
    count = count_values(runs)

    def read(use: Callable[[memoryview], object]) -> None:
        for values in table.stretch(COLUMN, runs, 0, 0, count, max_bytes=READ_BYTES):
            use(values.data)

    def seconds(work: Callable[[], object]) -> float:
        before = os.times()
        work()
        after = os.times()
        return (after.user + after.system - before.user - before.system) / (8 * count / 1e9)

    block = next(iter(table.stretch(COLUMN, runs, 0, 0, READ_BYTES // 8, max_bytes=READ_BYTES))).copy()
    hasher, sketcher = hashlib.sha256(), Sketcher()

    def again(use: Callable[[], object]) -> None:
        for _ in range(count // block.size):
            use()

    sides = {
        "reading, python-casacore": lambda: seconds(lambda: read(len)),
        "sha256": lambda: seconds(lambda: again(lambda: hasher.update(block.data.cast("B")))),
        "sketch": lambda: seconds(lambda: again(lambda: sketcher.update(block))),
        "all three": lambda: seconds(lambda: column_part(table, COLUMN, Part(runs, 0, 0, 0, count, count))),
    }
    found = in_turns(sides, repeats)
    table.close()
    return [
        Finding(letter="i", what=f"one GB of {COLUMN}: {name}", number=number(found[name]), unit="s") for name in sides
    ]


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
