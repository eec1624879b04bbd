"""The graph of a Document: which call used which states, and left which.

Activities and Entities form an acyclic graph: an Activity points to the
Entities it used, an Entity to the Activity that generated it. A path is not a
node; each state of a path is (:class:`~casaprov.records.model.Entity`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath

from casaprov.errors import RecordError, UsageError
from casaprov.lineage.path_history import PathHistory
from casaprov.records.model import Activity, Document, Entity, Usage

__all__ = ["Lineage", "only_removes"]


def only_removes(activity: Activity) -> bool:
    """Return True if a call did nothing but remove files: then its products depend on nothing that it used."""
    return bool(activity.deleted) and not activity.generated


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

    @cached_property
    def history(self) -> PathHistory:
        """The history of every path, computed when the first question needs it."""
        return PathHistory(self.document)

    # -- one state -------------------------------------------------------------

    def generator(self, entity: Entity) -> Activity | None:
        """Return the Activity that left this state; None for an input or a gap."""
        return self.activities.get(entity.generated_by) if entity.generated_by else None

    def maker(self, entity: Entity) -> Activity | None:
        """Return the call that left this state, or the state before it was copied or changed outside of tasks."""
        *_, first = entity, *self.origins(entity)
        return self.generator(first)

    def original(self, entity: Entity) -> Entity:
        """Return the state that a copy was made of, through copies of copies; any other state itself."""
        while entity.copy_of is not None and entity.copy_of in self.entities:
            entity = self.entities[entity.copy_of]
        return entity

    def before(self, entity: Entity) -> Entity | None:
        """Return the state that a copy was made of, or that something other than a call changed; else None."""
        before = entity.copy_of or (entity.revision_of if entity.gap else None)
        return self.entities.get(before) if before is not None else None

    def origins(self, entity: Entity) -> Iterator[Entity]:
        """Yield the states before this one, back to the state that a call left or that was there from the beginning."""
        before = self.before(entity)
        while before is not None:
            yield before
            before = self.before(before)

    def states(self, path: str) -> tuple[Entity, ...]:
        """Return all states of a path, in the order they happened.

        Raises
        ------
        UsageError
            If the record does not know the path.
        """
        wanted = PurePosixPath(path)
        if wanted in self.history.states:
            return tuple(self.history.states[wanted])
        alike = {e.path for e in self.document.entities if PurePosixPath(e.path).name == wanted.name}
        hint = f"It names {', '.join(sorted(alike))}. " if alike else ""
        raise UsageError(f"The record names no {path}.", hint=f"{hint}'casaprov inspect' lists the names it knows.")

    # -- all states ------------------------------------------------------------

    def inputs(self) -> tuple[Entity, ...]:
        """Return the Entities that were used and that no recorded Activity generated."""
        used = {usage.entity for activity in self.document.activities for usage in activity.used}
        return tuple(
            e for e in self.document.entities if e.id in used and self.generator(e) is None and e.copy_of is None
        )

    def products(self) -> tuple[Entity, ...]:
        """Return the last states, without parts of a table whose whole a later call declared.

        A call that changes a Multi-MS changes the MeasurementSets in it: the
        state of the whole includes theirs.
        """
        declared = {u.entity for activity in self.document.activities for u in activity.generated if u.declared}
        found: list[Entity] = []
        later: dict[PurePosixPath, Entity] = {}
        for entity in reversed(self.last_states()):
            path = PurePosixPath(entity.path)
            if not any(parent in later and _is_part(entity, later[parent]) for parent in path.parents):
                found.append(entity)
            if entity.id in declared:
                later[path] = entity
        return tuple(reversed(found))

    def last_states(self) -> tuple[Entity, ...]:
        """Return the last state of every path that a recorded Activity left and none removed.

        A picture without a file name of its own, which lies beside the
        journal, belongs to its cell: when the cell runs again, it is no
        product any more.
        """
        return tuple(self.history.last.values())

    def gaps(self) -> tuple[Entity, ...]:
        """Return the states that something other than a recorded Activity left behind."""
        return tuple(entity for entity in self.document.entities if entity.gap)

    # -- ways through the graph ------------------------------------------------

    def upstream(
        self, entities: Iterable[Entity], found_by: Callable[[Activity, Usage], str] = lambda _, usage: usage.entity
    ) -> frozenset[str]:
        """Return the ids of all Activities that these states came from, directly or not.

        Parameters
        ----------
        found_by
            Returns the id of the state that stands for a used one: an earlier state of the path, where the changes
            since did not matter to the call.
        """
        found: set[str] = set()
        seen: set[str] = set()
        todo = [entity.id for entity in entities]
        while todo:
            entity_id = todo.pop()
            if entity_id in seen:
                continue
            seen.add(entity_id)
            entity = self.entities[entity_id]
            # A call that changed the state under another name has it not among what it used.
            before = entity.copy_of or entity.revision_of
            if before is not None and before in self.entities:
                todo.append(before)
            activity = self.generator(entity)
            while activity is not None and activity.id not in found:
                found.add(activity.id)
                todo.extend(found_by(activity, usage) for usage in activity.used)
                # The states that a task's inner call left came from the outer call as well.
                activity = self.activities.get(activity.parent) if activity.parent else None
        return frozenset(found)

    def downstream(self, entities: Iterable[Entity]) -> frozenset[str]:
        """Return the ids of all Activities that used these states, copies of them, or anything made from them."""
        later: dict[str, list[str]] = {}
        for entity in self.document.entities:
            if (before := self.before(entity)) is not None:
                later.setdefault(before.id, []).append(entity.id)
        users: dict[str, list[Activity]] = {}
        for activity in self.document.activities:
            for usage in activity.used:
                users.setdefault(usage.entity, []).append(activity)
        found: set[str] = set()
        todo = [entity.id for entity in entities]
        while todo:
            state = todo.pop()
            todo.extend(later.pop(state, []))
            for activity in users.get(state, []):
                if activity.id not in found:
                    found.add(activity.id)
                    todo.extend(usage.entity for usage in activity.generated)
        return frozenset(found)

    # -- parts of the Document -------------------------------------------------

    def only(self, sessions: Container[str]) -> Document:
        """Return the Document with these sessions only."""
        part = self.part(a.id for a in self.document.activities if a.session in sessions)
        return replace(part, sessions=tuple(s for s in self.document.sessions if s.id in sessions))

    def part(self, activities: Iterable[str]) -> Document:
        """Return the Document with these Activities only, and the states they name."""
        wanted = frozenset(activities)
        kept = tuple(a for a in self.document.activities if a.id in wanted)
        named = {usage.entity for a in kept for usage in (*a.used, *a.generated)}
        named |= {self.original(self.entities[name]).id for name in named}
        entities = tuple(e for e in self.document.entities if e.id in named)
        return replace(self.document, activities=kept, entities=entities)

    def between(self, start: str | None, end: str | None) -> Document:
        """Return the part of the Document from one path to another.

        Parameters
        ----------
        start
            Keep only calls that used this path or anything made from it.
        end
            Keep only calls that the last state of this path came from.

        Raises
        ------
        UsageError
            If the record does not know a path.
        """
        wanted = frozenset(self.activities)
        if start is not None:
            wanted &= self.downstream(self.states(start))
        if end is not None:
            wanted &= self.upstream(self.states(end)[-1:])
        return self.document if start is None and end is None else self.part(wanted)


def _is_part(inner: Entity, outer: Entity) -> bool:
    """Return True if a state below a table is part of it: a sub-table, or a MeasurementSet of a Multi-MS."""
    return outer.kind not in ("Directory", "File") and inner.kind in (outer.kind, "Table")
