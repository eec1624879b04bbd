"""Processor time, memory and number of the processes of a group, read from /proc; see proc(5)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GroupUse", "group_use", "memory_of", "parent_of", "process_ids", "process_state", "resident_bytes"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the name of the program, which may hold any character.
_STATE, _PARENT, _CPU, _CPU_OF_CHILDREN, _THREADS, _RESIDENT = 0, 1, slice(11, 13), slice(13, 15), 17, 21


@dataclass
class GroupUse:
    """The use of a group of processes at one moment.

    Attributes
    ----------
    processes
        Number of processes and threads.
    cpu_s
        Seconds of processor time, with those of processes that ended and were waited for.
    memory
        Bytes of memory; what processes share is counted in each.
    pids
        The processes.
    """

    processes: int = 0
    cpu_s: float = 0.0
    memory: int = 0
    pids: tuple[int, ...] = ()


def group_use(group: int) -> GroupUse:
    """Return the use of the processes of a group."""
    use = GroupUse()
    pids = []
    ticks = 0
    for pid in _members(group):
        if fields := _stat(pid):
            pids.append(pid)
            use.processes += int(fields[_THREADS])
            ticks += sum(map(int, (*fields[_CPU], *fields[_CPU_OF_CHILDREN])))
            use.memory += int(fields[_RESIDENT]) * _PAGE_BYTES
    use.cpu_s = ticks / _TICKS
    use.pids = tuple(pids)
    return use


def memory_of(pids: tuple[int, ...]) -> int:
    """Return the memory of processes, with pages that they share counted once."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            total += 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration, ValueError):  # it ended, or hides its memory
            total += resident_bytes(pid)
    return total


def resident_bytes(pid: int) -> int:
    """Return the memory of a process, shared memory included; 0 if there is none."""
    fields = _stat(pid)
    return int(fields[_RESIDENT]) * _PAGE_BYTES if fields else 0


def parent_of(pid: int) -> int | None:
    """Return the process that started a process; None if there is none."""
    fields = _stat(pid)
    return int(fields[_PARENT]) if fields else None


def process_state(pid: int) -> str:
    """Return the state of a process, as ``R`` or ``Z``; empty if there is none."""
    fields = _stat(pid)
    return fields[_STATE] if fields else ""


def process_ids() -> list[int]:
    """Return all processes of this system."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - names only


def _members(group: int) -> Iterator[int]:
    for pid in process_ids():
        try:
            # A twentieth of the time that it takes to read the group from /proc.
            if os.getpgid(pid) == group:
                yield pid
        except OSError:  # it ended
            continue


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - for each process, some times a second
            return file.read().rpartition(b")")[2].decode("ascii").split()
    except OSError:  # it ended
        return []
