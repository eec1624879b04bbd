"""The cells of a script: of the percent and the light format by jupytext; any other script is one cell.

See https://jupytext.readthedocs.io/en/latest/formats-scripts.html. A script runs as plain Python, so a magic that
jupytext would take out of its comment stays in it here.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["ScriptCell", "as_notebook", "decoded", "is_script", "script_cells"]

_PERCENT = re.compile(r"^# ?%%", re.MULTILINE)
_LIGHT = re.compile(r"^# \+( |$)", re.MULTILINE)
_HEADER = re.compile(r"\A(?:#!.*\n|#.*coding[:=].*\n)*# ---\n(?:#.*\n)*?#\s+jupytext:")


@dataclass(frozen=True)
class ScriptCell:
    """A cell of a script.

    Attributes
    ----------
    kind
        ``code`` or ``markdown``.
    line
        Number of its first line in the script, from 1.
    """

    kind: str
    source: str
    line: int


def is_script(name: str) -> bool:
    """Return True if `name` is that of a script, not of a notebook."""
    return name.endswith(".py")


def decoded(data: bytes) -> str:
    """Return the text of a Python file, by the encoding that it names; what cannot be decoded is replaced."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:  # Python would not run it either
        encoding = "utf-8"
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors="replace").read()


def script_cells(text: str) -> tuple[ScriptCell, ...]:
    """Return the cells of a script.

    Raises
    ------
    ImportError
        If it has cells and jupytext is not installed.
    """
    name = _format(text)
    if not name:
        return (ScriptCell("code", text, 1),)
    import jupytext

    # By keyword, since the function has other defaults for a format that is given as a text.
    notebook = jupytext.reads(text, fmt={"extension": ".py", "format_name": name, "comment_magics": False})
    return tuple(_placed(notebook.cells, text.splitlines())) or (ScriptCell("code", text, 1),)


def as_notebook(text: str) -> dict[str, Any]:
    """Return a script as the JSON values of a notebook; one without jupytext has one cell."""
    try:
        cells = script_cells(text)
    except ImportError:
        cells = (ScriptCell("code", text, 1),)
    code: dict[str, Any] = {"execution_count": None, "outputs": []}
    listed = [
        {
            "cell_type": cell.kind,
            "id": f"line-{cell.line}-{number}",
            "metadata": {},
            "source": cell.source,
            **(code if cell.kind == "code" else {}),
        }
        for number, cell in enumerate(cells)
    ]
    return {"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def _format(text: str) -> str:
    """Return jupytext's name of the format of a script; empty if it has no cells."""
    if _PERCENT.search(text):
        return "percent"
    return "light" if _LIGHT.search(text) or _HEADER.match(text) else ""


def _placed(cells: list[Any], lines: list[str]) -> Iterator[ScriptCell]:
    """Yield cells with their first lines, which jupytext does not tell; a cell that is not found begins after the last."""
    after = 0
    for cell in cells:
        source = [line for line in cell.source.splitlines() if line.strip()]
        first = source[0].strip() if source else ""
        # The line of a Markdown cell is a comment, and may stand in quotes.
        found = next((n for n in range(after, len(lines)) if first and first in lines[n]), after)
        yield ScriptCell("code" if cell.cell_type == "code" else "markdown", cell.source, found + 1)
        after = found + max(len(cell.source.splitlines()), 1)
