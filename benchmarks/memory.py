"""How much memory the children of a process take, sampled from /proc."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["PeakMemory", "descendants", "memory_of"]


class PeakMemory:
    """Samples the memory of all descendants of a process while the block runs.

    Attributes
    ----------
    pss_mb, rss_mb
        Largest sum over all descendants at one time, in MB. PSS divides what
        processes share among them; RSS counts it in each.
    """

    def __init__(self, pid: int | None = None, *, every_s: float = 0.05, itself: bool = False) -> None:
        self.pss_mb = 0.0
        self.rss_mb = 0.0
        self._pid = os.getpid() if pid is None else pid
        self._itself = itself
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            pids = descendants(self._pid) + ([self._pid] if self._itself else [])
            sizes = [memory_of(pid) for pid in pids]
            self.pss_mb = max(self.pss_mb, sum(pss for pss, _ in sizes) / 1e6)
            self.rss_mb = max(self.rss_mb, sum(rss for _, rss in sizes) / 1e6)
            if self._done.wait(self._every_s):
                return


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, and of theirs."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # a process may end at any time
            # The second field is the name in parentheses, which may hold blanks and parentheses.
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def memory_of(pid: int) -> tuple[int, int]:
    """PSS and RSS of a process in bytes; zeros if it has ended."""
    sizes = {"Pss": 0, "Rss": 0}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in sizes:
                sizes[name] = int(value.split()[0]) * 1024
    return sizes["Pss"], sizes["Rss"]
