"""The folder in which a replay works: recorded paths are mapped into it, and nothing is written outside."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Protocol

from casaprov.errors import NoSpace, ReplayError

__all__ = ["Files", "WorkFolder", "copy", "make_folder", "no_space", "remove"]

_MIN_FREE_BYTES = 2**20
_DISTRUST = "casaprov did not write this crate; do not trust it."


class Files(Protocol):
    """Changes of files in the work folder.

    A stranger's call may have left links there that lead anywhere, so the
    process that runs the calls makes these changes, confined as they are.
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
    """Place of every file of a replay.

    A recorded relative path lies at the same place below `root`, an absolute
    one below ``_elsewhere``. ``.casaprov`` belongs to the replay itself:
    pictures that were recorded there lie below ``_shown``.

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
        """Return the place of a recorded path.

        Raises
        ------
        ReplayError
            If it would lie outside; casaprov records no such path.
        """
        below = Path("_elsewhere", path.lstrip("/")) if path.startswith("/") else Path(path)
        if below.parts[:1] == (self._own.name,):  # pictures that the user gave no file name
            below = Path("_shown", *below.parts[1:])
        target = Path(os.path.normpath(self.root / below))
        if not target.is_relative_to(self.root) or self._own in (target, *target.parents):
            raise ReplayError(f"The record names the path {path!r}, outside of the work folder.", hint=_DISTRUST)
        return target

    def leads_outside(self, path: str) -> bool:
        """Return True if links at a recorded path lead out of the work folder."""
        return not self.place(path).resolve().is_relative_to(self.root)

    def way_out(self, path: str) -> Path | None:
        """Return a link below a recorded path that leads out of the work folder; None if there is none."""
        for folder, folders, files in os.walk(self.place(path)):
            for member in (Path(folder, name) for name in sorted((*folders, *files))):
                if member.is_symlink() and not member.resolve().is_relative_to(self.root):
                    return member
        return None

    def put(self, source: Path, path: str) -> Path:
        """Copy a file or directory to a recorded path, in place of its old content; return its place.

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
        """Remove the file or directory at a recorded path."""
        target = self.place(path)
        if target == self.root:
            raise ReplayError(f"The record names the work folder itself as a product ({path!r}).", hint=_DISTRUST)
        self._files.remove(target)

    def make_folder(self, path: Path) -> None:
        """Make a folder below `root`."""
        self._files.make_folder(path)

    def keep(self, path: str, name: str) -> None:
        """Copy the product at a recorded path to a place of its own (:meth:`kept`), before a later call changes it."""
        if self.place(path).exists():
            self._files.copy(self.place(path), self.kept(name))

    def forget(self, name: str) -> None:
        """Remove the files that :meth:`keep` copied, perhaps in part."""
        self._files.remove(self.kept(name))

    def kept(self, name: str) -> Path:
        """Return the place to which :meth:`keep` copies a product."""
        return self._own / "kept" / f"state-{name.replace('/', '-')}"

    def is_full(self) -> bool:
        """Return True if less than 1 MiB of space is left."""
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


def no_space(where: str) -> NoSpace:
    """Return the error for a full work folder; `where` names the folder, or the file that did not fit."""
    hint = "Give a folder on a larger disk with --work; the crate and its inputs are unharmed."
    return NoSpace(f"There is no space left in the work folder {where}.", hint=hint)
