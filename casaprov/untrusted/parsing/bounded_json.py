"""JSON from elsewhere, parsed within limits: a short text can take a hundred times its size in memory.

The numbers of values and keys are counted before a text is parsed, and that of keys again while it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["JsonLimits", "parse_json"]

_KEYS = "it holds more keys than casaprov reads"


@dataclass(frozen=True, kw_only=True)
class JsonLimits:
    """The largest text that is parsed.

    Attributes
    ----------
    containers
        Lists and objects: each takes a hundred times the memory of its two brackets.
    members
        Members of lists and objects.
    keys
        Names of members of objects: what is done with each takes more time than parsing it.
    depth
        Lists and objects in one another; files of casaprov stay below 60.
    """

    bytes: int = 256 * 2**20
    containers: int = 2_000_000
    members: int = 20_000_000
    keys: int = 1_500_000
    depth: int = 100


def parse_json(text: bytes, limits: JsonLimits | None = None, *, strict: bool = True) -> Any:
    """Parse a JSON text from elsewhere.

    Parameters
    ----------
    strict
        Refuse infinities, NaN, and a key that occurs twice in one object.

    Raises
    ------
    ValueError
        If it is no JSON text, or beyond a limit; the text of the error says which.
    """
    limits = limits or JsonLimits()
    if len(text) > limits.bytes:
        raise ValueError(f"it is larger than {limits.bytes} bytes")
    if text.count(b"[") + text.count(b"{") > limits.containers or text.count(b",") > limits.members:
        raise ValueError("it holds more values than casaprov reads")
    # The parser hands out the keys of an object when it has read all of it. A quote inside a text is escaped.
    if text.count(b'":') - text.count(b'\\":') > limits.keys:
        raise ValueError(_KEYS)
    constant: Callable[[str], Any] | None = _no_constant if strict else None
    try:
        data = json.loads(text, object_pairs_hook=_Pairs(limits.keys, strict=strict), parse_constant=constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _depth_exceeds(data, limits.depth):
        raise ValueError("it is nested too deeply")
    return data


class _Pairs:
    """Makes an object of its members, and counts those of all objects."""

    def __init__(self, most: int, *, strict: bool) -> None:
        self._left = most
        self._strict = strict

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._left -= len(pairs)
        if self._left < 0:
            raise ValueError(_KEYS)
        members = dict(pairs)
        if self._strict and len(members) != len(pairs):
            raise ValueError("a key occurs twice in one object")
        return members


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON value")


def _depth_exceeds(data: Any, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        level = [m for v in level if isinstance(v, dict | list) for m in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return False
    return True
