"""The history of every path of a Document: its states, the calls that used and left them, and the last state.

One pass over the calls answers all questions about paths: the products of a record, the order of cells, and the plan
of a replay come from the same history.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from casaprov.records.model import Activity, Document, Entity

__all__ = ["PathHistory"]


class PathHistory:
    """The history of each path of a Document.

    Parameters
    ----------
    document
        The records. Every Entity that an Activity names must be among them.

    Attributes
    ----------
    calls
        All Activities in the order they ended: an inner call comes before the call that made it.
    states
        All states of each path, in the order they happened.
    last
        State of every path that an Activity left and none removed, by path.
    removed
        States that an Activity removed, by its id; only states that a recorded Activity had left.
    """

    def __init__(self, document: Document) -> None:
        self._entities = {entity.id: entity for entity in document.entities}
        self._activities = {activity.id: activity for activity in document.activities}
        self.calls = _in_order_of_ends(document.activities)
        self._place = {activity.id: place for place, activity in enumerate(self.calls)}
        self.states: dict[PurePosixPath, list[Entity]] = {}
        for entity in document.entities:
            self.states.setdefault(PurePosixPath(entity.path), []).append(entity)
        self._left: dict[str, list[tuple[Activity, Entity]]] = {}
        for activity in document.activities:
            for entity in self._generated(activity):
                self._left.setdefault(entity.path, []).append((activity, entity))
        self._uses = self._all_uses()
        self.removed: dict[str, tuple[Entity, ...]] = {}
        self.last = self._follow()

    def left(self, path: str) -> Sequence[tuple[Activity, Entity]]:
        """Return the states of a path that calls left, each with its call, in the order the calls began."""
        return self._left.get(path, ())

    def is_made_anew(self, path: str, activity: Activity) -> bool:
        """Return True if the next call that touches a path, from `activity` on, makes it anew instead of using it."""
        uses = self._uses.get(path, [])
        following = bisect_left(uses, (self._place[activity.id], False))
        return following < len(uses) and uses[following][1]

    def _generated(self, activity: Activity) -> list[Entity]:
        return [self._entities[usage.entity] for usage in activity.generated]

    def _all_uses(self) -> dict[str, list[tuple[int, bool]]]:
        """Return the calls that touched each path: their places in the order of ends, and True if they made it anew."""
        found: dict[str, list[tuple[int, bool]]] = {}
        for place, activity in enumerate(self.calls):
            used = {self._entities[usage.entity].path for usage in activity.used}
            left = self._generated(activity)
            anew = {entity.path for entity in left if entity.revision_of is None} - used
            for path in used.union(entity.path for entity in left):
                found.setdefault(path, []).append((place, path in anew))
        return found

    def _follow(self) -> dict[str, Entity]:
        """Go through all calls; return the last state of each path, and fill `removed`."""
        current: dict[str, Entity] = {}
        pictures = _Pictures()
        for activity in self.calls:
            for path in pictures.replaced_by(activity):
                current.pop(path, None)
            removed: dict[str, Entity] = {}
            for path in activity.deleted:
                for name in [p for p in current if p == path or PurePosixPath(path) in PurePosixPath(p).parents]:
                    removed[name] = current.pop(name)
            if removed:
                self.removed[activity.id] = tuple(removed.values())
            for entity in self._generated(activity):
                if self._precedes(entity, current.get(entity.path)):
                    continue  # an inner call has changed this state already
                current.pop(entity.path, None)  # the order of `last` is that of the latest changes
                current[entity.path] = entity
                pictures.add(entity, activity)
        return current

    def _precedes(self, entity: Entity, present: Entity | None) -> bool:
        """Return True if inner calls of the call that left `entity` made the present state of the path out of it."""
        while present is not None and (maker := self._activities.get(present.generated_by or "")) is not None:
            if maker.parent is None and maker.id != entity.generated_by:
                break
            present = self._entities.get(present.revision_of or "")
            if present is entity:
                return True
        return False


class _Pictures:
    """Pictures that the user gave no file name: they lie beside the journal, and belong to a run of their cell.

    When the cell runs again, the pictures of its earlier run are no products any more.
    """

    def __init__(self) -> None:
        self._runs: dict[str, tuple[str, list[str]]] = {}  # by cell: its latest run, and the pictures of that run

    def replaced_by(self, activity: Activity) -> Iterable[str]:
        """Return the pictures of the earlier run of a call's cell, if the call belongs to a new run."""
        cell, run = _cell_run(activity)
        latest, paths = self._runs.setdefault(cell, (run, []))
        if latest == run:
            return ()
        self._runs[cell] = (run, [])
        return paths

    def add(self, entity: Entity, activity: Activity) -> None:
        """Note a state that a call left, if it is such a picture."""
        if {".casaprov", "plots"} <= set(PurePosixPath(entity.path).parts):
            self._runs[_cell_run(activity)[0]][1].append(entity.path)


def _cell_run(activity: Activity) -> tuple[str, str]:
    """Name the cell that a call ran in, and the run of that cell; a call without a step counts as a cell of its own."""
    step = activity.step
    if step is None:
        return activity.id, ""
    if step.cell_id is not None:
        return step.cell_id, f"{activity.session} {step.execution_count}"
    # Two cells of a notebook can have the same text: only a new session proves that one of them ran again.
    return step.source_digest, activity.session


def _in_order_of_ends(activities: Sequence[Activity]) -> tuple[Activity, ...]:
    known = {activity.id for activity in activities}
    inner: dict[str | None, list[Activity]] = {}
    for activity in activities:
        inner.setdefault(activity.parent if activity.parent in known else None, []).append(activity)
    # Backwards in time, each call is followed by its inner calls; the reversed list has them before it.
    waiting, found = inner.get(None, []), []
    while waiting:
        found.append(waiting.pop())
        waiting += inner.get(found[-1].id, ())
    return tuple(reversed(found))
