"""The folder that a replay works in: recorded paths are mapped into it, and nothing is written outside."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Protocol

from casaprov.errors import NoSpace, ReplayError

__all__ = ["Files", "WorkFolder", "copy", "make_folder", "no_space", "remove"]

_MIN_FREE_BYTES = 2**20
_DISTRUST = "This crate was not written by casaprov; do not trust it."


class Files(Protocol):
    """What changes files in the work folder.

    What a stranger's call left there may be links that lead anywhere, so this
    is done by the process that runs the calls, confined as they are.
    """

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file or directory (:func:`copy`)."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file or directory (:func:`remove`)."""
        ...

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it (:func:`make_folder`)."""
        ...


class WorkFolder:
    """Where the files of a replay lie.

    A recorded relative path lies at the same place below `root`, an absolute
    one below ``_elsewhere``; ``.casaprov`` is the replay's own, and what is
    recorded there lies below ``_shown``.

    Parameters
    ----------
    root
        Absolute path of an existing folder.
    """

    def __init__(self, root: Path, files: Files) -> None:
        self.root = root
        self._files = files
        self._own = root / ".casaprov"

    def place(self, path: str) -> Path:
        """Return where a recorded path lies.

        Raises
        ------
        ReplayError
            If it would lie outside; no record of casaprov says so.
        """
        below = Path("_elsewhere", path.lstrip("/")) if path.startswith("/") else Path(path)
        if below.parts[:1] == (self._own.name,):  # pictures that a notebook shows and names nowhere
            below = Path("_shown", *below.parts[1:])
        target = Path(os.path.normpath(self.root / below))
        if not target.is_relative_to(self.root) or self._own in (target, *target.parents):
            told = f"The record names the path {path!r}, which lies outside of the work folder."
            raise ReplayError(told, hint=_DISTRUST)
        return target

    def leads_outside(self, path: str) -> bool:
        """Tell whether links at a recorded path lead out of the work folder."""
        return not self.place(path).resolve().is_relative_to(self.root)

    def way_out(self, path: str) -> Path | None:
        """Return a link below a recorded path that leads out of the work folder; None if there is none."""
        for folder, folders, files in os.walk(self.place(path)):
            for member in (Path(folder, name) for name in sorted((*folders, *files))):
                if member.is_symlink() and not member.resolve().is_relative_to(self.root):
                    return member
        return None

    def put(self, source: Path, path: str) -> Path:
        """Copy a file or directory to a recorded path, in place of what is there; return where it lies.

        Raises
        ------
        NoSpace
            If it does not fit; nothing is left of the copy then.
        """
        target = self.place(path)
        self.clear(path)
        self._files.copy(source, target)
        return target

    def clear(self, path: str) -> None:
        """Remove what lies at a recorded path."""
        target = self.place(path)
        if target == self.root:
            raise ReplayError(f"The record calls the work folder itself a product ({path!r}).", hint=_DISTRUST)
        self._files.remove(target)

    def make_folder(self, path: Path) -> None:
        """Make a folder below `root`."""
        self._files.make_folder(path)

    def keep(self, path: str, name: str) -> None:
        """Keep what lies at a recorded path under a name of its own, for :meth:`kept`."""
        if self.place(path).exists():
            self._files.copy(self.place(path), self.kept(name))

    def kept(self, name: str) -> Path:
        """Return where :meth:`keep` kept something."""
        return self._own / "kept" / f"state-{name.replace('/', '-')}"

    def is_full(self) -> bool:
        """Tell whether there is practically no space left."""
        return shutil.disk_usage(self.root).free < _MIN_FREE_BYTES


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    ReplayError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_space(f"for {path}") from error
        raise ReplayError(f"The folder {path} cannot be made: {error.strerror}.") from error


def copy(source: Path, target: Path) -> None:
    """Copy a file or directory; links stay links.

    Raises
    ------
    NoSpace
        If it does not fit; nothing is left of the copy then.
    ReplayError
        If it cannot be copied otherwise.
    """
    make_folder(target.parent)
    try:
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    except (OSError, shutil.Error) as error:
        remove(target)
        if getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(target.parent).free < _MIN_FREE_BYTES:
            raise no_space(f"for {target}") from error
        raise ReplayError(f"{source} cannot be copied to {target}: {error}.") from error


def remove(path: Path) -> None:
    """Remove a file, a link or a directory; nothing there is fine.

    Raises
    ------
    ReplayError
        If it cannot be removed.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ReplayError(f"{path} cannot be removed: {error.strerror}.") from error


def no_space(told: str) -> NoSpace:
    """Return the error for a full work folder; `told` says which, or what did not fit."""
    hint = "Give a folder on a larger disk with --work; the crate and its inputs are unharmed."
    return NoSpace(f"There is no space left in the work folder {told}.", hint=hint)
