"""The home folder in the paths of a record that was packed: ``/~`` stands for it, whoever's it was."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["HOME", "expanded_home"]

HOME: Final = "/~"
"""Beginning of a path below the home folder; an absolute path, as paths outside of the session's folder are."""


def expanded_home(path: str) -> str:
    """Return a recorded path with the home folder of this user in place of :data:`HOME`."""
    return f"{Path.home()}{path.removeprefix(HOME)}" if path == HOME or path.startswith(f"{HOME}/") else path
