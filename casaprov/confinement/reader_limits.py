"""Limits of the processes that read files: as much as reading that many bytes can honestly need, and some times more.

A small file can claim to hold anything: a table of 38 kB four thousand million rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from casaprov.confinement.disk_use import BLOCK_BYTES, stored_bytes
from casaprov.confinement.limits import Limits, usual_memory, with_choices
from casaprov.confinement.watch import LimitWatch

__all__ = ["reader_limits", "reader_watch"]

_GB = 10**9
_LOOK_S = 0.5
_LEAST_CPU_S = 60.0
_SLOWEST_BYTES_PER_S = 100_000  # a fiftieth of what was seen of the slowest tables, those of many small cells
_LEAST_TIME_S = 3600.0
_TIMES_CPU = 20  # readers come last where processors are rare, and disks may be slow
_LEAST_MEMORY_BYTES = 4 * _GB
_PROCESSES = 1000
_PATHS = ("path", "paths", "left", "right", "recorded", "present", "tables")
"""Arguments of the functions of readers that name files."""

_HINT = "If you trust it, give it more: set reader_limits to '{name}=…', or '{name}=none'."


def reader_watch(choices: Iterable[str] = ()) -> Callable[[], LimitWatch]:
    """Return a function that makes a watch for a reading process.

    Parameters
    ----------
    choices
        Limits that the user chose, as ``memory=16GB``.

    Raises
    ------
    UsageError
        If one of them cannot be.
    """
    chosen = tuple(choices)
    with_choices(Limits(), chosen)

    def limits(_name: str, arguments: Mapping[str, Any]) -> Limits:
        return with_choices(reader_limits(_paths(arguments)), chosen)

    return lambda: LimitWatch(limits, hint=_HINT, interval_s=_LOOK_S)


def reader_limits(paths: Iterable[Path]) -> Limits:
    """Return the limits of a call that reads these files and folders.

    It may use a minute of processor time, and ten seconds for each MB that they take on the disk; 20 times that until
    it ends, at least an hour; 4 GB of memory, or four times their size, at most 90 % of the machine's.
    """
    size = sum(map(_stored_bytes, paths))
    cpu_s = _LEAST_CPU_S + size / _SLOWEST_BYTES_PER_S
    return Limits(
        memory=usual_memory(size, least=_LEAST_MEMORY_BYTES),
        cpu=cpu_s,
        time=max(_LEAST_TIME_S, _TIMES_CPU * cpu_s),
        processes=_PROCESSES,
    )


def _paths(arguments: Mapping[str, Any]) -> Iterator[Path]:
    for name in _PATHS:
        value = arguments.get(name, ())
        yield from map(Path, [value] if isinstance(value, str) else value)


def _stored_bytes(path: Path) -> int:
    """Return the bytes that a file or folder takes on the disk, links followed at its top only; holes take nothing."""
    top = 0
    with suppress(OSError):
        top = path.stat().st_blocks * BLOCK_BYTES
    return top + stored_bytes(path)
