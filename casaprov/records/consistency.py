"""The consistency of a Document: rules between its records, which no schema can express."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from casaprov.errors import Issue
from casaprov.records.model import Activity, Document, Entity
from casaprov.records.values import Room, from_json

__all__ = ["record_issues", "value_issues"]

# CASA's C++ ends a string at its NUL, while casaprov checks all of it. Of the other control characters only tab, line
# feed and carriage return have a meaning for a task, and many have one for a terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def record_issues(document: Document) -> tuple[Issue, ...]:
    """Return everything in which the records of a Document contradict each other.

    A Document may leave out sessions that its results did not come from: the
    call that generated an Entity, and the state it was changed from, may be
    unknown. The records that it does contain must agree.
    """
    return (*_doubles(document), *_activities(document), *_entities(document))


def value_issues(document: Document) -> Iterator[Issue]:
    """Yield an issue for each value that no task can be given, and each name that no file can have."""
    for number, session in enumerate(document.sessions):
        if "\0" in session.folder:
            yield Issue(f"/sessions/{number}", f"The folder of session {session.id} holds the character U+0000.")
    for number, activity in enumerate(document.activities):
        at = f"/activities/{number}"
        if not activity.package.startswith("casa"):
            continue  # only tasks are ever called again
        room = Room()
        for name, value in activity.parameters.items():
            where = f"The parameter {name} of call {activity.id} ({activity.task})"
            try:
                found = _control_character(from_json(value, room))
            except (ValueError, TypeError, AttributeError, OverflowError, MemoryError):
                yield Issue(at, f"{where} cannot be read: it is no value that casaprov writes.")
                continue
            if found or (found := _control_character(name)):
                message = f"{where} holds the control character U+{ord(found):04X}, which no task can be given."
                yield Issue(at, message)


def _control_character(value: Any) -> str:
    """Return the first control character in the strings of a value; tabs and line breaks count as text."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        found = _CONTROL.search(value)
        return found[0] if found else ""
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    elif hasattr(value, "dtype"):
        value = value.ravel().tolist() if value.dtype.kind in "SU" else ()
    return next(filter(None, map(_control_character, value)), "") if isinstance(value, list) else ""


def _doubles(document: Document) -> Iterator[Issue]:
    for name in ("sessions", "activities", "entities", "agents"):
        counted = Counter(record.id for record in getattr(document, name))
        for identifier, times in counted.items():
            if times > 1:
                yield Issue(f"/{name}", f"The id {identifier} belongs to {times} records.")


def _activities(document: Document) -> Iterator[Issue]:
    sessions = {session.id for session in document.sessions}
    activities = {activity.id: activity for activity in document.activities}
    entities = {entity.id: entity for entity in document.entities}
    circular = _endless({activity.id: activity.parent for activity in document.activities})
    for number, activity in enumerate(document.activities):
        at = f"/activities/{number}"
        if activity.id in circular:
            yield Issue(at, f"Call {activity.id} was made by itself.")
        if activity.session not in sessions:
            yield Issue(at, f"Call {activity.id} belongs to a session {activity.session} that is not recorded.")
        if activity.parent is not None and activity.parent not in activities:
            yield Issue(at, f"Call {activity.id} was made by a call {activity.parent} that is not recorded.")
        for name in activity.given:
            if name not in activity.parameters:
                yield Issue(at, f"Call {activity.id} was given {name}, which is not among its parameters.")
        yield from _usages(at, activity, entities, activities)


def _usages(
    at: str, activity: Activity, entities: dict[str, Entity], activities: dict[str, Activity]
) -> Iterator[Issue]:
    for usage in (*activity.used, *activity.generated):
        if usage.entity not in entities:
            yield Issue(at, f"Call {activity.id} names an entity {usage.entity} that is not recorded.")
    for usage in activity.generated:
        entity = entities.get(usage.entity)
        # A state that an inner call left is generated by the outer call as well, and names the inner one.
        if entity is not None and activity.id not in _callers(entity.generated_by, activities):
            message = f"Call {activity.id} generated {entity.path} ({entity.id}), which names another call."
            yield Issue(at, message, entity.generated_by or "no call", activity.id)
    for usage in activity.used:
        entity = entities.get(usage.entity)
        maker = activities.get(entity.generated_by or "") if entity else None
        if entity is None or maker is None:
            continue
        if maker.id == activity.id:
            yield Issue(at, f"Call {activity.id} used {entity.path} ({entity.id}) in a state that it made itself.")
        elif (
            activity.ended_at is not None and maker.session == activity.session and maker.started_at > activity.ended_at
        ):
            yield Issue(
                at, f"Call {activity.id} used {entity.path} ({entity.id}), which only call {maker.id} made later."
            )


def _callers(activity_id: str | None, activities: dict[str, Activity]) -> list[str]:
    """Return the id of a call, of its outer call, and so on."""
    found: list[str] = []
    while activity_id is not None and activity_id not in found:
        found.append(activity_id)
        activity_id = activities[activity_id].parent if activity_id in activities else None
    return found


def _entities(document: Document) -> Iterator[Issue]:
    entities = {entity.id: entity for entity in document.entities}
    generated = {usage.entity for activity in document.activities for usage in activity.generated}
    activities = {activity.id for activity in document.activities}
    revised = _endless({entity.id: entity.revision_of for entity in document.entities})
    copied = _endless({entity.id: entity.copy_of for entity in document.entities})
    for number, entity in enumerate(document.entities):
        at = f"/entities/{number}"
        if entity.generated_by in activities and entity.id not in generated:
            yield Issue(at, f"{entity.path} ({entity.id}) names call {entity.generated_by}, which did not generate it.")
        before = entities.get(entity.revision_of or "")
        if before is not None and before.path != entity.path:
            yield Issue(at, f"{entity.path} ({entity.id}) was changed from another path.", before.path, entity.path)
        if entity.id in revised:
            yield Issue(at, f"{entity.path} ({entity.id}) was changed from itself.")
        if entity.id in copied:
            yield Issue(at, f"{entity.path} ({entity.id}) was copied from itself.")


def _endless(before: Mapping[str, str | None]) -> frozenset[str]:
    """Return the ids from which the chain of predecessors never ends."""
    settled: dict[str, bool] = {}
    for start in before:
        chain: list[str] = []
        at: str | None = start
        while at is not None and at in before and at not in settled:
            settled[at] = True  # endless until the chain proves to end
            chain.append(at)
            at = before[at]
        endless = at is not None and settled.get(at, False)
        settled |= dict.fromkeys(chain, endless)
    return frozenset(identifier for identifier, endless in settled.items() if endless)
