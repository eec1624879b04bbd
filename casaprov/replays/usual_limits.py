"""Usual limits of a replay: generous ones, from recorded durations and sizes."""

from __future__ import annotations

import os

from casaprov.confinement.limits import Limits, usual_memory
from casaprov.records.model import Document

__all__ = ["usual_limits"]

_GB = 10**9
_LEAST_S = 3600.0
_TIMES_LONGER = 30
_LEAST_MEMORY_BYTES = 8 * _GB
_LEAST_DISK_BYTES = 20 * _GB
_TIMES_LARGER = 10
_LEAST_OPEN_FILES = 8192
_PROCESSES = 1000
_PROCESSES_PER_PROCESSOR = 50


def usual_limits(document: Document) -> Limits:
    """Return the limits of each call of a replay.

    A call may take 30 times as long as the longest recorded one, at least an hour; as much memory as four times all
    recorded files, at least 8 GB, at most 90 % of the machine's; ten times their disk, at least 20 GB.
    """
    recorded_bytes = sum(entity.size_bytes for entity in document.entities)
    longest_s = max((activity.seconds or 0.0 for activity in document.activities), default=0.0)
    time_s = max(_LEAST_S, _TIMES_LONGER * longest_s)
    processors = os.cpu_count() or 1
    disk = max(_LEAST_DISK_BYTES, _TIMES_LARGER * recorded_bytes)
    return Limits(
        memory=usual_memory(recorded_bytes, least=_LEAST_MEMORY_BYTES),
        cpu=time_s * processors,
        time=time_s,
        processes=_PROCESSES + _PROCESSES_PER_PROCESSOR * processors,
        open_files=_LEAST_OPEN_FILES,
        file_size=disk,
        folder_size=disk,
    )
