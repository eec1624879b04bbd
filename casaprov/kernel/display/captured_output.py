"""Output that C++ code prints straight to file descriptors 1 and 2 during a task call.

A kernel sends such text to a cell when it finds the time: a listing comes in pieces, the last of them below another
cell. Here the text is captured as a whole, for the log of the call that printed it. Python's own output is left alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["HEADING", "CapturedText", "add_printed", "captured", "without_logged"]

HEADING = "[printed, not logged:]"
"""Heading, in a log, of the text that was printed but not logged."""

_MAX_BYTES = 2**20
_STREAMS = (1, 2)
_capturing = threading.RLock()


class CapturedText:
    """Text in a file, while it grows and after it is complete."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._complete: str | None = None

    def text(self) -> str:
        """Return the text so far; of a very long text its beginning and end."""
        if self._complete is not None:
            return self._complete
        if self._file is None:
            return ""
        size = os.fstat(self._file.fileno()).st_size
        data = os.pread(self._file.fileno(), min(size, _MAX_BYTES), 0)
        if size > _MAX_BYTES:
            data += f"\n[casaprov left out text here: {size} bytes in all]\n".encode()
            data += os.pread(self._file.fileno(), _MAX_BYTES // 8, max(_MAX_BYTES, size - _MAX_BYTES // 8))
        return data.decode("utf-8", "replace")

    def complete(self) -> None:
        """Keep the text; the file may be closed."""
        self._complete = self.text()


@contextlib.contextmanager
def captured() -> Iterator[CapturedText]:
    """Capture the text that is printed to the standard file descriptors in a block.

    A process has one pair of them: while one thread captures, a block in another thread captures nothing. A block
    inside of another has its own text.
    """
    if not _capturing.acquire(blocking=False):
        yield CapturedText(None)
        return
    try:
        with tempfile.TemporaryFile() as file:
            printed = CapturedText(file)
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
        _capturing.release()


def add_printed(log: str, printed: str) -> str:
    """Return a log with the printed lines added that it does not hold: CASA logs its warnings and prints them too."""
    logged = {line.strip() for line in log.splitlines()}
    lines = [line.rstrip() for line in printed.splitlines()]
    while lines and (not lines[-1] or lines[-1].strip() in logged):
        lines.pop()
    only = [line for line in lines if not line or line.strip() not in logged]
    if not any(only):
        return log
    return "\n".join([log.rstrip("\n"), HEADING, *only, ""]).lstrip("\n")


def without_logged(printed: str) -> str:
    """Return printed text without the lines that CASA logs as well, known by their tabs."""
    lines = [line for line in printed.splitlines() if line.count("\t") < 3]
    return "\n".join([*lines, ""]) if any(line.strip() for line in lines) else ""


def _flush() -> None:
    """Flush C's buffers: C holds text back where it prints to no terminal."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
