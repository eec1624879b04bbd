"""Limits for the use of processes, and their values as a user writes them.

A limit that the kernel enforces (open files, size of a file) is set by the process itself before it is confined; the
others are watched from outside (:mod:`casaprov.confinement.watch`).
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from casaprov.config import size_of
from casaprov.errors import UsageError

__all__ = ["LIMIT_NAMES", "Limits", "apply_limits", "limits_environment", "usual_memory", "with_choices"]

_VARIABLE = "CASAPROV_LIMITS_OF_PROCESS"
_GB = 10**9
_DURATION = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NONE = "none"
_TIMES_SIZE = 4
_MEMORY_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that the processes of a call may use; None for no limit.

    Attributes
    ----------
    memory
        Bytes of memory of all processes together.
    cpu, time
        Seconds of processor time of all processes, and seconds until the call ends.
    processes
        Number of processes and threads.
    open_files
        Number of open files of one process.
    file_size, folder_size
        Bytes of one file, and of all files in the work folder.
    """

    memory: int | None = None
    cpu: float | None = None
    time: float | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    folder_size: int | None = None

    def text(self, name: str) -> str:
        """Return a limit as a user would write it."""
        value = getattr(self, name)
        if value is None:
            return _NONE
        if name in ("memory", "file_size", "folder_size"):
            return f"{value / _GB:.3g} GB" if value >= _GB else f"{value / 10**6:.3g} MB"
        return f"{value:.0f} s" if name in ("cpu", "time") else str(value)


LIMIT_NAMES = tuple(field.name.replace("_", "-") for field in fields(Limits))
"""Names of the limits on the command line."""


def with_choices(limits: Limits, choices: Iterable[str]) -> Limits:
    """Return limits with those that a user chose: ``memory=16GB``, ``time=2h``, ``processes=none``.

    Raises
    ------
    UsageError
        If there is no such limit, or it cannot have this value.
    """
    for choice in choices:
        name, _, value = choice.partition("=")
        name = name.strip()
        if name not in LIMIT_NAMES:
            raise UsageError(f"There is no limit {name!r}.", hint=f"The limits are {', '.join(LIMIT_NAMES)}.")
        field = name.replace("-", "_")
        try:
            chosen: dict[str, Any] = {field: _value(field, value.strip())}
        except ValueError as error:
            example = {"cpu": "2h", "time": "2h", "processes": "500", "open_files": "500"}.get(field, "16GB")
            raise UsageError(
                f"The limit {name} cannot be {value!r}.", hint=f"Write {name}={example}, or {name}={_NONE}."
            ) from error
        limits = replace(limits, **chosen)
    return limits


def _value(field: str, text: str) -> int | float | None:
    if text == _NONE:
        return None
    found: int | float
    if field in ("processes", "open_files"):
        found = int(text)
    elif field in ("cpu", "time"):
        unit = text[-1:] if text[-1:] in _DURATION else "s"
        found = float(text.removesuffix(unit).rstrip()) * _DURATION[unit]
    else:
        found = size_of(text)
    if not 0 < found < 2**62:
        raise ValueError(text)
    return found


def limits_environment(limits: Limits) -> Mapping[str, str]:
    """Return the environment of a process that calls :func:`apply_limits`."""
    return {_VARIABLE: json.dumps([limits.open_files, limits.file_size])}


def apply_limits() -> None:
    """Set the limits of this process, and of its children, that the kernel enforces."""
    open_files, file_size = json.loads(os.environ.pop(_VARIABLE, "[null, null]"))
    for which, most in ((resource.RLIMIT_NOFILE, open_files), (resource.RLIMIT_FSIZE, file_size)):
        if most is not None:
            _, hard = resource.getrlimit(which)
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with suppress(ValueError, OSError):
                resource.setrlimit(which, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def usual_memory(size: int, *, least: int) -> int:
    """Return a limit of memory for files of a size in bytes: four times that, at most 90 % of this machine's."""
    return int(min(max(least, _TIMES_SIZE * size), _MEMORY_SHARE * _memory_bytes()))


def _memory_bytes() -> int:
    """Return the memory of this machine, or of the container that this process is in."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        return min(found, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return found
