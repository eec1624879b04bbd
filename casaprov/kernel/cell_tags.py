"""Tags of the cell that runs, from the request to run it, from ``casaprov run``, or from the saved notebook."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from casaprov.kernel.requests import request_of
from casaprov.lineage.saved_cells import code_cells, source_digest
from casaprov.notebook.notebook_name import TAGGED_VARIABLE
from casaprov.records.model import Step

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["NO_CACHE", "cell_tags"]

NO_CACHE: Final = "nocache"
"""Tag of a cell whose calls are neither restored nor kept."""


def cell_tags(shell: InteractiveShell, step: Step, notebook: Path) -> frozenset[str]:
    """Return the tags of the cell that runs.

    JupyterLab sends them with the cell. Other front ends do not: there the saved notebook tells, where a cell is known
    by its id or its source.
    """
    request = request_of(shell)
    if request is not None and request.tags is not None:
        return _texts(request.tags)
    try:
        listed = json.loads(os.environ[TAGGED_VARIABLE])[step.source_digest]
        return _texts(listed)
    except (KeyError, ValueError, TypeError):
        pass
    try:
        cells = code_cells(notebook.read_bytes())
    except OSError:
        return frozenset()
    known = [cell for cell in cells if step.cell_id and cell.get("id") == step.cell_id]
    known = known or [cell for cell in cells if source_digest(cell) == step.source_digest]
    return _texts([tag for cell in known for tag in _tags(cell)])


def _tags(cell: dict[str, Any]) -> list[Any]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags if isinstance(tags, list) else []


def _texts(tags: Any) -> frozenset[str]:
    return frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset()
