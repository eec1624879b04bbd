"""A script and its record in the form of a notebook that was saved after its last run.

A recorded cell of a script has a number and a text, but no id. Here each cell of the present text gets the id of the
recorded cell that it was, so that an edited cell is known as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from casaprov.hashing import Digest, digest_bytes
from casaprov.lineage.saved_cells import source_digest
from casaprov.records.model import Activity, Document
from casaprov.scripts.cells import as_notebook, decoded

__all__ = ["ScriptAsNotebook", "script_as_notebook"]

_FAILED = ("failed", "interrupted", "unfinished")


@dataclass(frozen=True, kw_only=True)
class ScriptAsNotebook:
    """A script in the form of a notebook.

    Attributes
    ----------
    document
        Its record, with ids of cells.
    notebook
        Content of an .ipynb file.
    executed
        Digests of the sources that the last run executed, by the id of the cell.
    """

    document: Document
    notebook: bytes
    executed: dict[str, Digest]


def script_as_notebook(document: Document, present: bytes, ran: bytes) -> ScriptAsNotebook:
    """Return a script in the form of a notebook.

    Parameters
    ----------
    present, ran
        Bytes of the script as it is now, and as it ran last.
    """
    saved = as_notebook(decoded(present))
    cells, before = _code(saved["cells"]), _code(as_notebook(decoded(ran))["cells"])
    old, new = ([str(cell["source"]) for cell in part] for part in (before, cells))
    for operation, first, last, begin, end in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if operation in ("equal", "replace"):
            for number, cell in zip_longest(range(first, last), cells[begin:end]):
                if number is not None and cell is not None:
                    cell["id"] = str(number + 1)
    sessions = {s.id for s in document.sessions if s.script is not None and s.script.digest == digest_bytes(ran)}
    activities = tuple(_with_id(call) if call.session in sessions else call for call in document.activities)
    last_cell = _last_executed(document, len(old))
    return ScriptAsNotebook(
        document=replace(document, activities=activities),
        notebook=json.dumps(saved).encode(),
        executed={
            str(cell["id"]): source_digest(before[int(cell["id"]) - 1])
            if str(cell["id"]).isdigit() and int(cell["id"]) <= last_cell
            else Digest("")
            for cell in cells
        },
    )


def _code(cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _with_id(call: Activity) -> Activity:
    if call.step is None or call.step.execution_count is None:
        return call
    return replace(call, step=replace(call.step, cell_id=str(call.step.execution_count)))


def _last_executed(document: Document, cells: int) -> int:
    """Return the number of the last cell that the last run executed: one whose call failed is taken for the last."""
    run = document.last_run
    calls = [call for call in document.activities if run is not None and call.session == run.id and call.parent is None]
    if calls and calls[-1].outcome in _FAILED and calls[-1].step is not None:
        return calls[-1].step.execution_count or cells
    return cells
