"""Comparison of two files that are no FITS files: text by lines, anything else by bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from casaprov.comparison.verdict import Difference
from casaprov.files.regular import open_regular

__all__ = ["compare_files", "same_bytes"]

_CHUNK_BYTES = 2**20
_SHOWN_LINES = 10
_LINE_LENGTH = 80


def same_bytes(left: Path, right: Path) -> bool:
    """Return True if two files hold the same bytes."""
    if left.stat().st_size != right.stat().st_size:
        return False
    return all(a == b for a, b in _chunks(left, right))


def compare_files(left: Path, right: Path, prefix: str = "") -> Iterator[Difference]:
    """Yield the differences of two files: the first differing lines of text, else how many bytes differ."""
    if same_bytes(left, right):
        return
    if _is_text(left) and _is_text(right):
        yield from _compare_lines(left, right, prefix)
    else:
        yield _compare_bytes(left, right, prefix)


def _compare_lines(left: Path, right: Path, prefix: str) -> Iterator[Difference]:
    """Compare lines by their number: an inserted line shifts the rest."""
    shown = differing = count = 0
    with _open_text(left) as one, _open_text(right) as two:
        for count, (before, now) in enumerate(zip_longest(one, two), start=1):
            if before == now:
                continue
            differing += 1
            if shown < _SHOWN_LINES:
                shown += 1
                yield Difference(f"{prefix}line {count}", f"The line is {_quoted(now)} instead of {_quoted(before)}.")
    if differing > shown:
        sentence = f"{differing} of {count} lines differ; the first {shown} are shown."
        yield Difference(f"{prefix}lines", sentence, differing, count)


def _quoted(line: str | None) -> str:
    if line is None:
        return "missing"
    return repr(line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + "…")


def _compare_bytes(left: Path, right: Path, prefix: str) -> Difference:
    sizes = left.stat().st_size, right.stat().st_size
    compared = differing = 0
    first: int | None = None
    for a, b in _chunks(left, right):
        size = min(len(a), len(b))
        where = np.flatnonzero(np.frombuffer(a, np.uint8, size) != np.frombuffer(b, np.uint8, size))
        if where.size and first is None:
            first = compared + int(where[0])
        differing += where.size
        compared += size
    sentence = (
        f"{differing} of {compared} bytes differ" if first is not None else f"The first {compared} bytes are the same"
    )
    if first is not None:
        sentence += f", the first at offset {first}"
    if sizes[0] != sizes[1]:
        sentence += f"; the file has {sizes[1]} bytes instead of {sizes[0]}"
    return Difference(f"{prefix}bytes", f"{sentence}.", differing, compared)


def _chunks(left: Path, right: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield the two files piece by piece, as far as both or either go."""
    with open_regular(left) as one, open_regular(right) as two:
        while True:
            a, b = one.read(_CHUNK_BYTES), two.read(_CHUNK_BYTES)
            if not a and not b:
                return
            yield a, b


def _open_text(path: Path) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="")


def _is_text(path: Path) -> bool:
    """Return True if a file is UTF-8 text without NUL characters."""
    try:
        with _open_text(path) as file:
            while piece := file.read(_CHUNK_BYTES):
                if "\0" in piece:
                    return False
    except UnicodeDecodeError:
        return False
    return True
