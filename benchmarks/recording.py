"""What recording costs: the NGC 5921 example with and without it, and what a short call pays.

    python benchmarks/recording.py [--repeats 3] [--output results.md]

Both sides run in turns in one go; the ratio of their medians is what counts,
for machines differ and are shared.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat

from casaprov.casa.data import casadata_path, prepare
from casaprov.journal import journal_folder, read_document

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "ngc5921.ipynb"
SHORT_CALLS = 200
_LOAD = "%load_ext casaprov"

# Times the cells inside the kernel: starting a kernel is not what recording costs.
_RUN = """
import json, sys, time
from IPython.core.interactiveshell import InteractiveShell
import matplotlib
matplotlib.use("agg")
shell = InteractiveShell.instance()
shell.user_ns["__session__"] = sys.argv[2]  # what Jupyter tells a kernel about its notebook
began = time.perf_counter()
for source in json.load(open(sys.argv[1])):
    shell.run_cell(source).raise_error()
took = time.perf_counter() - began
print("\\n" + json.dumps(took))
"""


def cells_of(notebook: Path, *, recorded: bool) -> list[str]:
    """Source of a notebook's code cells, with or without the line that loads casaprov."""
    sources = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    plain = [source.replace(_LOAD, "pass") for source in sources]
    return [_LOAD, *plain] if recorded else plain


def seconds(cells: list[str]) -> list[float]:
    """Run cells in a fresh process and folder; return how long each took."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        source = Path(folder, "cells.json")
        source.write_text(json.dumps(cells))
        command = [sys.executable, "-c", _RUN, str(source), str(Path(folder, "bench.ipynb"))]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        took: list[float] = json.loads(done.stdout.splitlines()[-1])
        return took


def in_turns(sides: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Measure each side `repeats` times, one after the other."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            found[name].append(side())
    return found


def row(what: str, found: dict[str, list[float]], unit: str = "s") -> str:
    """A line of the table: medians of both sides, their ratio, and the spread of the paired ratios."""
    (first, ones), (second, others) = found.items()
    ratios = sorted(a / b for a, b in zip(ones, others, strict=True))
    a, b = statistics.median(ones), statistics.median(others)
    return f"| {what} | {first}: {a:.3g} {unit} | {second}: {b:.3g} {unit} | {a / b:.3f} | {ratios[0]:.3f} to {ratios[-1]:.3f} |"


def short_calls(*, recorded: bool) -> float:
    """Milliseconds of one listobs on an unchanged MeasurementSet."""
    data = casadata_path()
    assert data is not None
    fits = data / "demo" / "NGC5921.fits"
    cells = [
        *([_LOAD] if recorded else []),
        f"from casatasks import importuvfits, vishead\nimportuvfits({str(fits)!r}, 'n.ms')",
        "for n in range(5): vishead('n.ms', mode='list')",
        f"for n in range({SHORT_CALLS}): vishead('n.ms', mode='list')",
    ]
    return seconds(cells)[-1] / SHORT_CALLS * 1000


def import_ms() -> float:
    """Milliseconds that ``import casaprov`` takes, the interpreter's start left out."""
    code = "import time; t = time.perf_counter(); import casaprov; print((time.perf_counter() - t) * 1000)"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def growth(folder: Path) -> tuple[float, int]:
    """Kilobytes that the executed example grew by per recorded call, pictures aside, and the number of calls."""
    notebook = folder / EXAMPLE.name
    shutil.copy(EXAMPLE, notebook)
    command = [sys.executable, "-m", "casaprov", "run", str(notebook)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    calls = len(read_document(journal_folder(notebook), notebook.name).activities)
    executed = nbformat.read(notebook, as_version=4)
    bundles = sum(
        len(json.dumps(data))
        for cell in executed.cells
        for output in cell.get("outputs", ())
        for mime, data in output.get("data", {}).items()
        if "casaprov" in mime or (mime.startswith("text/") and output["output_type"] == "display_data")
    )
    return (bundles + len(json.dumps(executed.metadata.get("casaprov", {})))) / 1000 / calls, calls


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    prepare()
    began = time.strftime("%Y-%m-%d")
    example = in_turns(
        {
            "recorded": lambda: sum(seconds(cells_of(EXAMPLE, recorded=True))),
            "plain": lambda: sum(seconds(cells_of(EXAMPLE, recorded=False))),
        },
        options.repeats,
    )
    short = in_turns(
        {"recorded": lambda: short_calls(recorded=True), "plain": lambda: short_calls(recorded=False)}, options.repeats
    )
    added = statistics.median(a - b for a, b in zip(short["recorded"], short["plain"], strict=True))
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        grown, calls = growth(Path(folder))
    lines = [
        f"`python benchmarks/recording.py --repeats {options.repeats}`, {began}",
        "",
        "| what | one side | other side | ratio of medians | paired ratios |",
        "|---|---|---|---|---|",
        row("NGC 5921, all cells", example),
        row(f"a short call (vishead), one of {SHORT_CALLS}", short, "ms"),
        "",
        f"- added per short call: {added:.1f} ms",
        f"- `import casaprov`: {statistics.median(import_ms() for _ in range(5)):.0f} ms",
        f"- notebook growth per call: {grown:.2f} kB ({calls} calls)",
    ]
    text = "\n".join(lines)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
