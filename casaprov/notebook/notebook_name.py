"""The notebook that a kernel belongs to, as far as front ends name it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["NOTEBOOK_VARIABLE", "TAGGED_VARIABLE", "UNNAMED", "NotebookName", "notebook_path"]

NOTEBOOK_VARIABLE = "CASAPROV_NOTEBOOK"
"""Environment variable with the notebook's path, set by ``casaprov run``."""

TAGGED_VARIABLE = "CASAPROV_TAGGED_CELLS"
"""Environment variable with the tags of cells as JSON, by the digest of their source, set by ``casaprov run``."""

UNNAMED = "_unnamed.ipynb"
"""Name in place of one that the kernel cannot know (nbclient, papermill)."""


def notebook_path(user_ns: Mapping[str, Any], folder: Path) -> Path:
    """Return the notebook of this kernel; below `folder` if only its name is known.

    The name comes from ``casaprov run``, from VS Code, or from Jupyter Server, in this order. That of Jupyter Server may
    be stale after a rename, so it counts only if there is such a file.
    """
    candidates = (
        os.environ.get(NOTEBOOK_VARIABLE),
        user_ns.get("__vsc_ipynb_file__"),
        os.environ.get("JPY_SESSION_NAME"),
    )
    for text in candidates:
        if isinstance(text, str) and text.endswith(".ipynb"):
            path = Path(text) if Path(text).is_absolute() else folder / Path(text).name
            if path.is_file() or text == os.environ.get(NOTEBOOK_VARIABLE):
                return path
    return folder / UNNAMED


class NotebookName:
    """The notebook of this kernel, also after it was renamed while it was open.

    Jupyter Server gives the name that the notebook had when the kernel started. From then on the file is known by its
    inode, which a rename keeps and a save too.

    Parameters
    ----------
    user_ns, folder
        As for :func:`notebook_path`.
    """

    def __init__(self, user_ns: Mapping[str, Any], folder: Path) -> None:
        self._user_ns = user_ns
        self.folder = folder
        self._known = notebook_path(user_ns, folder)
        self._file = _identity(self._known)
        self._cells: set[str] = set()
        self._has_searched = False

    def note_cell(self, cell_id: str | None) -> None:
        """Note the id of a cell that runs: a notebook that was renamed while the kernel started is found by it, once saved."""
        if cell_id and cell_id not in self._cells:
            self._cells.add(cell_id)
            self._has_searched = False

    def path(self) -> Path:
        """Return the present path of the notebook."""
        if self._file is not None:
            if _identity(self._known) == self._file:
                return self._known
            for path in sorted(self._known.parent.glob("*.ipynb")):
                if _identity(path) == self._file:
                    self._known = path
                    return path
        # Not known yet (VS Code gives the name after the kernel has started), or saved by a program that replaces it.
        self._known = notebook_path(self._user_ns, self.folder)
        if self._known.name == UNNAMED and self._cells and not self._has_searched:
            self._has_searched = True
            self._known = self._with_cells() or self._known
        self._file = _identity(self._known)
        return self._known

    def _with_cells(self) -> Path | None:
        """Return the only notebook where the server said, or here, that holds all cells so far; None if there is none."""
        named = Path(os.environ.get("JPY_SESSION_NAME", ""))
        folder = named.parent if named.is_absolute() else self.folder
        found = [path for path in sorted(folder.glob("*.ipynb")) if self._cells <= _cell_ids(path)]
        return found[0] if len(found) == 1 else None


def _cell_ids(path: Path) -> set[str]:
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return {str(cell.get("id")) for cell in cells}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return set()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
