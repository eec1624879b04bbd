"""Times at which this process started programs and processes.

Python reports them to audit hooks (:pep:`578`). What a C library starts by itself, and what the module
``multiprocessing`` starts by its own means, is not reported.
"""

from __future__ import annotations

import sys
import time
from collections import deque

from casaprov.processes.exempt import is_exempt

__all__ = ["STARTS", "count_starts", "starts_since"]

STARTS = frozenset({"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "pty.spawn", "subprocess.Popen"})
"""Audit events that start a program or a process."""

_MOST = 1000  # starts that are remembered

_starts_ns: deque[int] = deque(maxlen=_MOST)
_count = 0
_installed = False


def count_starts() -> int:
    """Return how many starts were noted so far; the first call begins to note them."""
    global _installed  # noqa: PLW0603 - one process, one hook
    if not _installed:  # Python has no way to remove a hook: it is added once
        _installed = True
        sys.addaudithook(_hook)
    return _count


def starts_since(count: int) -> list[int]:
    """Return when processes were started since :func:`count_starts` returned a number, in nanoseconds since 1970.

    Casaprov's own processes are left out.
    """
    new = _count - count
    return list(_starts_ns)[-new:] if new > 0 else []


def _hook(event: str, _arguments: object) -> None:
    global _count  # noqa: PLW0603 - as above
    if event in STARTS and not is_exempt():
        _starts_ns.append(time.time_ns())
        _count += 1
