"""The way of differences through a run: from a product that differs back to the calls where it began."""

from __future__ import annotations

from collections.abc import Sequence

from casaprov.diffs.model import CallDiff, ProductDiff, Role

__all__ = ["is_called_otherwise", "role_of", "roots"]


def is_called_otherwise(call: CallDiff) -> bool:
    """Return True if a call itself differs, apart from the products of earlier calls that it used."""
    return (
        call.first is None
        or call.second is None
        or call.moved
        or any(not change.only_names for change in call.parameters)
        or any(change.source != "call" for change in call.inputs)
    )


def role_of(call: CallDiff, *, inherits: bool, other_versions: bool) -> Role:
    """Return the part that a call has in the differences.

    Parameters
    ----------
    inherits
        Whether something that it used differs because of an earlier call.
    other_versions
        Whether it ran under other versions or settings.
    """
    otherwise = is_called_otherwise(call)
    left_other = bool(call.outcomes) or bool(call.returned and (otherwise or inherits)) or bool(call.products)
    if not left_other:
        return "no-effect" if otherwise else "same"
    if otherwise:
        return "cause"
    if inherits:
        return "effect"
    # A plain file of other bytes may be a listing, which names folders and times: no reason to call it a difference.
    if not call.outcomes and all(map(_is_undecided, call.products)):
        return "same"
    return "environment" if other_versions else "unexplained"


def _is_undecided(product: ProductDiff) -> bool:
    return product.comparison is not None and product.comparison.verdict == "not-verifiable"


def roots(calls: Sequence[CallDiff]) -> list[frozenset[int]]:
    """Return the places of the causes behind each call: its own place, and those behind the calls that it used."""
    found: list[frozenset[int] | None] = [None] * len(calls)

    # A moved call may have used what stands below it here: no order of the list helps, so each call is asked in turn.
    def visit(start: int) -> None:
        todo, entered = [start], set[int]()
        while todo:
            place = todo[-1]
            before = [n for change in calls[place].inputs for n in change.from_calls if n != place]
            waiting = [n for n in before if found[n] is None and n not in entered]
            entered.add(place)
            if waiting:
                todo += waiting
                continue
            own = {place} if calls[place].role in ("cause", "environment", "unexplained") else set[int]()
            found[place] = frozenset(own.union(*(found[n] or frozenset() for n in before)))
            todo.pop()

    for place in range(len(calls)):
        if found[place] is None:
            visit(place)
    return [one or frozenset() for one in found]
