"""The calls that users made, each with the states that it and its inner calls used and left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Entity, Usage

__all__ = ["State", "WholeCall", "outermost", "whole_calls"]


@dataclass(frozen=True)
class State:
    """A state that a call used or left, and the parameter that named it."""

    entity: Entity
    parameter: str | None


@dataclass(frozen=True)
class WholeCall:
    """A call that a user made, with its inner calls.

    Attributes
    ----------
    used, left
        States that it used and that none of its own inner calls left; last states of the paths that it left.
    deleted
        Paths that it or an inner call removed.
    """

    activity: Activity
    used: tuple[State, ...]
    left: tuple[State, ...]
    deleted: tuple[str, ...]


def outermost(lineage: Lineage, activity: Activity) -> Activity:
    """Return the call that a user made, and that a call is, or is an inner call of."""
    while activity.parent in lineage.activities:
        activity = lineage.activities[activity.parent]
    return activity


def whole_calls(lineage: Lineage) -> tuple[WholeCall, ...]:
    """Return the calls that users made, in the order in which they began."""
    inner: dict[str, list[Activity]] = {}
    for activity in lineage.document.activities:
        inner.setdefault(outermost(lineage, activity).id, []).append(activity)
    outer = (activity for activity in lineage.document.activities if activity.id in inner)
    return tuple(_whole(lineage, activity, inner[activity.id]) for activity in outer)


def _whole(lineage: Lineage, activity: Activity, together: list[Activity]) -> WholeCall:
    own = {usage.entity for one in together for usage in one.generated}
    used = _states(lineage, (usage for one in together for usage in one.used if usage.entity not in own))
    left: dict[str, list[State]] = {}
    for state in _states(lineage, (usage for one in together for usage in one.generated)):
        left.setdefault(state.entity.path, []).append(state)
    deleted = dict.fromkeys(path for one in together for path in one.deleted)
    return WholeCall(activity, used, tuple(map(_last, left.values())), tuple(deleted))


def _states(lineage: Lineage, usages: Iterable[Usage]) -> tuple[State, ...]:
    found: dict[str, State] = {}
    for usage in usages:
        known = found.get(usage.entity)
        if known is None or known.parameter is None:  # a state that a parameter names goes by that
            found[usage.entity] = State(lineage.entities[usage.entity], usage.parameter)
    return tuple(found.values())


def _last(states: list[State]) -> State:
    """Return the state of a path that no other one of these was made from."""
    before = {state.entity.revision_of for state in states}
    return [state for state in states if state.entity.id not in before or len(states) == 1][-1]
