"""Requests for a part of a file (RFC 9110, section 14). Pure functions."""

from __future__ import annotations

import re

__all__ = ["Unsatisfiable", "part"]

_RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*")
_MOST_DIGITS = 18


class Unsatisfiable(Exception):
    """No byte of the file lies in the range."""


def part(header: str, size: int) -> tuple[int, int] | None:
    """Return first byte and length of the part that a ``Range`` header asks for; None for the whole file.

    Several ranges, other units and what is not understood mean the whole file, as the standard allows.

    Raises
    ------
    Unsatisfiable
        If the file ends before the range begins.
    """
    found = _RANGE.fullmatch(header.strip()) if header.isascii() else None
    if found is None or max(map(len, found.groups())) > _MOST_DIGITS or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:  # the last bytes of the file
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable
        return size - length, length
    begin, end = int(first), min(int(last), size - 1) if last else size - 1
    if last and int(last) < begin:
        return None
    if begin >= size:
        raise Unsatisfiable
    return begin, end - begin + 1
