"""The graph of a Document: what came from what.

Activities and Entities form an acyclic graph: an Activity points to the
Entities it used, an Entity to the Activity that generated it. A path is not a
node; each state of a path is (:class:`~casaprov.records.model.Entity`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from casaprov.errors import RecordError, UsageError
from casaprov.records.model import Activity, Document, Entity

__all__ = ["Lineage", "only_removes"]


def only_removes(activity: Activity) -> bool:
    """Whether a call takes nothing from what it used: it removed files, and left nothing behind."""
    return bool(activity.deleted) and not activity.generated


def _cell_run(activity: Activity) -> tuple[str, str]:
    """Which cell a call ran in, and in which run of that cell; without a step the call is its own."""
    step = activity.step
    if step is None:
        return activity.id, ""
    if step.cell_id is not None:
        return step.cell_id, f"{activity.session} {step.execution_count}"
    # Cells of one notebook can have the same text: only another session runs one of them again.
    return step.source_digest, activity.session


def _is_unnamed_picture(path: str) -> bool:
    return {".casaprov", "plots"} <= set(PurePosixPath(path).parts)


def _is_part(inner: Entity, outer: Entity) -> bool:
    """Whether a state below a table is part of it: a sub-table, or one of those that a Multi-MS consists of."""
    return outer.kind not in ("Directory", "File") and inner.kind in (outer.kind, "Table")


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

    def by_end(self) -> tuple[Activity, ...]:
        """All Activities in the order they ended: what a call made itself before the call."""
        made: dict[str | None, list[Activity]] = {}
        for activity in self.document.activities:
            parent = activity.parent if activity.parent in self.activities else None
            made.setdefault(parent, []).append(activity)
        # The last first, and each call before those that it made: the other way round.
        waiting, found = made.get(None, []), []
        while waiting:
            found.append(waiting.pop())
            waiting += made.get(found[-1].id, ())
        return tuple(reversed(found))

    def inputs(self) -> tuple[Entity, ...]:
        """Entities that were used and that no recorded Activity generated."""
        used = {usage.entity for activity in self.document.activities for usage in activity.used}
        return tuple(
            e for e in self.document.entities if e.id in used and self.generator(e) is None and e.copy_of is None
        )

    def original(self, entity: Entity) -> Entity:
        """Return the state that a copy was made of, through copies of copies; a state that is none is its own."""
        while entity.copy_of is not None and entity.copy_of in self.entities:
            entity = self.entities[entity.copy_of]
        return entity

    def before(self, entity: Entity) -> Entity | None:
        """Return the state that a copy was made of, or that something else than a call changed; None of all others."""
        before = entity.copy_of or (entity.revision_of if entity.gap else None)
        return self.entities.get(before) if before is not None else None

    def origins(self, entity: Entity) -> Iterator[Entity]:
        """Yield the states before, back to one that a call left or that was there from the beginning."""
        before = self.before(entity)
        while before is not None:
            yield before
            before = self.before(before)

    def generator(self, entity: Entity) -> Activity | None:
        """Return the Activity that left this state, None for an input or a gap."""
        return self.activities.get(entity.generated_by) if entity.generated_by else None

    def products(self) -> tuple[Entity, ...]:
        """Last state of every path that a recorded Activity left and none deleted, but for parts of what a call is said to have left later.

        Who changes a Multi-MS changes the MeasurementSets in it, and the state
        of the whole says what became of them.
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
        """Last state of every path that a recorded Activity left and none deleted.

        A picture that lies beside the journal, since the user named no file,
        belongs to its cell: it is no product any more when that ran again.
        """
        return tuple(self._follow(lambda _activity, _gone: None).values())

    def deleted(self) -> dict[str, tuple[Entity, ...]]:
        """States that an Activity removed, by its id; only those that a recorded Activity left."""
        found: dict[str, tuple[Entity, ...]] = {}
        self._follow(lambda activity, gone: found.update({activity.id: gone}))
        return found

    def _follow(self, on_deleted: Callable[[Activity, tuple[Entity, ...]], None]) -> dict[str, Entity]:
        """Go through all calls; return the state of every path that is there in the end."""
        current: dict[str, Entity] = {}
        pictures: dict[str, tuple[str, list[str]]] = {}  # by cell: in which run of it, and which
        for activity in self.by_end():
            cell, run = _cell_run(activity)
            if pictures.setdefault(cell, (run, []))[0] != run:
                for path in pictures[cell][1]:
                    current.pop(path, None)
                pictures[cell] = (run, [])
            gone: dict[str, Entity] = {}
            for path in activity.deleted:
                for name in [p for p in current if p == path or PurePosixPath(path) in PurePosixPath(p).parents]:
                    gone[name] = current.pop(name)
            if gone:
                on_deleted(activity, tuple(gone.values()))
            for usage in activity.generated:
                entity = self.entities[usage.entity]
                if self._is_before(entity, current.get(entity.path)):  # a call that this one made changed it since
                    continue
                current.pop(entity.path, None)
                current[entity.path] = entity
                if _is_unnamed_picture(entity.path):
                    pictures[cell][1].append(entity.path)
        return current

    def _is_before(self, entity: Entity, later: Entity | None) -> bool:
        """Whether a state of a path came before another one that has ended: then calls that its maker made left that one."""
        while later is not None and (maker := self.generator(later)) is not None:
            if maker.parent is None and maker.id != entity.generated_by:
                break
            later = self.entities.get(later.revision_of or "")
            if later is entity:
                return True
        return False

    def states(self, path: str) -> tuple[Entity, ...]:
        """All states of a path, in the order they happened.

        Raises
        ------
        UsageError
            If the record does not know the path.
        """
        wanted = PurePosixPath(path)
        found = tuple(entity for entity in self.document.entities if PurePosixPath(entity.path) == wanted)
        if not found:
            alike = {e.path for e in self.document.entities if PurePosixPath(e.path).name == wanted.name}
            hint = f"It names {', '.join(sorted(alike))}. " if alike else ""
            raise UsageError(f"The record names no {path}.", hint=f"{hint}'casaprov inspect' lists the names it knows.")
        return found

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
            before = entity.copy_of or entity.revision_of  # who changed it under another name did not use it
            if before is not None and before in self.entities:
                todo.append(before)
            activity = self.generator(entity)
            while activity is not None and activity.id not in found:
                found.add(activity.id)
                todo.extend(usage.entity for usage in activity.used)
                # What a task's inner call made came from the outer call as well.
                activity = self.activities.get(activity.parent) if activity.parent else None
        return frozenset(found)

    def downstream(self, entities: Iterable[Entity]) -> frozenset[str]:
        """Ids of all Activities that used these states or anything made from them, copies among it."""
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

    def only(self, sessions: Container[str]) -> Document:
        """Return the Document without the sessions that are not in `sessions`."""
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

    def gaps(self) -> tuple[Entity, ...]:
        """States that something other than a recorded Activity left behind."""
        return tuple(entity for entity in self.document.entities if entity.gap)

    def maker(self, entity: Entity) -> Activity | None:
        """The call that left this state or, before it was copied or changed by something else, the last one that did."""
        *_, first = entity, *self.origins(entity)
        return self.generator(first)
