"""Pairs of calls: which call of one run corresponds to which call of the other.

Calls keep their order, as lines do in a comparison of texts: first those that are the same in all that was given are
paired, between them those that left the same paths, and between these those of the same task. A call that ran at
another place is found afterwards by the paths that it left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from casaprov.diffs.run import Call

__all__ = ["Pair", "match_calls"]

_Key = Callable[[Call], Hashable]


@dataclass(frozen=True)
class Pair:
    """A call of both runs, or of one of them; `moved` if it ran at another place."""

    first: Call | None
    second: Call | None
    moved: bool = False


def match_calls(first: Sequence[Call], second: Sequence[Call]) -> tuple[Pair, ...]:
    """Pair the calls of two runs; the pairs are in the order in which the calls ran."""
    aligned = list(_align(first, second, (_as_given, _by_paths, _by_task)))
    paired = {one.place for one, _ in aligned}, {two.place for _, two in aligned}
    rest = [one for one in first if one.place not in paired[0]]
    moved = dict(_moved(rest, [two for two in second if two.place not in paired[1]]))
    gone = {one.place for one in moved.values()}
    return tuple(_in_order(first, second, aligned, moved, gone))


def _align(first: Sequence[Call], second: Sequence[Call], keys: Sequence[_Key]) -> Iterator[tuple[Call, Call]]:
    """Yield pairs that keep the order of both runs."""
    if not keys or not first or not second:
        return
    key, *further = keys
    matcher = SequenceMatcher(None, [key(call) for call in first], [key(call) for call in second], autojunk=False)
    one = two = 0
    for block in matcher.get_matching_blocks():
        yield from _align(first[one : block.a], second[two : block.b], further)
        one, two = block.a + block.size, block.b + block.size
        yield from zip(first[block.a : one], second[block.b : two], strict=True)


def _moved(first: Sequence[Call], second: Sequence[Call]) -> Iterator[tuple[int, Call]]:
    """Yield the call of the first run for calls of the second, by their places, whatever the order."""
    for key in (_as_given, _by_paths):
        left: dict[Hashable, list[Call]] = {}
        for call in first:
            left.setdefault(key(call), []).append(call)
        remaining = []
        for call in second:
            if (found := left.get(key(call))) and (call.left or call.activity.deleted or key is _as_given):
                yield call.place, found.pop(0)
            else:
                remaining.append(call)
        first, second = [call for calls in left.values() for call in calls], remaining


def _in_order(
    first: Sequence[Call],
    second: Sequence[Call],
    aligned: Sequence[tuple[Call, Call]],
    moved: dict[int, Call],
    gone: set[int],
) -> Iterator[Pair]:
    one = two = 0
    for left, right in (*((a.place, b.place) for a, b in aligned), (len(first), len(second))):
        yield from (Pair(call, None) for call in first[one:left] if call.place not in gone)
        for call in second[two:right]:
            yield Pair(moved.get(call.place), call, moved=call.place in moved)
        if left < len(first):
            yield Pair(first[left], second[right])
        one, two = left + 1, right + 1


def _by_task(call: Call) -> Hashable:
    return call.activity.package, call.activity.task


def _by_paths(call: Call) -> Hashable:
    return _by_task(call), frozenset(state.entity.path for state in call.left), frozenset(call.activity.deleted)


def _as_given(call: Call) -> Hashable:
    given = {name: call.parameters.get(name) for name in call.activity.given}
    return _by_paths(call), json.dumps(given, sort_keys=True, default=str)
