"""The subject of ``casaprov inspect``: the record of a notebook or in a crate, with the numbers of the cells."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from casaprov.errors import UsageError
from casaprov.lineage.saved_cells import code_cells, notebook_notes, source_digest
from casaprov.records.model import Document, Step

__all__ = ["cell_numbers", "open_subject"]


def open_subject(path: Path) -> tuple[Document, dict[str, int], tuple[str, ...]]:
    """Return the record, the number of the code cell of each Activity, and notes on the saved notebook.

    Raises
    ------
    UsageError
        If `path` is missing or neither a notebook nor a crate.
    CrateError, JournalError
        If there is no record in it.
    """
    if path == Path():
        raise UsageError("Nothing to inspect is named.", hint="Name a notebook or a crate.")
    if not path.exists():
        raise UsageError(f"There is no {path}.", hint="Name a notebook or a crate.")
    if path.suffix == ".ipynb":
        from casaprov.notebook.export import record_of  # needs Jupyter, which a crate does not

        document, saved = record_of(path), path.read_bytes()
        return document, cell_numbers(saved, document), notebook_notes(saved, document, path.name)
    from casaprov.crate import open_crate  # takes a second to load; a kernel loads this module for cell numbers only

    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        crate = open_crate(path, Path(folder), verify=False)
        notebook = crate.notebook.read_bytes() if crate.notebook.is_file() else b""
        notes = notebook_notes(notebook, crate.document, crate.notebook.name)
        return crate.document, cell_numbers(notebook, crate.document), notes


def cell_numbers(notebook: bytes, document: Document) -> dict[str, int]:
    """Return the number of the code cell, from 1 at the top, by Activity id.

    Parameters
    ----------
    notebook
        Content of the .ipynb file. Cells are found by their id, else by their source; a call whose cell is gone, or
        could be one of several, is left out.
    """
    code = code_cells(notebook)
    ids = {cell["id"]: number for number, cell in enumerate(code, start=1) if isinstance(cell.get("id"), str)}
    sources = [source_digest(cell) for cell in code]
    often = Counter(sources)
    by_source = {source: number for number, source in enumerate(sources, start=1) if often[source] == 1}

    def number_of(step: Step | None) -> int | None:
        if step is None:
            return None
        return ids.get(step.cell_id or "") or by_source.get(step.source_digest)

    found = {activity.id: number_of(activity.step) for activity in document.activities}
    return {activity_id: number for activity_id, number in found.items() if number is not None}
