"""Reasons why a call ran or was restored: its answer in the record, and the differences from the call before it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from casaprov.records.model import Activity, Document, Entity, Environment, Usage

__all__ = ["changes_since", "earlier_call", "environment_changes", "reasons"]

_MAX_VALUE = 60


def reasons(document: Document, activity: Activity) -> tuple[str, ...]:
    """Return sentences about the look-up of a call, and what changed since the last call like it."""
    answer = activity.look_up
    if answer is None:
        return (f"{activity.task} was not looked up: the cache was off.",)
    if answer.outcome == "restored":
        by = activity.restored_from or "an earlier call"
        return (f"{activity.task} was restored: call {by} had the same inputs, parameters and environment.",)
    if answer.outcome == "not-served":
        return (f"{activity.task} ran: it is never looked up as it was called. {answer.reason}",)
    earlier = earlier_call(document, activity)
    if earlier is None:
        return (f"{activity.task} ran: the record has no earlier call of it that was kept ({answer.reason}).",)
    changes = tuple(changes_since(document, earlier, activity))
    since = f"{activity.task} ran. Since call {earlier.id}:"
    if not changes:
        return (since, f"nothing changed in the record; its result was not kept, or is gone ({answer.reason}).")
    return (since, *changes)


def earlier_call(document: Document, activity: Activity) -> Activity | None:
    """Return the last completed call of the same task before a call, one with the same products if there is one."""
    before = document.activities[: document.activities.index(activity)]
    alike = [
        one for one in before if (one.task, one.package, one.outcome) == (activity.task, activity.package, "completed")
    ]
    paths = {entity.id: entity.path for entity in document.entities}

    def made(one: Activity) -> set[str]:
        return {paths[usage.entity] for usage in one.generated if usage.entity in paths}

    same = [one for one in alike if made(one) == made(activity)] or alike
    return same[-1] if same else None


def changes_since(document: Document, earlier: Activity, activity: Activity) -> Iterator[str]:
    """Yield a sentence for each parameter, input and part of the environment that two calls do not have in common."""
    for name in sorted(earlier.parameters.keys() | activity.parameters.keys()):
        old, new = earlier.parameters.get(name), activity.parameters.get(name)
        if old != new:
            yield f"the parameter {name} was {_short(old)} and is {_short(new)}."
    entities = {entity.id: entity for entity in document.entities}
    before, now = _inputs(earlier, entities), _inputs(activity, entities)
    for place in sorted(before.keys() | now.keys()):
        path, change = place[1], _change(before.get(place), now.get(place))
        if change:
            yield f"{path} {change}"
    sessions = {session.id: session.environment for session in document.sessions}
    old_environment, environment = sessions.get(earlier.session), sessions.get(activity.session)
    if old_environment is not None and environment is not None:
        yield from environment_changes(old_environment, environment)


def environment_changes(old: Environment, new: Environment) -> Iterator[str]:
    """Yield a sentence for each part of the environment that results can depend on and that differs."""
    for name in ("casatasks", "casatools", "casadata", "measures", "python", "threads", "packages"):
        was, found = getattr(old, name), getattr(new, name)
        if was != found:
            yield f"{name} was {_short(was)} and is {_short(found)}."


def _inputs(activity: Activity, entities: dict[str, Entity]) -> dict[tuple[str, str], Entity]:
    found = ((usage, entities[usage.entity]) for usage in activity.used if usage.entity in entities)
    return {(_role(usage), entity.path): entity for usage, entity in found}


def _role(usage: Usage) -> str:
    return usage.parameter or ""


def _change(old: Entity | None, new: Entity | None) -> str:
    if old is None:
        return "was not there, and is an input now."
    if new is None:
        return "was an input, and is none now."
    if old.id == new.id or (old.content_digest is not None and old.content_digest == new.content_digest):
        return ""
    if old.content_digest is None or new.content_digest is None:
        return "was not digested, and may have other content."
    by = f" by call {new.generated_by}" if new.generated_by else ""
    return f"has other content; it was left{by}." if by else "has other content."


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 3]}..."
