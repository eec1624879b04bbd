"""What a replay of a Document has to run, and why the rest is left out.

Pure: a Document goes in, steps come out. A call is run if a product that is
still there came from it, or if it only looked at such a state (``imstat``).
A call that nothing depends on any more, because its output was overwritten or
its cell was run again, is left out; a state that tasks alone cannot bring
back blocks what follows from it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Literal

from casaprov.lineage import Lineage
from casaprov.model import Activity, Document, Entity
from casaprov.values import is_exact

__all__ = ["Plan", "PlanStep", "make_plan"]

Action = Literal["run", "leave-out", "blocked"]


@dataclass(frozen=True)
class PlanStep:
    """What to do about one recorded call.

    Attributes
    ----------
    reason
        Why it is not run; empty if it is.
    clears
        Paths to remove before the call: states of an earlier generation that
        were gone when the call was recorded.
    restores
        States to copy to a path before the call, as somebody did outside of tasks.
    """

    activity: Activity
    action: Action
    reason: str = ""
    clears: tuple[str, ...] = ()
    restores: tuple[tuple[Entity, str], ...] = ()


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


def make_plan(document: Document, known_tasks: Container[str]) -> Plan:
    """Plan the replay of a Document; only tasks in `known_tasks` are run.

    Raises
    ------
    RecordError
        If the Document refers to records it does not contain.
    """
    lineage = Lineage(document)
    products = lineage.products()
    steps = tuple(_steps(lineage, lineage.upstream(products), known_tasks))
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


def _steps(lineage: Lineage, wanted: frozenset[str], known_tasks: Container[str]) -> Iterator[PlanStep]:
    made: dict[str, str] = {}  # path -> entity id that the replay will have there
    lost: set[str] = set()  # entity ids that the replay cannot bring back
    for activity in lineage.document.activities:
        if activity.parent is not None:
            continue  # its outer call runs it
        used = [lineage.entities[usage.entity] for usage in activity.used]
        reason = _superseded(activity, used, wanted, lineage, made, lost)
        if reason:
            yield PlanStep(activity, "leave-out", reason)
            continue
        originals = [lineage.original(entity) for entity in used]
        reason = _blocked(activity, originals, lost, known_tasks)
        if reason:
            lost.update(usage.entity for usage in activity.generated)
            yield PlanStep(activity, "blocked", reason)
            continue
        restores = tuple(
            (original, entity.path)
            for entity, original in zip(used, originals, strict=True)
            if original is not entity and made.get(entity.path) != entity.id
        )
        generated = [lineage.entities[usage.entity] for usage in activity.generated]
        clears = tuple(e.path for e in generated if e.revision_of is None and e.path in made)
        made.update((e.path, e.id) for e in (*used, *generated))
        yield PlanStep(activity, "run", clears=clears, restores=restores)
        for path in activity.deleted:
            made.pop(path, None)


def _superseded(
    activity: Activity,
    used: list[Entity],
    wanted: frozenset[str],
    lineage: Lineage,
    made: dict[str, str],
    lost: set[str],
) -> str:
    if activity.generated:
        return "" if activity.id in wanted else "nothing that is still there came from it"
    if activity.outcome != "completed":
        return f"it {'was ' if activity.outcome != 'failed' else ''}{activity.outcome} and left nothing behind"
    for entity in used:
        maker = lineage.generator(entity)
        if maker is not None and made.get(entity.path) != entity.id and entity.id not in lost:
            return f"the state of {entity.path} that it looked at was replaced later"
    return ""


def _blocked(activity: Activity, used: list[Entity], lost: set[str], known_tasks: Container[str]) -> str:
    if activity.task not in known_tasks:
        return f"{activity.package}.{activity.task} is no task that casaprov knows; what it reads and writes is not described"
    if activity.outcome in ("interrupted", "unfinished"):
        return f"it was {activity.outcome} when recorded; what it left behind cannot be repeated"
    for entity in used:
        if entity.gap:
            return f"{entity.path} was changed before it by something that is no recorded task"
        if entity.id in lost:
            return f"{entity.path} could not be brought back"
        if entity.content_digest is None:
            return f"the content of {entity.path} is not recorded ({entity.note or 'no reason given'})"
    for name in activity.given:
        if not is_exact(activity.parameters.get(name)):
            return f"the value of its parameter {name} could not be recorded exactly"
    return ""
