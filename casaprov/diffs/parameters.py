"""Parameters that differ between two calls, and those that merely name the same things by other paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from casaprov.diffs.model import Given, ParameterChange, Presence
from casaprov.diffs.run import Call

__all__ = ["parameter_changes"]


def parameter_changes(first: Call, second: Call) -> Iterator[ParameterChange]:
    """Yield a change for each parameter that differs: those that the user gave before defaults."""
    given = set(first.activity.given) | set(second.activity.given)
    names = [*first.activity.given, *second.activity.given, *sorted(first.parameters), *sorted(second.parameters)]
    for name in sorted(dict.fromkeys(names), key=lambda name: name not in given):
        one, two = first.parameters.get(name), second.parameters.get(name)
        presence = _presence(name in first.parameters, name in second.parameters)
        if presence is None or (presence == "both" and _same(one, two)):
            continue
        yield ParameterChange(
            name=name,
            first=one,
            second=two,
            presence=presence,
            given=_given(name in first.activity.given, name in second.activity.given),
            only_names=presence == "both" and _only_names(name, first, second),
        )


def _same(one: Any, two: Any) -> bool:
    """Return True if two JSON values are equal; to a task, 1 is not True, and 5 is 5.0."""
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    return isinstance(one, bool) == isinstance(two, bool) and bool(one == two)


def _presence(first: bool, second: bool) -> Presence | None:
    if first and second:
        return "both"
    return "first" if first else "second" if second else None


def _given(first: bool, second: bool) -> Given:
    return _presence(first, second) or "neither"


def _only_names(name: str, first: Call, second: Call) -> bool:
    """Return True if a parameter names as many files in both calls, and only its texts differ.

    Whether these files have the same content is another question.
    """
    named = [sum(state.parameter == name for state in (*call.used, *call.left)) for call in (first, second)]
    shapes = _shape(first.parameters[name]), _shape(second.parameters[name])
    return named[0] == named[1] > 0 and _same(*shapes)


def _shape(value: Any) -> Any:
    """Return a value with an empty text in place of each text in it."""
    match value:
        case str():
            return ""
        case list():
            return [_shape(member) for member in value]
        case dict():
            return {key: _shape(member) for key, member in value.items()}
        case _:
            return value
