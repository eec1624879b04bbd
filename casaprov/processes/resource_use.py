"""Resources that this process used for a while: time of processors, memory, bytes written."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

__all__ = ["ResourceMeter", "Used"]

_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_WRITTEN = re.compile(rb"^wchar: (\d+)$", re.MULTILINE)


class Used(NamedTuple):
    """Use of resources between two moments.

    Attributes
    ----------
    cpu_s
        Seconds of all processors together, of this process and the children that ended.
    peak_memory_bytes
        Largest memory of this process; None if it had been larger before, so that it is not known.
    written_bytes
        Bytes that this process gave to the system to write; None where the system does not count them.
    """

    cpu_s: float
    peak_memory_bytes: int | None
    written_bytes: int | None


class ResourceMeter:
    """Measures from its creation on. It resets no counter of the process: users may have meters of their own."""

    def __init__(self) -> None:
        self._cpu_s, self._peak, self._written = _cpu_s(), _peak_memory(), _written()

    def used(self) -> Used:
        """Return the use of resources since the creation."""
        peak, written = _peak_memory(), _written()
        grown = peak is not None and self._peak is not None and peak > self._peak
        since = None if written is None or self._written is None else written - self._written
        return Used(
            cpu_s=round(_cpu_s() - self._cpu_s, 3),
            peak_memory_bytes=peak if grown else None,
            written_bytes=since,
        )


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_memory() -> int | None:
    found = _PEAK.search(_text("status"))
    return int(found[1]) * 1024 if found else None


def _written() -> int | None:
    found = _WRITTEN.search(_text("io"))
    return int(found[1]) if found else None


def _text(name: str) -> bytes:
    try:
        with open(f"/proc/self/{name}", "rb") as file:  # noqa: PTH123 - the quickest way, at each call of a task
            return file.read()
    except OSError:
        return b""
