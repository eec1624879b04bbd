"""``casaprov sync``: bring the journal's index into a notebook's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from casaprov.journal.writer import read_document
from casaprov.notebook.export import find_journal
from casaprov.notebook.index import index_notebook
from casaprov.notebook.ipynb import read_notebook, write_notebook

__all__ = ["sync_notebook"]


def sync_notebook(path: Path) -> dict[str, Any]:
    """Write ``metadata.casaprov`` of the notebook at `path` and return it.

    Raises
    ------
    UsageError, JournalError
        If there is no such notebook, or nothing is recorded of it.
    """
    notebook = read_notebook(path)
    journal = find_journal(path)
    index = index_notebook(notebook, read_document(journal, path.name), journal.relative_to(path.parent))
    write_notebook(notebook, path)
    return index
