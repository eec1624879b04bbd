"""Guard that makes code wait before it changes files which casaprov still reads.

It keeps the third promise of :mod:`casaprov.recording` for code that is no recorded call. Python reports file
operations and new programs to audit hooks (:pep:`578`) before they happen. A C library that writes by itself is not
seen; its change shows in the stamps of the file, and the record says so.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from casaprov.processes.exempt import is_exempt
from casaprov.processes.starts import STARTS
from casaprov.recording.finish_queue import FinishQueue

__all__ = ["guard_writes"]

_log = logging.getLogger(__name__)

_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Audit events that change files: the index of each argument that is a path, and the index of the argument with the
# folder that a relative path starts from (-1: there is none). Changes of times and modes are among them: the stamps
# would move, and the record would take that for a change of the content.
_CHANGES = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.removexattr": ((0, -1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.setxattr": ((0, -1),),
    "os.truncate": ((0, -1),),
    "os.utime": ((0, 3),),
}

# Audit events of copies. They change nothing, and need not wait. Copies by programs wait as all programs do.
_COPIES = ("shutil.copyfile", "shutil.copytree")

_finish_queue: FinishQueue | None = None
_read_only_thread: int | None = None
_installed = False


def guard_writes(finish_queue: FinishQueue | None, *, read_only_programs: bool = False) -> None:
    """Make code of this process wait for `finish_queue` from now on; None ends that.

    Parameters
    ----------
    read_only_programs
        Whether programs that this thread starts are known to change nothing, and need not wait.
    """
    global _finish_queue, _read_only_thread, _installed  # noqa: PLW0603 - one process, one hook
    _finish_queue, _read_only_thread = finish_queue, threading.get_ident() if read_only_programs else None
    if not _installed and finish_queue is not None:  # Python has no way to remove a hook: it is added once
        _installed = True
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Python calls this for every event of the process: the cheapest test comes first. The variable is read once,
    # because another thread may change it.
    finish_queue = _finish_queue
    if finish_queue is None or not finish_queue.busy:
        return
    if event not in STARTS and event not in _CHANGES and event not in _COPIES and event != "open":
        return
    if is_exempt():
        return
    if event in _COPIES:
        with suppress(Exception):  # wrong arguments are Python's to refuse
            finish_queue.note_copied(_names_of(arguments[0], ""))
    elif event not in STARTS:
        _wait_before(event, arguments, finish_queue)
    elif threading.get_ident() != _read_only_thread:
        finish_queue.wait()


def _wait_before(event: str, arguments: tuple[Any, ...], finish_queue: FinishQueue) -> None:
    try:
        paths = tuple(_changed_paths(event, arguments))
    except LookupError:  # it may be any path
        finish_queue.wait()
        return
    except Exception:  # noqa: BLE001 - wrong arguments are Python's to refuse
        _log.info("%s%r is not understood", event, arguments, exc_info=True)
        return
    if paths:
        # A folder is opened for writing only to hold a file without a name: that changes nothing below it.
        finish_queue.wait_for(paths, below=event != "open")


def _changed_paths(event: str, arguments: tuple[Any, ...]) -> Iterator[Path]:
    """Yield the paths that are about to change, as they are named and with links followed."""
    if event == "open":
        path, mode, flags = arguments
        if flags & _WRITE_FLAGS and not isinstance(path, int):
            # Without a mode it is os.open, whose event does not contain the folder that a path starts from.
            if mode is None and not Path(os.fsdecode(path)).is_absolute():
                raise LookupError("os.open does not tell which folder a path starts from")
            yield from _names_of(path, "")
        return
    for index, start in _CHANGES[event]:
        folder = arguments[start] if start >= 0 else -1
        yield from _names_of(arguments[index], _path_of_descriptor(folder) if folder >= 0 else "")


def _names_of(path: Any, folder: str) -> Iterator[Path]:
    text = _path_of_descriptor(path) if isinstance(path, int) else os.fsdecode(path)
    absolute = os.path.abspath(os.path.join(folder, text))  # noqa: PTH100, PTH118 - a link is not its target
    yield Path(absolute)
    yield Path(absolute).resolve()


def _path_of_descriptor(number: int) -> str:
    return str(Path(f"/dev/fd/{number}").resolve())
