"""What a replay of a Document has to run, and why the rest is left out.

Pure: a Document goes in, steps come out. A call is run if a product that is
still there came from it, or if it only looked at such a state (``imstat``).
A call that nothing depends on any more, because its output was overwritten or
its cell was run again, is left out. A state that tasks alone cannot bring back
(a function's, a program's, a gap's) is taken from the crate if it is there,
and blocks what follows from it otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from casaprov.lineage.graph import Lineage, only_removes
from casaprov.records.model import Activity, Document, Entity, Usage
from casaprov.records.values import is_exact

__all__ = ["Action", "Plan", "PlanStep", "foreign_states", "make_plan"]

Action = Literal["run", "take", "leave-out", "blocked"]
"""What becomes of a call; ``take``: what it left is taken as it is, because no task made it."""


@dataclass(frozen=True)
class PlanStep:
    """What to do about one recorded call.

    Attributes
    ----------
    reason
        Why it is not run; empty if it is.
    clears
        Paths to remove before the call: states of an earlier generation that
        were gone when this call, or a later one that makes them anew, was
        recorded. Nobody knows when they went, if no task removed them; they
        go when nothing uses them any more, for a task in between may refuse
        to run beside them.
    restores
        States to copy to a path before the call, as somebody did outside of tasks.
    leaves
        What the call left and none of the calls that are steps of their own; not
        what a call that it made changed again, which nobody can see afterwards.
    """

    activity: Activity
    action: Action
    reason: str = ""
    clears: tuple[str, ...] = ()
    restores: tuple[tuple[Entity, str], ...] = ()
    leaves: tuple[Usage, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Steps in recorded order, with the inputs they need and the products they are to make.

    Attributes
    ----------
    kept
        Ids of states that are copied elsewhere later: a replay keeps them as
        soon as they are made.
    written
        Paths that a call writes or removes; an input at one of them is copied first.
    """

    steps: tuple[PlanStep, ...]
    inputs: tuple[Entity, ...]
    products: tuple[Entity, ...]
    kept: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()


def foreign_states(document: Document, known_tasks: Container[str]) -> tuple[Entity, ...]:
    """Return the states that were left by something else than a task, and were used or are still there."""
    lineage = Lineage(document)
    wanted = {usage.entity for activity in document.activities for usage in activity.used}
    wanted |= {lineage.original(entity).id for entity in map(lineage.entities.__getitem__, tuple(wanted))}
    wanted |= {product.id for product in lineage.products()}
    return tuple(e for e in document.entities if e.id in wanted and _is_foreign(e, lineage, known_tasks))


def make_plan(
    document: Document,
    known_tasks: Container[str],
    at_hand: Container[str] = frozenset(),
    unable: Mapping[str, str] | None = None,
) -> Plan:
    """Plan the replay of a Document.

    Parameters
    ----------
    known_tasks
        What can be run, as ``package.task``.
    at_hand
        Ids of those :func:`foreign_states` whose files were found.
    unable
        Packages whose tasks cannot be run here, and why.

    Raises
    ------
    RecordError
        If the Document refers to records it does not contain.
    """
    lineage = Lineage(document)
    products = lineage.products()
    wanted = lineage.upstream((*products, *_looked_at_copies(lineage)))
    steps = tuple(_Planner(lineage, wanted, known_tasks, at_hand, unable or {}).steps())
    run = [step for step in steps if step.action == "run"]
    kept = frozenset(source.id for step in run for source, _ in step.restores)
    needed = kept.union(usage.entity for step in run for usage in step.activity.used)
    external = [e for e in document.entities if e.generated_by is None and e.copy_of is None and not e.gap]
    # What was changed after its last call is no longer what that call left.
    changed = {gap.revision_of: gap for gap in lineage.gaps()}
    return Plan(
        steps,
        inputs=tuple(e for e in external if e.id in needed),
        products=tuple(changed.get(product.id, product) for product in products),
        kept=kept,
        written=frozenset(
            path
            for activity in document.activities
            for path in (*activity.deleted, *(lineage.entities[usage.entity].path for usage in activity.generated))
        ),
    )


def _looked_at_copies(lineage: Lineage) -> Iterator[Entity]:
    """Yield the copies that calls which left nothing looked at: what they are copies of may have been overwritten since."""
    for activity in lineage.document.activities:
        if not activity.generated and activity.outcome == "completed" and not only_removes(activity):
            yield from (e for e in (lineage.entities[usage.entity] for usage in activity.used) if e.copy_of is not None)


def _is_task(activity: Activity, known_tasks: Container[str]) -> bool:
    return f"{activity.package}.{activity.task}" in known_tasks


def _is_run(activity: Activity | None, lineage: Lineage, known_tasks: Container[str]) -> bool:
    """Tell whether a call is a task's, or was made by one."""
    while activity is not None and not _is_task(activity, known_tasks):
        activity = lineage.activities.get(activity.parent or "")
    return activity is not None


def _is_foreign(entity: Entity, lineage: Lineage, known_tasks: Container[str]) -> bool:
    """Tell whether a state came from something else than a task."""
    maker = lineage.generator(entity)
    return entity.gap if maker is None else not _is_run(maker, lineage, known_tasks)


def _passing(lineage: Lineage) -> Iterator[str]:
    """Yield the ids of states that a call left to a call that it made, which changed them."""
    for entity in lineage.document.entities:
        before, maker = lineage.entities.get(entity.revision_of or ""), lineage.generator(entity)
        while before is not None and maker is not None:
            maker = lineage.activities.get(maker.parent or "")
            if maker is not None and before.generated_by == maker.id:
                yield before.id


class _Planner:
    """Goes through the calls of a Document, in the order they happened."""

    def __init__(
        self,
        lineage: Lineage,
        wanted: frozenset[str],
        known_tasks: Container[str],
        at_hand: Container[str],
        unable: Mapping[str, str],
    ) -> None:
        self._lineage = lineage
        self._wanted = wanted
        self._known_tasks = known_tasks
        self._at_hand = at_hand
        self._unable = unable
        self._made: dict[str, str] = {}  # path -> entity id that the replay will have there
        # Entity ids that the replay cannot bring back.
        foreign = (e for e in lineage.document.entities if not e.gap and _is_foreign(e, lineage, known_tasks))
        self._lost = {entity.id for entity in foreign if entity.id not in at_hand}
        self._passing = frozenset(_passing(lineage))
        self._order = {activity.id: place for place, activity in enumerate(lineage.by_end())}
        self._uses = self._all_uses()

    def _all_uses(self) -> dict[str, list[tuple[int, bool]]]:
        """By path where in the order of calls it is used or left, and whether it is made anew there."""
        found: dict[str, list[tuple[int, bool]]] = {}
        for activity in self._lineage.by_end():
            used = {self._lineage.entities[usage.entity].path for usage in activity.used}
            left = [self._lineage.entities[usage.entity] for usage in activity.generated]
            anew = {entity.path for entity in left if entity.revision_of is None} - used
            for path in used.union(entity.path for entity in left):
                found.setdefault(path, []).append((self._order[activity.id], path in anew))
        return found

    def _gone(self, path: str, activity: Activity) -> bool:
        """Whether a path is made anew, by this call or a later one, before anything uses it again."""
        uses = self._uses.get(path, [])
        following = bisect_left(uses, (self._order[activity.id], False))
        return following < len(uses) and uses[following][1]

    def steps(self) -> Iterator[PlanStep]:
        """Yield what becomes of each call that no other task makes."""
        for activity in self._lineage.by_end():
            outer = self._lineage.activities.get(activity.parent or "")
            if _is_run(outer, self._lineage, self._known_tasks):
                continue  # its outer call runs it
            step = self._step(activity)
            if step.action == "run":
                for path in activity.deleted:
                    self._made.pop(path, None)
            yield step

    def _step(self, activity: Activity) -> PlanStep:
        entities = self._lineage.entities
        used = [entities[usage.entity] for usage in activity.used]
        generated = [entities[usage.entity] for usage in activity.generated]
        if reason := self._superseded(activity, used):
            return PlanStep(activity, "leave-out", reason)
        if not _is_task(activity, self._known_tasks):
            return self._taken(activity)
        originals = [self._lineage.original(entity) for entity in used]
        if reason := self._blocked(activity, originals):
            self._lost.update(entity.id for entity in generated)
            return PlanStep(activity, "blocked", reason, leaves=activity.generated)
        restores = tuple(
            (original, entity.path)
            for entity, original in zip(used, originals, strict=True)
            if (original is not entity or original.id in self._at_hand) and self._made.get(entity.path) != entity.id
        )
        anew = {entity.path for entity in generated if entity.revision_of is None}
        clears = tuple(path for path in self._made if path in anew or self._gone(path, activity))
        for path in clears:
            del self._made[path]
        self._made.update((e.path, e.id) for e in (*used, *generated))
        leaves = tuple(usage for usage in activity.generated if usage.entity not in self._passing)
        return PlanStep(activity, "run", clears=clears, restores=restores, leaves=leaves)

    def _superseded(self, activity: Activity, used: list[Entity]) -> str:
        if activity.generated:
            return "" if activity.id in self._wanted else "nothing that is still there came from it"
        if activity.outcome != "completed":
            return f"it {'was ' if activity.outcome != 'failed' else ''}{activity.outcome} and left nothing behind"
        for entity in used:
            there = self._made.get(entity.path) == entity.id or entity.id in self._lost or entity.id in self._at_hand
            if self._lineage.generator(entity) is not None and not there:
                return f"the state of {entity.path} that it looked at was replaced later"
        return ""

    def _blocked(self, activity: Activity, used: list[Entity]) -> str:
        if activity.outcome in ("interrupted", "unfinished"):
            return f"it was {activity.outcome} when recorded; what it left behind cannot be repeated"
        if activity.package in self._unable:
            return self._unable[activity.package]
        for entity in used:
            if entity.gap and entity.id not in self._at_hand:
                told = entity.note.removesuffix(".") or "something that is no recorded task changed it before"
                return f"{entity.path} is not what a recorded task left: {told}"
            if entity.id in self._lost:
                return f"{entity.path} could not be brought back"
            if entity.content_digest is None:
                return f"the content of {entity.path} is not recorded ({entity.note or 'no reason given'})"
        for name in activity.given:
            if not is_exact(activity.parameters.get(name)):
                return f"the value of its parameter {name} could not be recorded exactly"
        return ""

    def _taken(self, activity: Activity) -> PlanStep:
        """What becomes of a call that is no task; the tasks that it called are steps of their own."""
        entities = self._lineage.entities
        leaves = tuple(usage for usage in activity.generated if entities[usage.entity].generated_by == activity.id)
        left = [entities[usage.entity] for usage in leaves]
        missing = [entity for entity in left if entity.id not in self._at_hand]
        found = tuple((entity, entity.path) for entity in left if entity.id in self._at_hand)
        self._made.update((path, entity.id) for entity, path in found)
        name = f"{activity.package}.{activity.task}"
        if not left:
            return PlanStep(activity, "leave-out", f"{name} is no task and left nothing itself")
        if missing:
            told = (
                f"{name} is no task that can be run again, and the crate does not hold {missing[0].path} as it left it"
            )
            return PlanStep(activity, "blocked", told, restores=found, leaves=leaves)
        return PlanStep(
            activity, "take", f"{name} is no task; what it left is taken as it is", restores=found, leaves=leaves
        )
