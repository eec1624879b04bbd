"""A notebook of an imported reduction: its calls as cells, without outputs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from casaprov.casalogs.imported_record import ImportedRecord

__all__ = ["log_notebook"]

_HEAD = """\
# {title}

Read from {logs} by casaprov. Nothing here was recorded while it ran: the cells hold the parameters that CASA's log names, without
empty values and without False, which are defaults as a rule.
"""


def log_notebook(record: ImportedRecord, logs: Iterable[Path], title: str) -> dict[str, Any]:
    """Return a notebook as JSON values, with a cell for each call."""
    head = _HEAD.format(title=title, logs=", ".join(f"`{log.name}`" for log in logs))
    known = sorted({call.task for call in record.activities if call.spec_known and call.package == "casatasks"})
    imports = [_code("imports", f"from casatasks import {', '.join(known)}")] if known else []
    cells = [_code(cell.id, cell.source) for cell in record.cells]
    markdown = {"cell_type": "markdown", "id": "origin", "metadata": {}, "source": head}
    return {"cells": [markdown, *imports, *cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def _code(identifier: str, source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": identifier,
        "metadata": {},
        "source": source,
        "execution_count": None,
        "outputs": [],
    }
