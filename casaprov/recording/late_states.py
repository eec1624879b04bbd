"""Record of a notebook brought up to date with its files, after its sessions.

A session records what it knew while it ran. Before the record is packed, its states are compared with the files as
they are now, in three passes over the Document:

1. States that are lost, and that no result came from, are left out (:func:`without_lost_remains`).
2. States that were never digested are digested, if their files are still as they were left.
3. Products that changed after the last call are marked as gaps.

The first pass reads no file. The other two are :func:`with_present_states`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measure, Measurement, facts_of
from casaprov.errors import CasaprovError, DigestError, JournalError
from casaprov.files.stamps import stamp
from casaprov.journal.folder import store_tree
from casaprov.lineage.graph import Lineage
from casaprov.recording.explanations import UnfinishedCalls
from casaprov.records.model import UNDIGESTED, Activity, Document, Entity
from casaprov.records.wording import sentences

__all__ = ["PresentFiles", "with_observers", "with_present_states", "without_lost_remains"]

_DIGESTED_LATER = "It was digested later: its files had the names, sizes and times that the call left."
_PARTLY_DIGESTED = "It was digested later: what it only read may be missing."


@dataclass(frozen=True, kw_only=True)
class PresentFiles:
    """Files of a Document as they are now.

    Attributes
    ----------
    folders
        Where the folder of each session is now, by session id.
    journal
        Folder of the journal, which takes the digest trees.
    measure
        Measures a file or table.
    """

    folders: Mapping[str, Path]
    journal: Path
    measure: Measure[Measurement]

    def path(self, state: Entity) -> Path:
        """Return where the path of a state is now."""
        return self.folders[state.session] / state.path

    def measure_unchanged(self, state: Entity) -> Measurement | None:
        """Measure a state that was only stamped; None if its files changed, or cannot be measured."""
        path = self.path(state)
        present = stamp(path)
        if not present or present.digest != state.stamp:
            return None
        try:
            found = self.measure(path, tier=state.tier)
        except CasaprovError:
            return None
        # The files may have been written while they were read.
        return found if stamp(path) == present else None


def without_lost_remains(document: Document, folders: Mapping[str, Path]) -> Document:
    """Leave out the states that interrupted calls left and that are gone, if nothing came from them.

    No replay could make them again.

    Parameters
    ----------
    folders
        Where the folder of each session is now, by session id.
    """
    needed = {usage.entity for activity in document.activities for usage in activity.used}
    needed |= {name for entity in document.entities for name in (entity.revision_of, entity.copy_of) if name}
    entities = {entity.id: entity for entity in document.entities}
    lost = {
        usage.entity
        for activity in document.activities
        if activity.outcome in ("interrupted", "unfinished")
        for usage in activity.generated
        if usage.entity not in needed and not (folders[activity.session] / entities[usage.entity].path).exists()
    }
    activities = tuple(
        replace(activity, generated=tuple(usage for usage in activity.generated if usage.entity not in lost))
        for activity in document.activities
    )
    kept = tuple(entity for entity in document.entities if entity.id not in lost)
    return replace(document, activities=activities, entities=kept)


def with_present_states(
    document: Document, files: PresentFiles, recorded: Iterable[Entity], unfinished: UnfinishedCalls
) -> Document:
    """Digest the states that their sessions had no time for, and add a gap for every product that changed since.

    Parameters
    ----------
    files
        The files as they are now.
    recorded
        All states that were ever recorded, in order; `document` may contain only some of them.
    unfinished
        Calls that never ended and may have changed a product.
    """
    return _with_gaps(_with_late_digests(document, files), files, recorded, unfinished)


def with_observers(document: Document, files: PresentFiles) -> Document:
    """Name the observers, for users who ask for it: a session never reads these personal data.

    Parameters
    ----------
    files
        The files as they are now; what measures them reads the name as well. A state that is no longer there, or has
        other content, stays as it is.
    """
    return replace(document, entities=tuple(_with_observer(entity, files) for entity in document.entities))


def _with_observer(entity: Entity, files: PresentFiles) -> Entity:
    if not entity.observations:
        return entity
    try:
        found = files.measure(files.path(entity), tier=entity.tier)
    except CasaprovError:
        return entity
    if found.content_digest != entity.content_digest:
        return entity
    return replace(entity, observations=facts_of(found, derived=_is_derived(entity))["observations"])


def _with_late_digests(document: Document, files: PresentFiles) -> Document:
    """Digest the files that were not touched since. A kernel that ends has no time for it."""
    # A later session that recognised a state digested it as a copy of that.
    copies = {entity.copy_of: entity for entity in document.entities if entity.content_digest}
    digested = {}
    for state in filter(lambda entity: entity.is_undigested, document.entities):
        found: Entity | Measurement | None = copies.get(state.id)
        if not isinstance(found, Entity) or found.path != state.path:
            found = files.measure_unchanged(state)
        if found is None:
            continue
        if isinstance(found, Measurement) and found.tree is not None:
            with contextlib.suppress(JournalError):  # without its tree it can only be compared as a whole
                store_tree(files.journal, found.content_digest, found.tree)
        digested[state.id] = replace(state, note=_DIGESTED_LATER, **facts_of(found, derived=_is_derived(state)))
    entities = {entity.id: digested.get(entity.id, entity) for entity in document.entities}
    activities = tuple(_with_present_problems(activity, entities) for activity in document.activities)
    return replace(document, activities=activities, entities=tuple(entities.values()))


def _is_derived(state: Entity) -> bool:
    return any((state.generated_by, state.revision_of, state.copy_of))


def _with_present_problems(activity: Activity, entities: Mapping[str, Entity]) -> Activity:
    """Correct the problems of a call whose states are all digested now."""
    named = (entities.get(usage.entity) for usage in (*activity.used, *activity.generated))
    if any(entity is not None and entity.is_undigested for entity in named):
        return activity
    problems = tuple(_PARTLY_DIGESTED if problem == UNDIGESTED else problem for problem in activity.problems)
    return replace(activity, problems=problems)


def _with_gaps(
    document: Document, files: PresentFiles, recorded: Iterable[Entity], unfinished: UnfinishedCalls
) -> Document:
    """Add a gap for every product that changed after its last call.

    That may be a product that cannot be read: a task that was killed leaves half a table.
    """
    # A table with two names changes under both: the last state of the second name may be a copy, which is no change.
    last_states = {entity.path: entity for entity in recorded}
    copies = {(e.path, e.content_digest) for e in last_states.values() if e.copy_of is not None}
    gaps = []
    for product in Lineage(document).products():
        path = files.path(product)
        if product.content_digest is None or not path.exists():
            continue
        facts: dict[str, Any]
        try:
            present = files.measure(path, tier=product.tier)
            if present.content_digest == product.content_digest or (product.path, present.content_digest) in copies:
                continue
            facts, failure = facts_of(present, derived=True), ""
        except DigestError as error:
            failure = error.message
            facts = {"kind": product.kind, "content_digest": None, "size_bytes": stamp(path).size_bytes}
        note = sentences(failure, unfinished.describe(path, product))
        gaps.append(
            Entity(id=f"{product.id}-changed", path=product.path, revision_of=product.id, gap=True, note=note, **facts)
        )
    return replace(document, entities=(*document.entities, *gaps))
