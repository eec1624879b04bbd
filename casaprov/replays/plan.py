"""The plan of a replay: the calls to run, and the reason why each other call is left out.

Pure: records go in, steps come out. A call is run if a product that is still
there came from it, or if it only looked at such a state (``imstat``). A call
is left out if nothing depends on it any more, because its output was
overwritten or its cell was run again. A state that tasks alone cannot bring
back, since a function, a program or a gap made it, is foreign: it is taken
from the crate if it is there, and blocks the calls that need it otherwise. A
state that the next call changed before it was digested is known by the call
that left it: this call is run, and the states after it are compared.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from casaprov.lineage.foreign import belongs_to_task, is_foreign, is_task, needed_states
from casaprov.lineage.graph import Lineage, only_removes
from casaprov.records.model import Activity, Entity, Usage
from casaprov.records.values import is_exact

__all__ = ["Action", "Outlook", "Plan", "PlanStep", "make_plan", "outlook"]

Action = Literal["run", "take", "leave-out", "blocked"]
"""Fate of a call; ``take``: no task made its products, so they are taken as they are."""


@dataclass(frozen=True)
class PlanStep:
    """Fate of one recorded call.

    Attributes
    ----------
    reason
        Why it is not run; empty if it is.
    clears
        Paths to remove before the call: states of an earlier generation that
        were gone when this call, or a later one that makes them anew, was
        recorded. The moment when they went is unknown, if no task removed
        them; they go when nothing uses them any more, for a task in between
        may refuse to run beside them.
    restores
        States to copy to a path before the call, as was done outside of tasks.
    leaves
        What the call left, without the work of calls that are steps of their
        own, and without states that an inner call changed again: those cannot
        be seen afterwards.
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


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The task calls of a Document that a replay can run.

    Attributes
    ----------
    can_run, of
        Number of task calls that can be replayed, and of those that something depends on.
    taken
        States that no task can make again, and that are at hand.
    obstacles
        Reasons why others cannot, each with the numbers and tasks of the calls.
    """

    can_run: int
    of: int
    taken: tuple[Entity, ...]
    obstacles: Mapping[str, tuple[str, ...]]


def outlook(lineage: Lineage, known_tasks: Container[str], at_hand: Container[str]) -> Outlook:
    """Return which task calls of a Document a replay can run, if these states are at hand."""
    numbers = lineage.document.call_numbers
    steps = [
        step
        for step in make_plan(lineage, known_tasks, at_hand).steps
        if is_task(step.activity, known_tasks) and step.action != "leave-out"
    ]
    obstacles: dict[str, list[str]] = {}
    for step in steps:
        if step.action == "blocked":
            obstacles.setdefault(step.reason, []).append(f"{numbers[step.activity.id]} ({step.activity.task})")
    return Outlook(
        can_run=sum(step.action == "run" for step in steps),
        of=len(steps),
        taken=tuple(state for state in needed_states(lineage, known_tasks) if state.id in at_hand),
        obstacles={reason: tuple(calls) for reason, calls in obstacles.items()},
    )


def make_plan(
    lineage: Lineage,
    known_tasks: Container[str],
    at_hand: Container[str] = frozenset(),
    unable: Mapping[str, str] | None = None,
) -> Plan:
    """Plan the replay of a Document.

    Parameters
    ----------
    known_tasks
        The tasks that can be run, as ``package.task``.
    at_hand
        Ids of those :func:`~casaprov.lineage.foreign.foreign_states` whose files were found.
    unable
        Calls that cannot be run here, by id, and why.
    """
    document = lineage.document
    products = lineage.products()
    wanted = lineage.upstream((*products, *_copies_looked_at(lineage)))
    steps = tuple(_Planner(lineage, wanted, known_tasks, at_hand, unable or {}).steps())
    run = [step for step in steps if step.action == "run"]
    kept = frozenset(source.id for step in run for source, _ in step.restores)
    needed = kept.union(usage.entity for step in run for usage in step.activity.used)
    external = [e for e in document.entities if e.generated_by is None and e.copy_of is None and not e.gap]
    # A product that something outside of tasks changed afterwards is no longer the one that its last call left.
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


def _copies_looked_at(lineage: Lineage) -> Iterator[Entity]:
    """Yield the copies at which calls without products looked: the originals may have been overwritten since."""
    for activity in lineage.document.activities:
        if not activity.generated and activity.outcome == "completed" and not only_removes(activity):
            yield from (e for e in (lineage.entities[usage.entity] for usage in activity.used) if e.copy_of is not None)


def _passing(lineage: Lineage) -> Iterator[str]:
    """Yield the ids of states that a call left and one of its inner calls changed again."""
    for entity in lineage.document.entities:
        before, maker = lineage.entities.get(entity.revision_of or ""), lineage.generator(entity)
        while before is not None and maker is not None:
            maker = lineage.activities.get(maker.parent or "")
            if maker is not None and before.generated_by == maker.id:
                yield before.id


class _Planner:
    """Decides the fate of each call, in the order the calls ended."""

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
        self._from_logs = {session.id for session in lineage.document.sessions if session.log}
        self._present: dict[str, str] = {}  # by path: id of the state that the replay will have there
        foreign = (e for e in lineage.document.entities if not e.gap and is_foreign(e, lineage, known_tasks))
        self._foreign = {entity.id for entity in foreign}
        self._lost = {entity for entity in self._foreign if entity not in at_hand}  # states it cannot bring back
        self._needed = {entity.id for entity in needed_states(lineage, known_tasks)}
        self._needed |= {entity.id for entity in lineage.products()}
        self._passing = frozenset(_passing(lineage))

    def steps(self) -> Iterator[PlanStep]:
        """Yield a step for each call but the inner calls of tasks."""
        for activity in self._lineage.history.calls:
            outer = self._lineage.activities.get(activity.parent or "")
            if belongs_to_task(outer, self._lineage, self._known_tasks):
                continue  # its outer call makes it again
            step = self._step(activity)
            if step.action == "run":
                for path in activity.deleted:
                    self._present.pop(path, None)
            yield step

    def _step(self, activity: Activity) -> PlanStep:
        entities = self._lineage.entities
        used = [entities[usage.entity] for usage in activity.used]
        generated = [entities[usage.entity] for usage in activity.generated]
        if reason := self._superseded(activity, used):
            return PlanStep(activity, "leave-out", reason)
        if not is_task(activity, self._known_tasks):
            return self._taken(activity)
        originals = [self._lineage.original(entity) for entity in used]
        if reason := self._blocked(activity, originals):
            self._lost.update(entity.id for entity in generated)
            return PlanStep(activity, "blocked", reason, leaves=activity.generated)
        restores = tuple(
            (original, entity.path)
            for entity, original in zip(used, originals, strict=True)
            if (original is not entity or original.id in self._at_hand)
            and self._present.get(entity.path) not in (entity.id, original.id)
        )
        anew = {entity.path for entity in generated if entity.revision_of is None}
        history = self._lineage.history
        clears = tuple(path for path in self._present if path in anew or history.is_made_anew(path, activity))
        for path in clears:
            del self._present[path]
        self._present.update((e.path, e.id) for e in (*used, *generated))
        leaves = tuple(usage for usage in activity.generated if usage.entity not in self._passing)
        return PlanStep(activity, "run", clears=clears, restores=restores, leaves=leaves)

    def _superseded(self, activity: Activity, used: list[Entity]) -> str:
        """Say why nothing depends on a call any more; empty if something does."""
        if activity.generated:
            return "" if activity.id in self._wanted else "nothing that is still there came from it"
        if activity.outcome != "completed":
            return f"it {'was ' if activity.outcome != 'failed' else ''}{activity.outcome} and left nothing behind"
        for entity in used:
            known = entity.id in self._lost or entity.id in self._at_hand
            is_there = known or self._present.get(entity.path) == entity.id
            if self._lineage.generator(entity) is not None and not is_there:
                return f"the state of {entity.path} that it looked at was replaced later"
        return ""

    def _blocked(self, activity: Activity, used: list[Entity]) -> str:
        """Say why a call cannot be run; empty if it can."""
        if activity.outcome in ("interrupted", "unfinished"):
            return f"it was {activity.outcome} when it was recorded, and its partial result cannot be repeated"
        if activity.id in self._unable:
            return self._unable[activity.id]
        for entity in used:
            if entity.gap and entity.id not in self._at_hand:
                cause = entity.note.removesuffix(".") or "something other than a recorded task changed it before"
                return f"{entity.path} is not what a recorded task left: {cause}"
            if entity.id in self._lost:
                return self._loss(entity)
            if entity.content_digest is None and not self._is_made_here(entity):
                return f"the content of {entity.path} is not recorded ({entity.note or 'no reason given'})"
        for name in activity.given:
            if not is_exact(activity.parameters.get(name)):
                return f"the value of its parameter {name} could not be recorded exactly"
        return ""

    def _is_made_here(self, entity: Entity) -> bool:
        """Return True for a state without a digest that this replay makes itself, by the call that left it.

        A CASA log has no digests of any state. Of a state with stamps alone the record knows by these that the call
        found what the earlier one had left.
        """
        is_certain = entity.is_undigested or entity.session in self._from_logs
        return is_certain and self._present.get(entity.path) == entity.id

    def _loss(self, entity: Entity) -> str:
        maker = self._lineage.generator(entity)
        if maker is None or entity.id not in self._foreign:
            return f"{entity.path} could not be brought back"
        return f"no task can make {entity.path} as {maker.package}.{maker.task} left it, and the crate does not hold it"

    def _taken(self, activity: Activity) -> PlanStep:
        """Return the step of a call that is no task's; the tasks that it called are steps of their own."""
        entities = self._lineage.entities
        leaves = tuple(usage for usage in activity.generated if entities[usage.entity].generated_by == activity.id)
        left = [entities[usage.entity] for usage in leaves]
        missing = [entity for entity in left if entity.id in self._needed and entity.id not in self._at_hand]
        found = tuple((entity, entity.path) for entity in left if entity.id in self._at_hand)
        self._present.update((path, entity.id) for entity, path in found)
        name = f"{activity.package}.{activity.task}"
        if not left:
            return PlanStep(activity, "leave-out", f"{name} is no task and left nothing itself")
        if not missing and not found:
            return PlanStep(activity, "leave-out", f"{name} is no task, and no task used what it left")
        if missing:
            reason = (
                f"{name} is no task that can be run again, and the crate does not hold {missing[0].path} as it left it"
            )
            return PlanStep(activity, "blocked", reason, restores=found, leaves=leaves)
        leaves = tuple(usage for usage in leaves if usage.entity in self._at_hand)
        reason = f"{name} is no task; its products are taken as they are"
        return PlanStep(activity, "take", reason, restores=found, leaves=leaves)
