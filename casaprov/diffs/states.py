"""States of two calls that correspond to each other, also where the runs name them differently."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from casaprov.diffs.run import Call
from casaprov.lineage.whole_calls import State
from casaprov.records.model import Entity

__all__ = ["Names", "match_states", "same_content"]


@dataclass
class Names:
    """Paths of the second run by those of the first, as far as products were found to correspond."""

    known: dict[str, str] = field(default_factory=dict)

    def add(self, first: str, second: str) -> None:
        """Note the two paths of a product."""
        if first != second:
            self.known[first] = second

    def second(self, path: str) -> str:
        """Return the path in the second run of a path in the first, also of paths in or beside a product."""
        if path in self.known:
            return self.known[path]
        for end in sorted((n for n, c in enumerate(path) if c in "./" and path[:n] in self.known), reverse=True):
            return self.known[path[:end]] + path[end:]
        return path


def same_content(first: Entity, second: Entity) -> bool | None:
    """Return True if two states have the same content, False if not; None if their records do not decide it."""
    if first.byte_digest is not None and first.byte_digest == second.byte_digest:
        return True
    if first.content_digest is None or second.content_digest is None or first.tier != second.tier:
        return None
    return first.content_digest == second.content_digest


def match_states(
    first: Call, second: Call, of: Callable[[Call], Iterable[State]], names: Names
) -> Iterator[tuple[State | None, State | None]]:
    """Yield pairs of states that two calls used, or left; states of one call only are paired with None."""
    ones, twos = list(of(first)), list(of(second))
    values = first.parameters, second.parameters

    def in_same_place(one: State, two: State) -> bool:
        return one.parameter == two.parameter and names.second(one.entity.path) == two.entity.path

    def with_same_prefix(one: State, two: State) -> bool:
        if one.parameter is None or one.parameter != two.parameter:
            return False
        old, new = (value.get(one.parameter) for value in values)
        path = one.entity.path
        return isinstance(old, str) and path.startswith(old) and two.entity.path == f"{new}{path[len(old) :]}"

    def by_path(one: State, two: State) -> bool:
        return names.second(one.entity.path) == two.entity.path

    for alike in (in_same_place, with_same_prefix, by_path):
        yield from _taken(ones, twos, alike)
    for parameter, kind in dict.fromkeys((state.parameter, state.entity.kind) for state in ones):
        lefts, rights = (
            [s for s in side if (s.parameter, s.entity.kind) == (parameter, kind)] for side in (ones, twos)
        )
        if len(lefts) == len(rights):  # otherwise it is not known which of them has no counterpart
            yield from zip(lefts, rights, strict=True)
            ones, twos = ([s for s in side if s not in taken] for side, taken in ((ones, lefts), (twos, rights)))
    yield from ((one, None) for one in ones)
    yield from ((None, two) for two in twos)


def _taken(
    ones: list[State], twos: list[State], alike: Callable[[State, State], bool]
) -> Iterator[tuple[State | None, State | None]]:
    """Take the pairs that are alike out of two lists."""
    for one in tuple(ones):
        two = next((two for two in twos if alike(one, two)), None)
        if two is not None:
            ones.remove(one)
            twos.remove(two)
            yield one, two
