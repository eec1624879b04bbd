"""What C++ code prints straight to file descriptors 1 and 2 during a task call.

A kernel sends such text to the cell whenever it gets round to it: a listing
comes in pieces, the last of them below another cell. Here it is taken, whole,
for the log of the call that printed it. What Python prints goes its own way.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["HEADING", "Printed", "joined", "taken", "unlogged"]

HEADING = "[printed, not logged:]"
"""Stands in a log before what was printed only."""

_MAX_BYTES = 2**20
_STREAMS = (1, 2)
_taking = threading.RLock()


class Printed:
    """Text in a file, while it grows and after it is complete."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._complete: str | None = None

    def text(self) -> str:
        """What is there by now; of very much the beginning and the end."""
        if self._complete is not None:
            return self._complete
        if self._file is None:
            return ""
        size = os.fstat(self._file.fileno()).st_size
        data = os.pread(self._file.fileno(), min(size, _MAX_BYTES), 0)
        if size > _MAX_BYTES:
            data += f"\n[casaprov left out what was printed here: {size} bytes in all]\n".encode()
            data += os.pread(self._file.fileno(), _MAX_BYTES // 8, max(_MAX_BYTES, size - _MAX_BYTES // 8))
        return data.decode("utf-8", "replace")

    def complete(self) -> None:
        """Nothing more will come."""
        self._complete = self.text()


@contextlib.contextmanager
def taken() -> Iterator[Printed]:
    """Take what is printed to the standard file descriptors, for a while.

    There is one pair of them in a process: while one thread takes, a block in
    another one takes nothing. A block inside has its own text.
    """
    if not _taking.acquire(blocking=False):
        yield Printed(None)
        return
    try:
        with tempfile.TemporaryFile() as file:
            printed = Printed(file)
            _flush()
            saved = {stream: os.dup(stream) for stream in _STREAMS}
            try:
                for stream in _STREAMS:
                    os.dup2(file.fileno(), stream)
                yield printed
            finally:
                _flush()
                for stream, copy in saved.items():
                    os.dup2(copy, stream)
                    os.close(copy)
                printed.complete()
    finally:
        _taking.release()


def joined(log: str, printed: str) -> str:
    """Return a log with what was printed and is not in it: CASA prints its warnings as well as logging them."""
    logged = {line.strip() for line in log.splitlines()}
    lines = [line.rstrip() for line in printed.splitlines()]
    while lines and (not lines[-1] or lines[-1].strip() in logged):
        lines.pop()
    only = [line for line in lines if not line or line.strip() not in logged]
    if not any(only):
        return log
    return "\n".join([log.rstrip("\n"), HEADING, *only, ""]).lstrip("\n")


def unlogged(printed: str) -> str:
    """Return what was printed without the lines that CASA logs as well."""
    lines = [line for line in printed.splitlines() if line.count("\t") < 3]
    return "\n".join([*lines, ""]) if any(line.strip() for line in lines) else ""


def _flush() -> None:
    """Have C write out what it holds back: it buffers where it prints to no terminal."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
