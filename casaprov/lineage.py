"""The graph of a Document: what came from what.

Activities and Entities form an acyclic graph: an Activity points to the
Entities it used, an Entity to the Activity that generated it. A path is not a
node; each state of a path is (:class:`~casaprov.model.Entity`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import PurePosixPath

from casaprov.errors import RecordError
from casaprov.model import Activity, Document, Entity

__all__ = ["Lineage"]


class Lineage:
    """Questions about a Document's graph.

    Attributes
    ----------
    entities, activities
        The Document's records by id, in the order they happened.

    Raises
    ------
    RecordError
        If a record refers to one that the Document does not contain.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.entities = {entity.id: entity for entity in document.entities}
        self.activities = {activity.id: activity for activity in document.activities}
        for activity in document.activities:
            for usage in (*activity.used, *activity.generated):
                if usage.entity not in self.entities:
                    raise RecordError(f"Call {activity.id} names the entity {usage.entity}, which is not recorded.")

    def inputs(self) -> tuple[Entity, ...]:
        """Entities that were used and that no recorded Activity generated."""
        used = {usage.entity for activity in self.document.activities for usage in activity.used}
        return tuple(e for e in self.document.entities if e.id in used and self.generator(e) is None)

    def generator(self, entity: Entity) -> Activity | None:
        """Return the Activity that left this state, None for an input or a gap."""
        return self.activities.get(entity.generated_by) if entity.generated_by else None

    def products(self) -> tuple[Entity, ...]:
        """Last state of every path that a recorded Activity left and none deleted."""
        current: dict[str, Entity] = {}
        for activity in self.document.activities:
            for path in activity.deleted:
                for gone in [p for p in current if p == path or PurePosixPath(path) in PurePosixPath(p).parents]:
                    del current[gone]
            for usage in activity.generated:
                entity = self.entities[usage.entity]
                current.pop(entity.path, None)
                current[entity.path] = entity
        return tuple(current.values())

    def upstream(self, entities: Iterable[Entity]) -> frozenset[str]:
        """Ids of all Activities that these states came from, directly or not."""
        found: set[str] = set()
        seen: set[str] = set()
        todo = [entity.id for entity in entities]
        while todo:
            entity_id = todo.pop()
            if entity_id in seen:
                continue
            seen.add(entity_id)
            entity = self.entities[entity_id]
            if entity.revision_of is not None and entity.gap and entity.revision_of in self.entities:
                todo.append(entity.revision_of)
            activity = self.generator(entity)
            while activity is not None and activity.id not in found:
                found.add(activity.id)
                todo.extend(usage.entity for usage in activity.used)
                # What a task's inner call made came from the outer call as well.
                activity = self.activities.get(activity.parent) if activity.parent else None
        return frozenset(found)

    def downstream(self, entities: Iterable[Entity]) -> frozenset[str]:
        """Ids of all Activities that used these states or anything made from them."""
        users: dict[str, list[Activity]] = {}
        for activity in self.document.activities:
            for usage in activity.used:
                users.setdefault(usage.entity, []).append(activity)
        found: set[str] = set()
        todo = [entity.id for entity in entities]
        while todo:
            for activity in users.get(todo.pop(), []):
                if activity.id not in found:
                    found.add(activity.id)
                    todo.extend(usage.entity for usage in activity.generated)
        return frozenset(found)

    def only(self, sessions: Container[str]) -> Document:
        """Return the Document without the sessions that are not in `sessions`."""
        activities = tuple(a for a in self.document.activities if a.session in sessions)
        named = {usage.entity for a in activities for usage in (*a.used, *a.generated)}
        return replace(
            self.document,
            sessions=tuple(s for s in self.document.sessions if s.id in sessions),
            activities=activities,
            entities=tuple(e for e in self.document.entities if e.id in named),
        )

    def gaps(self) -> tuple[Entity, ...]:
        """States that something other than a recorded Activity left behind."""
        return tuple(entity for entity in self.document.entities if entity.gap)
