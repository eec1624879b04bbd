"""``casaprov run``: execution of a notebook under recording."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from casaprov.errors import CasaprovError, JournalError, UsageError
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, journals, session_id
from casaprov.lineage.graph import Lineage
from casaprov.lineage.saved_cells import cell_tags
from casaprov.notebook.adopt_sessions import adopt_sessions
from casaprov.notebook.cell_run import CellRun
from casaprov.notebook.index import complete_bundles, index_notebook, recorded_sessions
from casaprov.notebook.ipynb import check_target, read_notebook, save_notebook
from casaprov.notebook.kernelspec import records_itself
from casaprov.notebook.notebook_name import NOTEBOOK_VARIABLE, TAGGED_VARIABLE
from casaprov.processes.signals import signals
from casaprov.records.model import Document
from casaprov.records.wording import counted

__all__ = ["CellFailure", "RunResult", "run_notebook"]

_LOAD = "%load_ext casaprov"


@dataclass(frozen=True, kw_only=True)
class CellFailure:
    """The reason why a run stopped early; `number` counts code cells from 1, 0 is the kernel's start."""

    number: int
    message: str


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """An executed notebook, its record, and the cell that it stopped in, if it did.

    Attributes
    ----------
    notebook
        Path of the executed notebook; another one than the target if that could not be written.
    document
        Record of the calls of this run; None if no task was called, or it is lost.
    signal
        Number of the signal that stopped it, in the cell that `failure` names.
    problems
        Errors in writing the record or the notebook.
    """

    notebook: Path
    document: Document | None
    failure: CellFailure | None = None
    signal: int | None = None
    problems: tuple[CasaprovError, ...] = ()


def run_notebook(
    source: Path,
    target: Path,
    *,
    kernel: str | None = None,
    timeout_s: float | None = None,
    on_cell: Callable[[int, int, str], None] = lambda _number, _count, _source: None,
    variables: Mapping[str, str] | None = None,
) -> RunResult:
    """Execute `source` in the folder of `target` and write it there with its record.

    A notebook that does not load casaprov itself is recorded all the same. A failing cell ends the run, and so do the
    signals that end a process; all cells before are written.

    Parameters
    ----------
    kernel
        Name of the kernelspec; by default the notebook's own.
    timeout_s
        Longest time for one cell, in seconds; None for no limit.
    on_cell
        Called before each code cell with its number from 1, the count of code cells and its source; in another thread.
    variables
        Environment variables of the kernel, beside those of this process.

    Raises
    ------
    UsageError
        If `source` is no notebook, or there is no such kernel.
    RecordError
        If the executed notebook cannot be written: before the run to the folder of `target`, after it to any folder.
    """
    notebook = read_notebook(source)
    recorded = records_itself(_command(notebook, source, kernel))
    check_target(target)
    loader = None if recorded else _add_loader(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell is not loader]
    numbers = {id(cell): number for number, cell in enumerate(code, start=1)}
    reached = 0

    def before(cell: NotebookNode) -> None:
        nonlocal reached
        if id(cell) in numbers:
            reached = numbers[id(cell)]
            with contextlib.suppress(OSError):  # the reader of the progress is gone: the run goes on
                on_cell(reached, len(code), cell.source)

    run = CellRun(notebook, target.parent, kernel=kernel, timeout_s=timeout_s, unlimited=loader, on_cell=before)
    message = ""
    adopt_sessions(target)
    earlier = _sessions(target) | recorded_sessions(notebook)
    with signals(run.stop):
        try:
            tags = {TAGGED_VARIABLE: json.dumps(cell_tags(notebook))}
            run.execute({**os.environ, **tags, **(variables or {}), NOTEBOOK_VARIABLE: str(target.resolve())})
        except CellExecutionError as error:
            message = f"{error.ename}: {error.evalue}"
        except Exception as error:  # noqa: BLE001 - after any error of nbclient the executed cells are kept
            message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if run.timed_out:
            message = f"It took longer than the {timeout_s:g} s that --timeout allows."
        if loader is not None:
            notebook.cells.remove(loader)
        document, unrecorded = _index(notebook, target, earlier)
        written, unwritten = save_notebook(notebook, target)
    return RunResult(
        notebook=written,
        document=document,
        failure=CellFailure(number=reached, message=message) if message or run.signal else None,
        signal=run.signal,
        problems=tuple(problem for problem in (unrecorded, unwritten) if problem is not None),
    )


def _command(notebook: NotebookNode, source: Path, kernel: str | None) -> list[str]:
    """Return the command that starts the kernel.

    Raises
    ------
    UsageError
        If there is no such kernel, or it is not one of Python.
    """
    name = kernel or notebook.metadata.get("kernelspec", {}).get("name") or NATIVE_KERNEL_NAME
    hint = "'jupyter kernelspec list' shows all kernels; name one with --kernel."
    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        raise UsageError(f"There is no Jupyter kernel {name!r}, which {source} asks for.", hint=hint) from None
    if spec.language.lower() != "python":
        raise UsageError(f"The kernel {name!r} of {source} runs {spec.language}; CASA's is Python.", hint=hint)
    argv: list[str] = spec.argv
    return argv


def _add_loader(notebook: NotebookNode) -> NotebookNode | None:
    if any(_LOAD in cell.source for cell in notebook.cells if cell.cell_type == "code"):
        return None
    loader: NotebookNode = nbformat.v4.new_code_cell(_LOAD)
    notebook.cells.insert(0, loader)
    return loader


def _index(
    notebook: NotebookNode, target: Path, earlier: frozenset[str]
) -> tuple[Document | None, CasaprovError | None]:
    """Index the calls of this run; return their record, None if there are none, and the error if a record is missing."""
    folder = journal_folder(target)
    sessions = _sessions(target) - earlier
    problem: CasaprovError | None = None
    if lost := recorded_sessions(notebook) - earlier - sessions:
        problem = JournalError(
            f"There is no record in {folder} of {counted(len(lost), 'session')} of this run.",
            hint="The cells that called tasks give the reason. Run the notebook again with space and permission.",
        )
    if sessions:
        try:
            document = Lineage(read_document(folder, target.name)).only(sessions)
            complete_bundles(notebook, document)
            index_notebook(notebook, document, folder.relative_to(target.parent))
        except CasaprovError as error:
            problem = error
        else:
            return document, problem
    notebook.metadata.pop("casaprov", None)
    return None, problem


def _sessions(target: Path) -> frozenset[str]:
    return frozenset(session_id(path) for path in journals(journal_folder(target)))
