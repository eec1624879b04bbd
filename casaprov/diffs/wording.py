"""Sentences about differences: short, on one line, with the numbers that matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from casaprov.comparison.verdict import Comparison
from casaprov.diffs.model import CallDiff, InputChange, ParameterChange, ProductDiff
from casaprov.records.values import value_text

__all__ = [
    "call_changes",
    "cause_sentence",
    "environment_text",
    "listed",
    "parameter_text",
    "product_text",
    "same_calls_text",
]

_MOST_CHARACTERS = 60
_MOST = 3
_SIDES = {"first": "the first run", "second": "the second run"}


def call_changes(call: CallDiff) -> Iterator[str]:
    """Yield the differences of a call: its parameters and inputs first, then its end."""
    if call.first is None:
        yield "only in the second run"
    elif call.second is None:
        yield "only in the first run"
    if call.moved:
        yield "ran at another place"
    yield from (parameter_text(change) for change in call.parameters if not change.only_names)
    yield from map(_input_text, call.inputs)
    names = [change.name for change in call.parameters if change.only_names]
    if names:
        yield f"other names for the same: {', '.join(names)}"
    if call.outcomes:
        yield f"{call.outcomes[0]} → {call.outcomes[1]}"
    if call.returned:
        yield f"returned {call.returned}"


def cause_sentence(call: CallDiff) -> str:
    """Return the own differences of a call that is a cause."""
    name = f"Call {call.number} {call.task}"
    if call.role == "environment":
        return f"{name}: the same call under other versions."
    if call.role == "unexplained":
        return f"{name}: the same call on the same inputs left something else."
    if call.first is None or call.second is None:
        return f"{name}: {'only in the second run' if call.first is None else 'only in the first run'}."
    own = ["it ran at another place"] if call.moved else []
    own += [parameter_text(change) for change in call.parameters if not change.only_names]
    own += [_input_text(change) for change in call.inputs if change.source != "call"]
    return f"{name}: {listed(own, 5)}."


def parameter_text(change: ParameterChange) -> str:
    """Return the two values of a parameter: ``solint: 'inf' → '60s'``."""
    if change.presence != "both":
        value = change.first if change.presence == "first" else change.second
        return f"{change.name}={value_text(value, _MOST_CHARACTERS)} only in {_SIDES[change.presence]}"
    default = {"first": " (the default)", "second": "", "both": "", "neither": " (defaults)"}[change.given]
    was_default = " (the default)" if change.given == "second" else ""
    return f"{change.name}: {value_text(change.first, _MOST_CHARACTERS)}{was_default} → {value_text(change.second, _MOST_CHARACTERS)}{default}"


def _input_text(change: InputChange) -> str:
    if change.presence != "both":
        return f"{change.path} is an input only in {_SIDES[change.presence]}"
    if change.source == "outside":
        return f"{change.path} was changed outside of recorded calls"
    if change.source == "external":
        return f"the input {change.path} has another content"
    return f"{change.path} has another content"


def product_text(product: ProductDiff) -> str:
    """Return the verdict on a product in words, with the first numbers."""
    if product.comparison is None:
        return f"only in {_SIDES.get(product.presence, 'one run')}"
    return _differences(product.comparison)


def _differences(comparison: Comparison) -> str:
    texts = [f"{d.path}: {d.what}" if d.path else d.what for d in comparison.differences]
    return listed([text.removesuffix(".") for text in texts], _MOST) or comparison.note


def environment_text(name: str, recorded: str, now: str) -> str:
    """Return a version or setting of both runs: ``casatasks: 6.7.0.31 → 6.7.5.18``."""
    return f"{name}: {recorded or 'none'} → {now or 'none'}"


def listed(texts: Sequence[str] | Iterable[str], most: int) -> str:
    """Return the first texts in one line, and the number of the others."""
    texts = list(texts)
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


def same_calls_text(count: int) -> str:
    """Return the line that stands for calls that do not differ."""
    return "1 call is the same" if count == 1 else f"{count} calls are the same"
