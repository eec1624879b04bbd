"""Run the cells of a notebook in a fresh process, with or without recording."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.manager import start_new_kernel

import casaprov
from casaprov.casa.installed.data import casadata_path, prepare
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.notebook_name import NOTEBOOK_VARIABLE
from casaprov.records.model import Activity
from measuring import TIMEOUT_S

__all__ = ["EXAMPLE", "LOAD", "Run", "cells_of", "ngc5921_fits", "run_cells", "run_in_kernel", "script_of"]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "ngc5921.ipynb"
LOAD = "%load_ext casaprov"

# Times the cells inside the kernel: starting a kernel is not what recording costs.
# IPython's terminal and its kernel both import asyncio; the bare shell does not.
_RUN = """
import asyncio, json, sys, time
from IPython.core.interactiveshell import InteractiveShell
import matplotlib
matplotlib.use("agg")
shell = InteractiveShell.instance()
def spent():
    with open("/proc/thread-self/schedstat") as told:
        return [int(nanoseconds) / 1e9 for nanoseconds in told.read().split()[:2]]
took = []
before = spent()
for source in json.load(open(sys.argv[1])):
    began = time.perf_counter()
    shell.run_cell(source, store_history=True).raise_error()
    took.append(time.perf_counter() - began)
computed, queued = (after - start for start, after in zip(before, spent()))
if len(sys.argv) > 2:
    sys.path.append(sys.argv[2])
    from memory import descendants, memory_of
    import os
    told = {"kernel": memory_of(os.getpid())[0], "workers": sum(memory_of(pid)[0] for pid in descendants(os.getpid()))}
else:
    told = {}
print("\\n" + json.dumps([took, computed, queued, told]))
"""


@dataclass(frozen=True)
class Run:
    """What running cells gave.

    Attributes
    ----------
    seconds
        How long each cell took.
    computed_s, queued_s
        Processor time of the user's thread, and how long it was ready and had no processor.
    activities
        What was recorded.
    journal_bytes
        Size of the journal's folder at the end.
    memory
        PSS of ``kernel`` and ``workers`` after the last cell, in bytes, if asked for.
    """

    seconds: list[float]
    computed_s: float
    queued_s: float
    activities: tuple[Activity, ...]
    journal_bytes: int
    memory: dict[str, int]

    @property
    def waited_s(self) -> float:
        """Seconds that the user waited for casaprov, as the record says."""
        return sum(activity.waited_s for activity in self.activities)


def cells_of(notebook: Path, *, recorded: bool) -> list[str]:
    """Source of a notebook's code cells, with or without the line that loads casaprov.

    Other lines of magics are left out: they choose how pictures are shown, and here nobody looks.
    """
    cells = [
        cell.source.splitlines() for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"
    ]
    plain = ["\n".join(line for line in cell if not line.startswith("%")) for cell in cells]
    return [LOAD if recorded else "pass", *plain]


def script_of(notebook: Path) -> str:
    """Return the code cells as a plain script, without magics; pictures are drawn and not shown."""
    return "\n".join(["import matplotlib", 'matplotlib.use("agg")', *cells_of(notebook, recorded=False), ""])


def run_cells(cells: Sequence[str], *, memory: bool = False, before: Callable[[Path], None] | None = None) -> Run:
    """Run cells in a fresh process and folder, with a cache of digests that is empty at first.

    Parameters
    ----------
    memory
        Look at the memory of kernel and workers at the end.
    before
        Called with the folder before the cells run: puts data there.
    """
    _prepare()
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as name:
        folder = Path(name, "work")
        folder.mkdir()
        if before is not None:
            before(folder)
        source, notebook = Path(name, "cells.json"), folder / "bench.ipynb"
        source.write_text(json.dumps(list(cells)))
        command = [sys.executable, "-c", _RUN, str(source)]
        command += [str(Path(__file__).parent)] if memory else []
        environment = {
            **os.environ,
            NOTEBOOK_VARIABLE: str(notebook),
            "XDG_CACHE_HOME": f"{name}/cache",
            "IPYTHONDIR": f"{name}/ipython",
        }
        done = subprocess.run(
            command, cwd=folder, check=False, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S
        )
        if done.returncode:
            raise RuntimeError(f"the cells did not run: {done.stderr.strip()[-500:]}")
        seconds, computed, queued, sizes = json.loads(done.stdout.splitlines()[-1])
        journal = journal_folder(notebook)
        if not journal.is_dir():
            return Run(seconds, computed, queued, (), 0, sizes)
        size = sum(file.stat().st_size for file in journal.rglob("*") if file.is_file())
        return Run(seconds, computed, queued, read_document(journal, notebook.name).activities, size, sizes)


def run_in_kernel(cells: Sequence[str], *, named: bool = True) -> list[float]:
    """Run cells in a fresh Jupyter kernel and folder; return how long each took until its reply came.

    Parameters
    ----------
    named
        Whether the kernel knows its notebook, as in JupyterLab; in nbclient and papermill it does not.
    """
    _prepare()
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as name:
        folder = Path(name, "work")
        folder.mkdir()
        notebook = folder / "bench.ipynb"
        notebook.write_text("{}")
        environment = {**os.environ, "XDG_CACHE_HOME": f"{name}/cache", "IPYTHONDIR": f"{name}/ipython"}
        environment |= {"JPY_SESSION_NAME": str(notebook)} if named else {}
        manager, client = start_new_kernel(
            cwd=str(folder), env=environment, extra_arguments=["--IPKernelApp.log_level=CRITICAL"]
        )
        try:
            client.execute_interactive("%matplotlib inline", timeout=TIMEOUT_S, output_hook=lambda _message: None)
            took = []
            for source in cells:
                began = time.perf_counter()
                reply = client.execute_interactive(source, timeout=TIMEOUT_S, output_hook=lambda _message: None)
                took.append(time.perf_counter() - began)
                if reply["content"]["status"] != "ok":
                    raise RuntimeError(f"the cells did not run: {reply['content'].get('evalue', '')}")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        if LOAD in cells and not any(folder.glob(".casaprov/*/*.jsonl")):
            raise RuntimeError("nothing was recorded")
        return took


def _prepare() -> None:
    """Point CASA to its data, and give casaprov the bytecode that pip gives what it installs."""
    prepare()
    compileall.compile_dir(Path(casaprov.__file__).parent, quiet=2)


def ngc5921_fits() -> Path:
    """Return the observation that comes with CASA's data.

    Raises
    ------
    RuntimeError
        If CASA's data are not installed.
    """
    data = casadata_path()
    if data is None:
        raise RuntimeError("CASA's data are not installed: pip install casadata")
    return data / "demo" / "NGC5921.fits"
