"""Searches for files by patterns: many patterns, each folder listed once.

A task such as tclean names its images by two dozen patterns. A folder of 25,000 files takes some milliseconds to list,
and as long again for each pattern.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import time
from collections.abc import Iterable
from typing import NamedTuple

from casaprov.files.time_resolution import LONGEST_NS

__all__ = ["Listings", "search"]

_BEFORE_MAGIC = re.compile(r"[^*?\[]*")
_LARGE = 500  # names, from which on they are kept
_MOST_KEPT = 4  # folders
_SECOND_NS = 1_000_000_000
_COARSE_NS = 3 * _SECOND_NS  # where the file system counts whole seconds


class Listings:
    """Names in folders, as they were when they were first asked for."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, none if there is no such folder."""
        if folder not in self._names:
            self._names[folder] = _names(folder)
        return self._names[folder]


class _Kept(NamedTuple):
    """The names in a large folder, and device, inode and time of the folder when it was listed."""

    stamp: tuple[int, int, int]
    names: list[str]


_kept: dict[str, _Kept] = {}


def _names(folder: str) -> list[str]:
    """List a folder; of a large one, the names are kept until the time of the folder moves."""
    now_ns = time.time_ns()
    try:
        facts = os.stat(folder)  # noqa: PTH116 - in each call
        stamp = (facts.st_dev, facts.st_ino, facts.st_mtime_ns)
        kept = _kept.get(folder)
        if kept is not None and kept.stamp == stamp:
            return kept.names
        _kept.pop(folder, None)
        names = os.listdir(folder)  # noqa: PTH208 - thousands of names, and no paths
    except OSError:
        return []
    # Race: what is made within the step of the clock in which the folder was listed leaves its time as it is.
    step_ns = _COARSE_NS if facts.st_mtime_ns % _SECOND_NS == 0 else LONGEST_NS
    if len(names) >= _LARGE and now_ns - facts.st_mtime_ns > step_ns:
        for other in list(_kept)[: 1 - _MOST_KEPT]:
            _kept.pop(other, None)
        _kept[folder] = _Kept(stamp, names)
    return names


def search(patterns: Iterable[str], listings: Listings) -> dict[str, list[str]]:
    """Return the existing paths that match each absolute pattern, as ``sorted(glob.glob(pattern))`` would."""
    found: dict[str, list[str]] = {}
    by_folder: dict[str, set[str]] = {}
    for pattern in patterns:
        folder, name = os.path.split(pattern)
        if glob.has_magic(folder) or not glob.has_magic(name):
            found[pattern] = sorted(glob.glob(pattern))  # noqa: PTH207 - Path.glob takes no absolute pattern
        else:
            by_folder.setdefault(folder, set()).add(name)
    for folder, names in by_folder.items():
        prefix = os.path.commonprefix([_literal_start(name) for name in names])  # noqa: RUF071 - of names, not of paths
        few = [name for name in listings.names(folder) if name.startswith(prefix)]
        for name in names:
            shown = fnmatch.filter(few, name)
            if not name.startswith("."):
                shown = [one for one in shown if not one.startswith(".")]
            found[f"{folder.rstrip('/')}/{name}"] = [os.path.join(folder, one) for one in sorted(shown)]  # noqa: PTH118 - as above
    return found


def _literal_start(pattern: str) -> str:
    start = _BEFORE_MAGIC.match(pattern)
    return start[0] if start is not None else ""
