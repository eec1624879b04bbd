"""Makes code wait that is about to change files which casaprov still reads.

Python reports what it is about to do with files and programs to audit hooks
(:pep:`578`). Code that is not Python's is not seen: what it changes too early
shows in the stamps of the files, and the record says so.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from casaprov.processes.exempt import is_own_work
from casaprov.recording.finish_queue import FinishQueue

__all__ = ["guard_writes"]

_log = logging.getLogger(__name__)

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# Events that change files: where among their arguments a path is, and the folder that it starts from (none: -1).
# What changes only times and modes counts, too: it would look like a change of the content.
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

# Events that begin a program or a process, which may change anything.
_PROGRAMS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "pty.spawn",
    "subprocess.Popen",
}

_endings: FinishQueue | None = None
_looking: int | None = None
_installed = False


def guard_writes(endings: FinishQueue | None, *, looking: bool = False) -> None:
    """Make code of this process wait for `endings` from now on; None for no more.

    A hook cannot be taken out again; it does nothing then.

    Parameters
    ----------
    looking
        Whether programs that this thread begins need not wait: they are known to change nothing.
    """
    global _endings, _looking, _installed  # noqa: PLW0603 - one process, one hook
    _endings, _looking = endings, threading.get_ident() if looking else None
    if not _installed and endings is not None:
        _installed = True
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    endings = _endings
    if endings is None or not endings.busy:
        return
    if event not in _PROGRAMS and event not in _CHANGES and event != "open":
        return
    if is_own_work():
        return
    if event not in _PROGRAMS:
        _wait_for(endings, event, arguments)
    elif threading.get_ident() != _looking:
        endings.settle()


def _wait_for(endings: FinishQueue, event: str, arguments: tuple[Any, ...]) -> None:
    try:
        paths = tuple(_changed(event, arguments))
    except LookupError:  # it may be any path
        endings.settle()
        return
    except Exception:  # noqa: BLE001 - whatever it is, it is not ours to refuse
        _log.info("%s%r is not understood", event, arguments, exc_info=True)
        return
    if paths:
        # Nobody opens a folder to write, unless it is for a file without a name in it.
        endings.settle_for(paths, below=event != "open")


def _changed(event: str, arguments: tuple[Any, ...]) -> Iterator[Path]:
    """Yield the paths that are about to change, as they are named and as they are."""
    if event == "open":
        path, mode, flags = arguments
        if flags & _WRITES and not isinstance(path, int):
            if mode is None and not Path(os.fsdecode(path)).is_absolute():
                raise LookupError("os.open does not tell which folder a path starts from")
            yield from _paths(path, "")
        return
    for index, start in _CHANGES[event]:
        folder = arguments[start] if start >= 0 else -1
        yield from _paths(arguments[index], _of_descriptor(folder) if folder >= 0 else "")


def _paths(path: Any, folder: str) -> Iterator[Path]:
    text = _of_descriptor(path) if isinstance(path, int) else os.fsdecode(path)
    absolute = os.path.abspath(os.path.join(folder, text))  # noqa: PTH100, PTH118 - a link is not its target
    yield Path(absolute)
    yield Path(absolute).resolve()


def _of_descriptor(number: int) -> str:
    return str(Path(f"/dev/fd/{number}").resolve())
