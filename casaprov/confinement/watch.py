"""The watch over a process and those that it started: it says when they use more than they may.

The processes are those of one process group, which confined processes cannot leave. A process that grows fast may pass a
limit by what it takes between two looks.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.confinement.disk_use import disk_use, used_of_file_system
from casaprov.confinement.group_use import GroupUse, group_use, memory_of
from casaprov.confinement.limits import Limits
from casaprov.errors import LimitReached

__all__ = ["LimitWatch", "limit_in"]

_LOOK_S = 0.1
_LOOK_AT_DISK_S = 5.0
_SHARE = 50  # a look takes at most this part of the time between two
_SHARE_IF_GROWN = 20  # the same for the disk, if so much was written that a limit may be passed
_WORDS = {
    "memory": "memory",
    "cpu": "processor time",
    "time": "time",
    "processes": "processes and threads",
    "open_files": "open files in one process",
    "file_size": "disk for one file",
    "folder_size": "disk",
}


_BY_ERROR = {os.strerror(errno.EMFILE): "open_files", os.strerror(errno.EFBIG): "file_size"}
"""Limits that the kernel enforces, by the words of the error that a process gets."""


class LimitWatch:
    """Watches the calls of one child process (:class:`casaprov.processes.worker.Watch`).

    Parameters
    ----------
    limits
        Returns the limits of a call, by its name and arguments; it is asked at the first look.
    folder
        The folder that the processes may write in.
    hint
        Sentence about what the user can do, with ``{name}`` for the name of the limit.
    interval_s
        Seconds between two looks; more where looking takes long.
    """

    def __init__(
        self,
        limits: Callable[[str, Mapping[str, Any]], Limits],
        *,
        folder: Path | None = None,
        hint: str = "",
        interval_s: float = _LOOK_S,
    ) -> None:
        self.interval_s = interval_s
        self._limits_of = limits
        self._hint = hint
        self._call: tuple[str, Mapping[str, Any]] = ("", {})
        self._limits: Limits | None = None
        self._began = self._looked = 0.0
        self._pause_s = interval_s
        self._cpu_s = 0.0  # used before the call
        self._disk = None if folder is None else _DiskWatch(folder)

    def begin(self, _pid: int, name: str, arguments: Mapping[str, Any]) -> None:
        """Note the begin of a call."""
        self._call, self._limits = (name, arguments), None
        self._began = self._looked = time.monotonic()
        self._pause_s = self.interval_s

    def problem(self, pid: int) -> LimitReached | None:
        """Return an error if a limit is passed; it looks only if some time went by since the last look."""
        now = time.monotonic()
        if now - self._looked < self._pause_s:
            return None
        use = group_use(pid)
        if self._limits is None:  # most calls end before the first look, and need none
            self._limits = self._limits_of(*self._call)
            self._cpu_s = max(0.0, use.cpu_s - (now - self._began))
        found = self._passed(self._limits, use, now)
        self._looked = time.monotonic()
        self._pause_s = max(self.interval_s, _SHARE * (self._looked - now))
        if found is None and self._disk is not None:
            found = self._disk.passed(self._limits, use.pids)
        if found == "folder_size" and self._disk is not None and self._disk.hidden:
            return _unseen(self._disk.hidden, self._hint)
        return None if found is None else _error(self._limits, found, self._hint)

    def _passed(self, limits: Limits, use: GroupUse, now: float) -> str | None:
        if limits.time is not None and now - self._began > limits.time:
            return "time"
        if limits.cpu is not None and use.cpu_s - self._cpu_s > limits.cpu:
            return "cpu"
        if limits.processes is not None and use.processes > limits.processes:
            return "processes"
        if limits.memory is not None and use.memory > limits.memory:
            # Pages that processes share were counted in each of them.
            return "memory" if memory_of(use.pids) > limits.memory else None
        return None


@dataclass
class _DiskWatch:
    """Watches a folder, and looks at its files only now and then, or if its file system became so much fuller."""

    folder: Path

    def __post_init__(self) -> None:
        self.hidden = ""  # what cannot be looked at
        self._total = self._used = 0
        self._looked = self._took_s = 0.0

    def passed(self, limits: Limits, pids: tuple[int, ...]) -> str | None:
        """Return the limit that is passed."""
        least = min((most for most in (limits.folder_size, limits.file_size) if most is not None), default=None)
        if least is None or not self._is_due(least):
            return None
        began = time.monotonic()
        self._used = used_of_file_system(self.folder)
        use = disk_use(self.folder, pids)
        self._total, self.hidden = use.total, use.hidden
        self._looked = time.monotonic()
        self._took_s = self._looked - began
        # What cannot be looked at may be of any size.
        if limits.folder_size is not None and (use.total > limits.folder_size or use.hidden):
            return "folder_size"
        # The kernel allows no write beyond the limit: a file that reached it wanted more.
        return "file_size" if limits.file_size is not None and use.largest >= limits.file_size else None

    def _is_due(self, least: int) -> bool:
        since = time.monotonic() - self._looked
        if since >= max(_LOOK_AT_DISK_S, _SHARE * self._took_s):
            return True
        grown = used_of_file_system(self.folder) - self._used
        return since >= _SHARE_IF_GROWN * self._took_s and self._total + grown >= least


def limit_in(message: str, limits: Limits, hint: str) -> LimitReached | None:
    """Return the error of the limit that an error message is about; None if it is about something else."""
    name = next((name for words, name in _BY_ERROR.items() if words in message), None)
    return None if name is None or getattr(limits, name) is None else _error(limits, name, hint)


def _unseen(hidden: str, hint: str) -> LimitReached:
    message = f"It hides files from the limit folder-size: {hidden} cannot be looked at."
    return LimitReached(message, hint=hint.format(name="folder-size"))


def _error(limits: Limits, name: str, hint: str) -> LimitReached:
    option = name.replace("_", "-")
    message = f"It used more {_WORDS[name]} than it may: the limit {option} is {limits.text(name)}"
    return LimitReached(f"{message}.", hint=hint.format(name=option))
