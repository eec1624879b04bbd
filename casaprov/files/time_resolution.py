"""Resolution of the times that a file system keeps.

Two writes within one step have the same time, and a stamp that was taken between
them does not show the second. Linux writes the time of the last tick of its clock, 1 to 10 ms
ago. Since Linux 6.13, ext4, XFS, Btrfs and tmpfs give a file whose times were read
since the last write another time with the next one (*multigrain timestamps*).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["LONGEST_NS", "TimeSteps"]

LONGEST_NS = 10_000_000
"""Step of file systems of which nothing better is known."""

# Race: with multigrain timestamps every write shows, but its time is that of the last tick and is set before the
# bytes are written. A write that is under way when the file is read must be over before its stamp is trusted.
_WRITE_NS = 1_000_000
_COARSE_CLOCK = 5  # CLOCK_REALTIME_COARSE of Linux, whose resolution is one tick

# Ticks are a millisecond apart or more: a file that is written so often within less has two times at most.
_WRITES = 5
_WITHIN_NS = 1_000_000
_ATTEMPTS = 3  # a busy machine may take longer than _WITHIN_NS


class TimeSteps:
    """Steps of file systems; each file system is tried once, with a file that has no name and vanishes when it is closed."""

    def __init__(self) -> None:
        self._by_device: dict[int, int] = {}

    def at(self, path: Path) -> int:
        """Return the step of the file system that holds `path`, in nanoseconds."""
        try:
            device = path.stat().st_dev
        except OSError:
            return LONGEST_NS
        if device not in self._by_device:
            self._by_device[device] = _short_ns() if _tells_every_write(path.parent, device) else LONGEST_NS
        return self._by_device[device]


def _short_ns() -> int:
    return min(LONGEST_NS, _WRITE_NS + round(1e9 * time.clock_getres(_COARSE_CLOCK)))


def _tells_every_write(folder: Path, device: int) -> bool:
    try:
        file = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except (OSError, AttributeError):  # read-only, or a file system or a platform that has no files without a name
        return False
    try:
        return os.fstat(file).st_dev == device and any(_writes_show(file) for _ in range(_ATTEMPTS))
    except OSError:  # no space left
        return False
    finally:
        os.close(file)


def _writes_show(file: int) -> bool:
    began, times = time.monotonic_ns(), set()
    for _ in range(_WRITES):
        os.write(file, b"\0")
        times.add(os.fstat(file).st_ctime_ns)
    return len(times) == _WRITES and time.monotonic_ns() - began < _WITHIN_NS
