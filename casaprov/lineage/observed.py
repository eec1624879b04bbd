"""Observations carried along the lineage: tasks do not copy all headers and no identifier of an archive."""

from __future__ import annotations

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Entity
from casaprov.records.observation import Observation

__all__ = ["observations_of", "observed_inputs", "observed_sources"]


def observed_inputs(document: Document) -> tuple[Entity, ...]:
    """Return the external states with observations."""
    return tuple(entity for entity in document.entities if entity.observations and not _is_derived(entity))


def observed_sources(lineage: Lineage, entity: Entity) -> tuple[Entity, ...]:
    """Return the external states with observations that a state came from, or is."""
    calls = lineage.upstream([entity])
    names = {usage.entity for call in calls for usage in lineage.activities[call].used}
    # What tasks read may itself be a copy, or have been changed outside of tasks.
    for name in (entity.id, *list(names)):
        names.add(name)
        names.update(state.id for state in lineage.origins(lineage.entities[name]))
    return tuple(source for source in observed_inputs(lineage.document) if source.id in names)


def observations_of(lineage: Lineage, entity: Entity) -> tuple[Observation, ...]:
    """Return the observations of a state: its own, else those of the external data that it came from."""
    if entity.observations:
        return entity.observations
    return tuple(row for source in observed_sources(lineage, entity) for row in source.observations)


def _is_derived(entity: Entity) -> bool:
    return any((entity.generated_by, entity.revision_of, entity.copy_of))
