"""Foreign states: products of functions, tools, programs and unknown changes. No task can make them again."""

from __future__ import annotations

from collections.abc import Container

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Entity

__all__ = ["belongs_to_task", "foreign_states", "is_foreign", "is_task", "needed_states"]


def is_task(activity: Activity, known_tasks: Container[str]) -> bool:
    """Return True if a call is that of a task.

    Parameters
    ----------
    known_tasks
        The tasks that can be run, as ``package.task``.
    """
    return f"{activity.package}.{activity.task}" in known_tasks


def belongs_to_task(activity: Activity | None, lineage: Lineage, known_tasks: Container[str]) -> bool:
    """Return True if a call is that of a task, or an inner call of one."""
    while activity is not None and not is_task(activity, known_tasks):
        activity = lineage.activities.get(activity.parent or "")
    return activity is not None


def is_foreign(entity: Entity, lineage: Lineage, known_tasks: Container[str]) -> bool:
    """Return True if a state came from something other than a task."""
    maker = lineage.generator(entity)
    return entity.gap if maker is None else not belongs_to_task(maker, lineage, known_tasks)


def needed_states(lineage: Lineage, known_tasks: Container[str]) -> tuple[Entity, ...]:
    """Return the foreign states that a task used, directly or as a copy: a replay can only take them as they are."""
    return _foreign(lineage, known_tasks, _used_by_tasks(lineage, known_tasks))


def foreign_states(lineage: Lineage, known_tasks: Container[str]) -> tuple[Entity, ...]:
    """Return the foreign states that a task used, directly or as a copy, or that are still there."""
    products = {product.id for product in lineage.products()}
    return _foreign(lineage, known_tasks, products | _used_by_tasks(lineage, known_tasks))


def _used_by_tasks(lineage: Lineage, known_tasks: Container[str]) -> set[str]:
    used = {
        usage.entity
        for activity in lineage.document.activities
        if belongs_to_task(activity, lineage, known_tasks)
        for usage in activity.used
    }
    return used | {lineage.original(lineage.entities[entity_id]).id for entity_id in used}


def _foreign(lineage: Lineage, known_tasks: Container[str], wanted: Container[str]) -> tuple[Entity, ...]:
    return tuple(e for e in lineage.document.entities if e.id in wanted and is_foreign(e, lineage, known_tasks))
