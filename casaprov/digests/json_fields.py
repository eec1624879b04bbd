"""Fields of JSON objects that another process or a stranger wrote, each checked for its type.

Trees come from crates, answers from workers that may read a stranger's table.
What is not of the expected type is refused here, so that no later line fails
on it. JSON knows no tuples, and Python takes ``true`` for 1: both are minded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args

from casaprov.errors import DigestError
from casaprov.hashing import Digest
from casaprov.records.observation import Observation, ProductType

__all__ = ["digest", "integer", "mapping", "number", "observations", "optional", "sequence", "text"]

T = TypeVar("T")

_LARGEST = 2**64
"""Largest integer that a column can hold; a larger one may have no float to subtract."""


def text(value: Any, name: str) -> str:
    """Return `value` if it is a text."""
    return _of_type(value, str, name, "a text")


def digest(value: Any, name: str) -> Digest:
    """Return `value` as a digest if it is a text."""
    return Digest(text(value, name))


def integer(value: Any, name: str, *, least: int = -_LARGEST) -> int:
    """Return `value` if it is an integer from `least` to 2**64."""
    if type(value) is not int or not least <= value <= _LARGEST:
        raise DigestError(f"{name} is no integer of the expected size.")
    return value


def number(value: Any, name: str) -> float | int:
    """Return `value` if it is a float, or an integer that has one."""
    return value if isinstance(value, float) else integer(value, name)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """Return `value` if it is an object."""
    return _of_type(value, dict, name, "an object")


def sequence(value: Any, name: str) -> list[Any]:
    """Return the members of `value` if it is an array; tuples count, since answers from this process hold them."""
    return list(value if isinstance(value, tuple) else _of_type(value, list, name, "an array"))


def optional(data: Mapping[str, Any], name: str, read: Callable[[Any, str], T]) -> T | None:
    """Return the field `name` of an object as `read` gives it; None if it is absent or null."""
    value = data.get(name)
    return None if value is None else read(value, name)


def observations(value: Any) -> tuple[Observation, ...]:
    """Return observations from an array of objects."""
    return tuple(_observation(mapping(row, "observation")) for row in sequence(value, "observations"))


def _observation(data: Mapping[str, Any]) -> Observation:
    facts: dict[str, Any] = {}
    for known in fields(Observation):
        if (value := data.get(known.name)) is None:
            continue
        match known.name:
            case "identifiers" | "sources":
                facts[known.name] = {text(key, "key"): text(v, key) for key, v in mapping(value, known.name).items()}
            case "calib_level":
                facts[known.name] = integer(value, known.name, least=0)
            case "s_ra" | "s_dec" | "t_min" | "t_max" | "em_min" | "em_max":
                facts[known.name] = float(number(value, known.name))
            case _:
                facts[known.name] = text(value, known.name)
    if facts.get("dataproduct_type", "image") not in get_args(ProductType):
        raise DigestError(f"{facts['dataproduct_type']} is no type of data product.")
    return Observation(**facts)


def _of_type(value: Any, kind: type[T], name: str, expected: str) -> T:
    if not isinstance(value, kind):
        raise DigestError(f"{name} is not {expected}.")
    return value
