"""Which notebook a kernel belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["NOTEBOOK_VARIABLE", "UNNAMED", "notebook_path"]

NOTEBOOK_VARIABLE = "CASAPROV_NOTEBOOK"
"""Environment variable with the notebook's path, set by ``casaprov run``."""

UNNAMED = "_unnamed.ipynb"
"""Stands for a notebook whose name the kernel cannot know (nbclient, papermill)."""


def notebook_path(user_ns: Mapping[str, Any], folder: Path) -> Path:
    """Return the notebook of this kernel; below `folder` if only its name is known.

    In this order: what ``casaprov run`` says, what VS Code says, what Jupyter
    Server says. The last may be stale after a rename, so a file that is not
    there does not count.
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
