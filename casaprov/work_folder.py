"""The folder that a replay works in: recorded paths are mapped into it, and nothing is written outside."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from casaprov.errors import NoSpace, ReplayError

__all__ = ["WorkFolder"]

_MIN_FREE_BYTES = 2**20
_DISTRUST = "This crate was not written by casaprov; do not trust it."


class WorkFolder:
    """Where the files of a replay lie.

    A recorded relative path lies at the same place below `root`, an absolute
    one below ``_elsewhere``; ``.casaprov`` is the replay's own.

    Parameters
    ----------
    root
        Absolute path of an existing folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._own = root / ".casaprov"

    def place(self, path: str) -> Path:
        """Return where a recorded path lies.

        Raises
        ------
        ReplayError
            If it would lie outside; no record of casaprov says so.
        """
        below = Path("_elsewhere", path.lstrip("/")) if path.startswith("/") else Path(path)
        target = Path(os.path.normpath(self.root / below))
        if not target.is_relative_to(self.root) or self._own in (target, *target.parents):
            told = f"The record names the path {path!r}, which lies outside of the work folder."
            raise ReplayError(told, hint=_DISTRUST)
        return target

    def put(self, source: Path, path: str) -> Path:
        """Copy a file or directory to a recorded path, in place of what is there; return where it lies.

        Raises
        ------
        NoSpace
            If it does not fit; nothing is left of the copy then.
        """
        target = self.place(path)
        self.clear(path)
        _copy(source, target)
        return target

    def clear(self, path: str) -> None:
        """Remove what lies at a recorded path."""
        target = self.place(path)
        if target == self.root:
            raise ReplayError(f"The record calls the work folder itself a product ({path!r}).", hint=_DISTRUST)
        _remove(target)

    def keep(self, path: str, name: str) -> None:
        """Keep what lies at a recorded path under a name of its own, for :meth:`kept`."""
        if self.place(path).exists():
            _copy(self.place(path), self.kept(name))

    def kept(self, name: str) -> Path:
        """Return where :meth:`keep` kept something."""
        return self._own / "kept" / f"state-{name.replace('/', '-')}"

    def is_full(self) -> bool:
        """Tell whether there is practically no space left."""
        return shutil.disk_usage(self.root).free < _MIN_FREE_BYTES


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    except (OSError, shutil.Error) as error:
        _remove(target)
        if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(target.parent).free < _MIN_FREE_BYTES:
            raise NoSpace(
                f"There is no space left for a copy of {source} at {target}.",
                hint="Give a folder on a larger disk with --work; the original is unharmed.",
            ) from error
        raise ReplayError(f"{source} cannot be copied to {target}: {error}.") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
