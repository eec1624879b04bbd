"""``casaprov run``: executing a notebook under recording."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from casaprov.errors import RecordError, UsageError
from casaprov.journal import journal_folder, read_document
from casaprov.lineage import Lineage
from casaprov.model import Document
from casaprov.notebook.index import index_notebook
from casaprov.notebook.name import NOTEBOOK_VARIABLE

__all__ = ["CellFailure", "RunResult", "read_notebook", "run_notebook", "write_notebook"]

_LOAD = "%load_ext casaprov"


@dataclass(frozen=True, kw_only=True)
class CellFailure:
    """Why a run stopped before its last cell; `number` counts code cells from 1."""

    number: int
    message: str


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """An executed notebook, what was recorded of it, and where it stopped, if it did."""

    notebook: Path
    document: Document | None
    failure: CellFailure | None = None


def read_notebook(path: Path) -> NotebookNode:
    """Read and check a notebook.

    Raises
    ------
    UsageError
        If the file is missing or no notebook.
    """
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except FileNotFoundError:
        raise UsageError(f"There is no notebook {path}.", hint="Check the path.") from None
    except Exception as error:  # nbformat trips over odd files in many ways
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"{path} is no notebook that can be read: {told}", hint="Open it in Jupyter and save it again."
        ) from error
    return notebook


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook; the old file stays until the new one is complete."""
    part = path.with_name(f".{path.name}.part")
    try:
        nbformat.write(notebook, part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RecordError(f"The notebook {path} cannot be written: {error.strerror or error}.") from error


def run_notebook(
    source: Path,
    target: Path,
    *,
    kernel: str | None = None,
    timeout_s: float | None = None,
    on_cell: Callable[[int, int, str], None] = lambda _number, _count, _source: None,
) -> RunResult:
    """Execute `source` in the folder of `target` and write it there with its record.

    A notebook that does not load casaprov itself is recorded all the same. A
    failing cell ends the run; everything up to it is written.

    Parameters
    ----------
    kernel
        Name of the kernelspec; by default the notebook's own.
    timeout_s
        Longest time for one cell, in seconds; None for no limit.
    on_cell
        Called before each code cell with its number from 1, their count and its source.
    """
    notebook = read_notebook(source)
    _check_kernel(notebook, source, kernel)
    target.parent.mkdir(parents=True, exist_ok=True)
    loader = _add_loader(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell is not loader]
    numbers = {id(cell): number for number, cell in enumerate(code, start=1)}
    reached = 0

    def before(cell: NotebookNode, cell_index: int) -> None:  # noqa: ARG001 - nbclient passes both by name
        nonlocal reached
        if id(cell) in numbers:
            reached = numbers[id(cell)]
            on_cell(reached, len(code), cell.source)

    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        resources={"metadata": {"path": str(target.parent)}},
        on_cell_execute=before,
        # ipykernel warns about TCP on every start; what goes wrong in a cell is in the notebook.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        **({"kernel_name": kernel} if kernel else {}),
    )
    failure: CellFailure | None = None
    earlier = _sessions(journal_folder(target))
    try:
        client.execute(env={**os.environ, NOTEBOOK_VARIABLE: str(target.resolve())})
    except CellExecutionError as error:
        failure = CellFailure(number=reached, message=f"{error.ename}: {error.evalue}")
    except (CellTimeoutError, DeadKernelError) as error:
        failure = CellFailure(number=reached, message=str(error).strip().splitlines()[0])
    finally:
        if loader is not None:
            notebook.cells.remove(loader)
        document = _index(notebook, target, earlier)
        write_notebook(notebook, target)
    return RunResult(notebook=target, document=document, failure=failure)


def _check_kernel(notebook: NotebookNode, source: Path, kernel: str | None) -> None:
    name = kernel or notebook.metadata.get("kernelspec", {}).get("name") or NATIVE_KERNEL_NAME
    hint = "'jupyter kernelspec list' shows what there is; name one with --kernel."
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        raise UsageError(f"There is no Jupyter kernel {name!r}, which {source} asks for.", hint=hint) from None
    if spec.language.lower() != "python":
        raise UsageError(f"The kernel {name!r} of {source} runs {spec.language}; CASA's is Python.", hint=hint)


def _add_loader(notebook: NotebookNode) -> NotebookNode | None:
    if any(_LOAD in cell.source for cell in notebook.cells if cell.cell_type == "code"):
        return None
    loader: NotebookNode = nbformat.v4.new_code_cell(_LOAD)
    notebook.cells.insert(0, loader)
    return loader


def _index(notebook: NotebookNode, target: Path, earlier: frozenset[str]) -> Document | None:
    """Index what this run recorded; None if it called no task."""
    folder = journal_folder(target)
    sessions = _sessions(folder) - earlier
    if not sessions:
        notebook.metadata.pop("casaprov", None)
        return None
    document = Lineage(read_document(folder, target.name)).only(sessions)
    index_notebook(notebook, document, folder.relative_to(target.parent))
    return document


def _sessions(folder: Path) -> frozenset[str]:
    return frozenset(path.stem for path in folder.glob("*.jsonl"))
