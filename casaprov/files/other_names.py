"""Other names of folders: by links on the way to them, bind mounts and automounters.

A file is one product, whichever name it is called by. A folder is the same one if device and inode are the same. A name
below the session's folder goes before others, and a name without links before one with links; between names that both lie
elsewhere, the first that the session met stays. The last part of a path is never followed: a link that a call names is a
name of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from casaprov.processes.exempt import ExemptLock

__all__ = ["OtherNames"]

_Place = tuple[int, int]  # device and inode

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a blank, for example, is \040


class OtherNames:
    """The one name of each folder; safe for threads.

    Parameters
    ----------
    folder
        Folder of the session.
    known
        Paths that the session knows already, by names that stay.
    """

    def __init__(self, folder: Path, known: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._real = Path(os.path.realpath(folder))
        self._lock = ExemptLock()
        self._names: dict[_Place, Path] = {}
        self._known = list(known)
        self._place = _place(folder)
        self._note(folder)

    def below(self, path: Path) -> Path:
        """Return the one name of a path, below the session's folder if it lies there."""
        above = path.parent
        own = self.of_folder(above)
        return path if own is above else own / path.name

    def of_folder(self, folder: Path) -> Path:
        """Return the one name of a folder; the same object, if it is the one given."""
        if folder == self._folder:
            return folder
        with self._lock:
            own = self._own_name(folder)
        return folder if own == folder else own

    def aliases(self, paths: Iterable[Path]) -> dict[Path, Path]:
        """Return the other names of folders that paths begin with, each with the folder's one name."""
        found: dict[Path, Path] = {}
        for path in paths:
            alias, name = path.parent, self.of_folder(path.parent)
            if name == alias:
                continue
            # What both end with is no part of the other name.
            while alias.name == name.name and name not in (self._folder, name.parent):
                alias, name = alias.parent, name.parent
            found[alias] = name
        return found

    def _own_name(self, folder: Path) -> Path:
        try:
            real = Path(os.path.realpath(folder))
        except ValueError:  # no path at all: a name with a zero byte
            return folder
        if real.is_relative_to(self._real):
            return self._folder / real.relative_to(self._real)
        place = _place(real)
        if place is not None and self._place is not None and place[0] == self._place[0]:
            ours, inner = _inside_file_system(self._real), _inside_file_system(real)
            if ours is not None and inner is not None and inner.is_relative_to(ours):
                return self._folder / inner.relative_to(ours)
        for path in self._known:
            self._note(path.parent)
        self._known.clear()
        # Of what is mounted twice elsewhere, the real path tells nothing: each folder above is looked up by its inode.
        for above in (folder, *folder.parents):
            if (place := _place(above)) is not None and (name := self._names.get(place)) is not None:
                own = name / folder.relative_to(above)
                if own != folder:
                    return own
                break
        self._note(folder)
        return folder

    def _note(self, folder: Path) -> None:
        if (place := _place(folder)) is not None:
            self._names.setdefault(place, folder)


def _place(folder: Path) -> _Place | None:
    try:
        facts = os.stat(folder)  # noqa: PTH116 - for each folder above each file that is named
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def _inside_file_system(path: Path) -> Path | None:
    """Return the way to a folder from the root of its file system, which is the same for all its mounts.

    The first part is the number of the file system. None where the system does not tell (it is no Linux).
    """
    best: tuple[int, Path] | None = None
    try:
        for line in _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            _, _, device, root, point, *_ = line.split(" ")
            mounted = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), point))
            if path.is_relative_to(mounted) and (best is None or len(mounted.parts) >= best[0]):
                root = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), root)
                best = len(mounted.parts), Path(device, root.lstrip("/")) / path.relative_to(mounted)
    except (OSError, ValueError):
        return None
    return best[1] if best is not None else None
