"""Pictures below a cell, as they are: no pixel is lost and none is added."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["picture_data", "show_pictures"]

_SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif"}


def picture_data(path: Path) -> dict[str, Any]:
    """Return what a front end shows of a file: the picture, or the name of one that it cannot show."""
    mime = _SHOWN.get(path.suffix.lower())
    if mime is None:
        return {"text/plain": f"{path.name} was written; a notebook cannot show it."}
    return {mime: path.read_bytes(), "text/plain": f"<picture {path.name}>"}


def show_pictures(paths: Iterable[Path]) -> None:
    """Show files below the cell that runs, one after the other."""
    from IPython.display import display

    for path in paths:
        display(picture_data(path), raw=True)
