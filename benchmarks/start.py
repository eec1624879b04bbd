"""(g) What there is to pay before the first call, and what the notebook grows by.

    python benchmarks/start.py [--repeats 5]

``import casaprov`` in a fresh interpreter, whose own start is left out, and which
modules it loads; then the example is run by ``casaprov run``, and what casaprov put
into the notebook is counted: bundles, logs and tables in the outputs, and the index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

import measuring
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from measuring import TIMEOUT_S, Finding, Goal, guarded, number
from notebook_runs import EXAMPLE

__all__ = ["executed", "import_ms", "notebook_bytes"]

IMPORT = Goal(150, "≤ 150 ms")
GROWTH = Goal(5, "≤ 5 kB")
FOREIGN = ("casatasks", "casatools", "casashell", "casacore", "casaconfig")

_IMPORT = """
import json, sys, time
began = time.perf_counter()
import casaprov
took = time.perf_counter() - began
print(json.dumps([1000 * took, sorted(sys.modules)]))
"""


def import_ms() -> float:
    """Milliseconds that ``import casaprov`` takes.

    Raises
    ------
    RuntimeError
        If it loads CASA.
    """
    done = subprocess.run([sys.executable, "-c", _IMPORT], check=True, capture_output=True, text=True)
    took, modules = json.loads(done.stdout)
    if loaded := [name for name in FOREIGN if name in modules]:
        raise RuntimeError(f"import casaprov loads {', '.join(loaded)}")
    return float(took)


def executed(notebook: Path, folder: Path) -> tuple[Path, int]:
    """Run a copy of a notebook in a folder by ``casaprov run``; return it and the number of recorded calls."""
    copy = Path(shutil.copy(notebook, folder))
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "casaprov", "run", str(copy)]
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S
    )
    if done.returncode:
        raise RuntimeError(f"{notebook.name} did not run: {done.stderr.strip()[-500:]}")
    return copy, len(read_document(journal_folder(copy), copy.name).activities)


def notebook_bytes(notebook: Path) -> int:
    """Bytes that casaprov put into an executed notebook."""
    read = nbformat.read(notebook, as_version=4)
    bundles = sum(
        len(json.dumps(data))
        for cell in read.cells
        for output in cell.get("outputs", ())
        for mime, data in output.get("data", {}).items()
        if "casaprov" in mime or (mime.startswith("text/") and output["output_type"] == "display_data")
    )
    return bundles + len(json.dumps(read.metadata.get("casaprov", {})))


def measure(repeats: int) -> list[Finding]:
    """Measure both."""
    told = guarded("g", "`import casaprov`", lambda: [_imported(repeats)])
    return told + guarded("g", "notebook growth per call", lambda: [_grown()])


def _imported(repeats: int) -> Finding:
    import_ms()  # compiles, and reads the files once
    milliseconds = number([import_ms() for _ in range(repeats)])
    return Finding(letter="g", what="`import casaprov`, no CASA loaded", number=milliseconds, unit="ms", goal=IMPORT)


def _grown() -> Finding:
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        notebook, calls = executed(EXAMPLE, Path(folder))
        grown = number([notebook_bytes(notebook) / 1000 / calls])
    return Finding(
        letter="g", what=f"notebook growth per call, NGC 5921, {calls} calls", number=grown, unit="kB", goal=GROWTH
    )


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__, repeats=5)
    options = measuring.options(parser)
    measuring.tell(measure(options.repeats), options.output)


if __name__ == "__main__":
    main()
