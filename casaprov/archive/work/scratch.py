"""Scratch folders of workers: each has one of its own, and that of a dead one is removed with its processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from casaprov.confinement.group_use import process_ids

__all__ = ["own_folder", "remove_dead"]

_LOCK = ".lock"
_ROUNDS, _ROUND_S = 100, 0.1


def own_folder(above: Path, owner: object) -> Path:
    """Make the scratch folder of a worker, which counts as alive as long as `owner` and this process live."""
    above.mkdir(parents=True, exist_ok=True)
    with _alone(above):
        _remove_dead(above)
        folder = Path(tempfile.mkdtemp(prefix="worker-", dir=above))
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    weakref.finalize(owner, os.close, descriptor)
    return folder


def remove_dead(above: Path) -> None:
    """Remove the folders of workers that have died."""
    above.mkdir(parents=True, exist_ok=True)
    with _alone(above):
        _remove_dead(above)


@contextmanager
def _alone(above: Path) -> Iterator[None]:
    """Let one process at a time make and remove folders: one that was just made is not locked yet."""
    with (above / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_dead(above: Path) -> None:
    for folder in above.glob("worker-*"):
        with suppress(BlockingIOError), (folder / _LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end_processes_in(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _end_processes_in(folder: Path) -> None:
    """End the processes in a folder: the call that a killed worker's replay was in goes on without limits."""
    for _ in range(_ROUNDS):
        found = [pid for pid in process_ids() if _works_in(pid, folder)]
        if not found:
            return
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none starts another meanwhile
            for pid in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        time.sleep(_ROUND_S)


def _works_in(pid: int, folder: Path) -> bool:
    """Return True if the working folder of a process is a folder or is in it; a dead process has none."""
    try:
        return pid != os.getpid() and Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    except OSError:
        return False
