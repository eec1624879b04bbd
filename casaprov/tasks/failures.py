"""One line about a task call that failed: the task, the parameter that is to blame, and the reason.

CASA names parameters in several ways: its checks give a dict of complaints, or name "the vis parameter"; its selections
name the kind of an expression ("Field Expression"); other messages hold the value, such as the name of a file. Where none
of these fits, no parameter is named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from casaprov.tasks.calls import error_text
from casaprov.tasks.pathnames import strings

__all__ = ["FailedCall", "failed_call", "failure_line", "note_failure"]

_NOTE = "_casaprov_failed_call"

_EXPRESSIONS = {"time": "timerange", "uv": "uvrange", "uvdist": "uvrange", "obs": "observation"}
"""Parameters of selections that have another name than their expression has."""

_EXPRESSION = re.compile(r"\b(\w+)(?: range)? expression\b", re.IGNORECASE)
_PARAMETER = re.compile(r"\b(\w+)(?: vector)? parameter\b")
_KEYWORD = re.compile(r"unexpected keyword argument '(\w+)'")

_SHORTEST = 3  # characters of a value that names a parameter: shorter ones are in many messages by chance
_MOST_VALUE = 60
_MOST_REASON = 400


@dataclass(frozen=True)
class FailedCall:
    """A call that raised an exception: its task, and the parameters that the user gave."""

    task: str
    given: Mapping[str, Any] = field(default_factory=dict)


def note_failure(error: BaseException, task: str, given: Mapping[str, Any]) -> None:
    """Note the call that an exception comes from; the outermost call is noted last, and counts."""
    with suppress(AttributeError, TypeError):  # an exception may take no attributes
        setattr(error, _NOTE, FailedCall(task, dict(given)))


def failed_call(error: BaseException) -> FailedCall | None:
    """Return the call that an exception comes from; None if it comes from none."""
    found = getattr(error, _NOTE, None)
    return found if isinstance(found, FailedCall) else None


def failure_line(call: FailedCall, error: BaseException) -> str:
    """Return a line with the task, the parameter that is to blame if it can be found, and the reason."""
    text = error_text(error)
    complaints = _complaints(text)
    if complaints:
        return "; ".join(f"{_named(call, name)} failed: {reason}" for name, reason in complaints.items())
    reason = " ".join(text.split()) or type(error).__name__
    reason = reason if len(reason) <= _MOST_REASON else f"{reason[:_MOST_REASON]}…"
    return f"{_named(call, next(_blamed(call, text), ''))} failed: {reason}"


def _named(call: FailedCall, parameter: str) -> str:
    if not parameter:
        return call.task
    if parameter not in call.given:
        return f"{call.task}({parameter})"
    value = repr(call.given[parameter])
    return f"{call.task}({parameter}={value if len(value) <= _MOST_VALUE else value[:_MOST_VALUE] + '…'})"


def _complaints(text: str) -> dict[str, str]:
    """Return the complaints of CASA's check of parameters: ``{'gaintype': ['unallowed value Q']}``."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        return {}
    return {name: ", ".join(map(str, why)) if isinstance(why, list) else str(why) for name, why in found.items()}


def _blamed(call: FailedCall, text: str) -> Iterator[str]:
    """Yield the parameters that a message may mean, the most certain first."""
    yield from (found[1] for found in _KEYWORD.finditer(text))
    yield from (found[1] for found in _PARAMETER.finditer(text) if found[1] in call.given)
    for found in _EXPRESSION.finditer(text):
        name = _EXPRESSIONS.get(found[1].lower(), found[1].lower())
        if name in call.given:
            yield name
    for name, value in call.given.items():
        if any(len(one) >= _SHORTEST and re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text) for one in strings(value)):
            yield name
