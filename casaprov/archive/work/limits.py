"""Limits of a child process and of all its descendants: memory, disk, time, processes.

The kernel limits single processes only, and cgroups need privileges; so the descendants are looked at twice a second.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from casaprov.confinement.disk_use import stored_bytes
from casaprov.confinement.group_use import parent_of, process_ids, resident_bytes

__all__ = ["Limits", "Outcome", "run_limited"]

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_INTERVAL_S = 0.5
_DISK_EVERY = 10  # intervals between two looks at the folder, which may hold many files
_MOST_OUTPUT = 256 * 2**20
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one child with all its descendants."""

    max_memory: int
    max_disk: int
    max_seconds: float
    max_processes: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of a child; `exceeded` names the limit that ended it."""

    code: int
    output: bytes
    errors: str
    exceeded: str = ""


def run_limited(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    environment: Mapping[str, str] | None = None,
    on_wait: Callable[[], bool] = lambda: True,
) -> Outcome:
    """Run a command in a folder, and end it with all its descendants when a limit is exceeded.

    Parameters
    ----------
    on_wait
        Called twice a second; False ends the child.
    """
    output, errors = folder / ".stdout", folder / ".stderr"
    with output.open("wb") as out, errors.open("wb") as err:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: _prepare(limits),  # noqa: PLW1509  # only system calls, and the worker has no locks
        )
    exceeded = ""
    begun = time.monotonic()
    looks = 0
    try:
        while child.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_INTERVAL_S)
                break
            looks += 1
            if not on_wait():
                exceeded = "lease"
            else:
                exceeded = _exceeded(child.pid, folder, limits, time.monotonic() - begun, looks)
            if exceeded:
                break
    finally:
        end_tree(child.pid)
        child.wait()
    return Outcome(
        code=child.returncode,
        output=output.read_bytes() if output.stat().st_size <= _MOST_OUTPUT else b"",
        errors=errors.read_bytes()[-10_000:].decode("utf-8", "replace"),
        exceeded=exceeded,
    )


def _prepare(limits: Limits) -> None:
    """Let the child end with the worker, leave no core, and write no file beyond the limit."""
    _libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.max_disk, limits.max_disk))


def _exceeded(pid: int, folder: Path, limits: Limits, seconds: float, looks: int) -> str:
    if seconds > limits.max_seconds:
        return "time"
    tree = descendants(pid)
    if len(tree) > limits.max_processes:
        return "processes"
    if sum(map(resident_bytes, tree)) > limits.max_memory:
        return "memory"
    if looks % _DISK_EVERY == 0 and stored_bytes(folder) > limits.max_disk:
        return "disk"
    return ""


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for one in process_ids():
        if (parent := parent_of(one)) is not None:
            parents.setdefault(parent, []).append(one)
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += parents.get(one, [])
    return found


def end_tree(pid: int) -> None:
    """End a process and all its descendants: stopped first, so that none starts another meanwhile."""
    tree = descendants(pid)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for one in tree:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, number)
        tree = sorted({*tree, *(d for one in tree for d in descendants(one))})


def watch_parent(act: Callable[[], None]) -> None:
    """Call `act` when the parent of this process ends: its end of our standard input is closed then."""

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 4096):
                pass
        act()

    threading.Thread(target=wait, name="parent", daemon=True).start()
