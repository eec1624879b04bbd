"""(e) How the costs grow with the size of the data, the number of calls, and what else lies in the folder.

    python benchmarks/growth.py [--sizes 1 3] [--large] [--calls 10 100 1000] [--tables 10 100] [--repeats 1]

Sizes: seconds of a full digest with warm workers, per GB, and the memory of all
workers, which must not grow. Calls: cells of one short call each on a small
MeasurementSet, with and without recording in turns: what is added per call, the
memory of kernel and workers at the end, the bytes in journal and notebook.
Tables: the same for 100 cells, with copies of the MeasurementSet beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

import measuring
from digesting import digest_warm
from measuring import Finding, Goal, guarded, in_turns, number
from notebook_runs import LOAD, Run, ngc5921_fits, run_cells
from simulated import read_once, simulated_ms, size_of
from start import executed, notebook_bytes

MEMORY = Goal(500, "≤ 500 MB")
ADDED = Goal(10, "≤ 10 ms")
GROWTH = Goal(5, "≤ 5 kB")
LARGE_GB = 10.0
CALLS_BESIDE_TABLES = 100


def sizes(cache: Path, size_gb: float, repeats: int) -> list[Finding]:
    """Digest a MeasurementSet of one size."""
    ms = simulated_ms(cache, size_gb)
    read_once(ms)
    size = size_of(ms) / 1e9
    took = [digest_warm(ms).seconds for _ in range(repeats)]
    peak = digest_warm(ms, memory=True)
    what = f"full digest of {size:.2f} GB"
    return [
        Finding(letter="e", what=what, number=number(took), unit="s"),
        Finding(letter="e", what=f"{what}, per GB", number=number([one / size for one in took]), unit="s"),
        Finding(letter="e", what=f"{what}: PSS of all workers", number=number([peak.pss_mb]), unit="MB", goal=MEMORY),
    ]


def _cells(calls: int, tables: int = 0) -> list[str]:
    """Cells of one call each, after the import of a small MeasurementSet, copies of it beside it, and a first call.

    No two are the same: that would be one cell run many times, after which casaprov looks for what became stale.
    """
    imported = f"from casatasks import importuvfits, vishead\nimportuvfits({str(ngc5921_fits())!r}, 'n.ms')"
    copied = f"import shutil\nfor n in range({tables}): shutil.copytree('n.ms', f'n{{n}}.ms')"
    call = "listed = vishead('n.ms', mode='list')"
    return [imported + "\n" + copied, call, *(f"{call}  # {number}" for number in range(calls))]


def _both_sides(cells: Sequence[str], repeats: int) -> dict[str, list[Run]]:
    return in_turns(
        {
            "recorded": lambda: run_cells([LOAD, *cells], memory=True),
            "plain": lambda: run_cells(["pass", *cells], memory=True),
        },
        repeats,
    )


def _added_ms(found: Mapping[str, Sequence[Run]], calls: int) -> list[float]:
    """Return what recording added per call, in each pair."""
    recorded, plain = ([1000 * sum(run.seconds[3:]) / calls for run in found[side]] for side in ("recorded", "plain"))
    return [one - other for one, other in zip(recorded, plain, strict=True)]


def beside_tables(tables: int, repeats: int) -> list[Finding]:
    """Run a notebook of short cells in a folder that holds many tables."""
    added = _added_ms(_both_sides(_cells(CALLS_BESIDE_TABLES, tables), repeats), CALLS_BESIDE_TABLES)
    what = f"beside {tables} other MeasurementSets: added per call"
    return [Finding(letter="e", what=what, number=number(added), unit="ms", goal=ADDED)]


def calls_of(calls: int, repeats: int) -> list[Finding]:
    """Run notebooks of many short cells."""
    found = _both_sides(_cells(calls), repeats)
    added = _added_ms(found, calls)
    journal = [run.journal_bytes / 1000 / len(run.activities) for run in found["recorded"]]
    workers = [run.memory["workers"] / 1e6 for run in found["recorded"]]
    kernel = [
        (one.memory["kernel"] - other.memory["kernel"]) / 1e6
        for one, other in zip(found["recorded"], found["plain"], strict=True)
    ]
    what = f"{calls} cells of one call"
    return [
        Finding(letter="e", what=f"{what}: added per call", number=number(added), unit="ms", goal=ADDED),
        Finding(letter="e", what=f"{what}: journal per call, trees with it", number=number(journal), unit="kB"),
        Finding(letter="e", what=f"{what}: kernel's PSS, recorded - plain", number=number(kernel), unit="MB"),
        Finding(letter="e", what=f"{what}: PSS of workers at the end", number=number(workers), unit="MB"),
        _notebook(calls, what),
    ]


def _notebook(calls: int, what: str) -> Finding:
    """Run the cells as a notebook and count what it grew by."""
    made = new_notebook(cells=[new_code_cell(cell) for cell in _cells(calls)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        source = Path(folder, "source", "calls.ipynb")
        source.parent.mkdir()
        nbformat.write(made, source)
        notebook, recorded = executed(source, Path(folder))
        grown = number([notebook_bytes(notebook) / 1000 / recorded])
    return Finding(letter="e", what=f"{what}: notebook per call", number=grown, unit="kB", goal=GROWTH)


def measure(
    cache: Path, sizes_gb: Sequence[float], calls: Sequence[int], tables: Sequence[int], repeats: int
) -> list[Finding]:
    """Measure each size and each number of calls and of tables."""
    told: list[Finding] = []
    for size in sizes_gb:
        told += guarded("e", f"full digest of {size:g} GB", lambda: sizes(cache, size, repeats))  # noqa: B023
    for count in calls:
        told += guarded("e", f"{count} cells of one call", lambda: calls_of(count, repeats))  # noqa: B023
    for count in tables:
        told += guarded("e", f"beside {count} other MeasurementSets", lambda: beside_tables(count, repeats))  # noqa: B023
    return told


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__, repeats=1)
    parser.add_argument("--sizes", type=float, nargs="*", default=[1.0, 3.0], metavar="GB", help="sizes (default 1 3)")
    parser.add_argument("--large", action="store_true", help=f"{LARGE_GB:g} GB as well: 11 GB on disk, 5 min to make")
    parser.add_argument(
        "--calls", type=int, nargs="*", default=[10, 100, 1000], metavar="N", help="calls (default 10 100 1000)"
    )
    parser.add_argument("--tables", type=int, nargs="*", default=[10, 100], metavar="N", help="tables (default 10 100)")
    options = measuring.options(parser)
    chosen = options.chosen
    sizes_gb = [*chosen["sizes"], *([LARGE_GB] if chosen["large"] else [])]
    measuring.tell(measure(options.cache, sizes_gb, chosen["calls"], chosen["tables"], options.repeats), options.output)


if __name__ == "__main__":
    main()
