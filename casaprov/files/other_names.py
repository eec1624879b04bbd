"""Other names of a folder: by links on the way to it, bind mounts and automounters.

A file is one product, whichever name it is called by. A folder is the same one if device and inode are the same.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["OtherNames"]


class OtherNames:
    """Finds the names below a folder of paths that lead there by another name of the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = _place(folder)

    def alias(self, path: Path) -> Path | None:
        """Return the other name of the folder that a path begins with; None if there is none."""
        if self._place is None or path.is_relative_to(self._folder):
            return None
        return next((above for above in (path, *path.parents) if _place(above) == self._place), None)

    def below(self, path: Path) -> Path:
        """Return a path by its name below the folder, if it lies there."""
        alias = self.alias(path)
        return path if alias is None else self._folder / path.relative_to(alias)


def _place(folder: Path) -> tuple[int, int] | None:
    try:
        facts = os.stat(folder)  # noqa: PTH116 - for each folder above each file that is named
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino
