"""Return values of two calls: the numbers in them that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from casaprov.records.model import Activity

__all__ = ["returned_change"]

_MOST = 3
_MOST_CHARACTERS = 40


def returned_change(first: Activity, second: Activity) -> str:
    """Return the first differences of the return values in words; empty if they are the same."""
    one, two = first.returned, second.returned
    digests = first.returned_digest, second.returned_digest
    if one == two and (None in digests or digests[0] == digests[1]):
        return ""
    found = list(_changes(one, two, ""))
    if not found:
        return "another value, beyond what the record shows"
    more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _changes(one: Any, two: Any, path: str) -> Iterator[str]:
    """Yield a text for each member of two JSON values that differs."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in dict.fromkeys((*one, *two)):
            name = path if key == "@array" else f"{path}.{key}" if path else str(key)  # as users write it
            yield from _changes(one.get(key), two.get(key), name)
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        for number, (left, right) in enumerate(zip(one, two, strict=True)):
            yield from _changes(left, right, f"{path}[{number}]")
    elif one != two:
        name = f"{path}: " if path else ""
        yield f"{name}{_short(one)} → {_short(two)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
