"""Text that Python code prints during a call, kept beside the stream that it goes to."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["kept_prints"]

_STREAMS = ("stdout", "stderr")


class _Kept:
    """A stream that passes everything on, and keeps the text of one thread."""

    def __init__(self, name: str, stream: Any, pieces: list[tuple[str, str]]) -> None:
        self._name = name
        self._stream = stream
        self._pieces = pieces
        self._thread = threading.get_ident()

    def write(self, text: str) -> Any:
        """Write a text."""
        if threading.get_ident() == self._thread and text:
            if self._pieces and self._pieces[-1][0] == self._name:
                self._pieces[-1] = (self._name, self._pieces[-1][1] + text)
            else:
                self._pieces.append((self._name, text))
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def kept_prints() -> Iterator[list[tuple[str, str]]]:
    """Keep the printed text of this thread in a block, in pieces with the name of their stream.

    What is printed still goes where it always goes.
    """
    pieces: list[tuple[str, str]] = []
    before = {name: getattr(sys, name) for name in _STREAMS}
    kept = {name: _Kept(name, stream, pieces) for name, stream in before.items() if stream is not None}
    for name, stream in kept.items():
        setattr(sys, name, stream)
    try:
        yield pieces
    finally:
        for name, stream in kept.items():
            # Code of the block may have put another stream in its place, and means it to stay.
            if getattr(sys, name) is stream:
                setattr(sys, name, before[name])
