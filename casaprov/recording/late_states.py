"""Records completed after their session: what was not digested then, is gone, or changed since."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from casaprov.digests.measurement import Measure, Measurement, facts_of
from casaprov.errors import CasaprovError, DigestError, JournalError
from casaprov.files.stamps import stamp
from casaprov.journal.folder import store_tree
from casaprov.lineage.graph import Lineage
from casaprov.recording.gaps import UnfinishedCall
from casaprov.records.model import UNDIGESTED, Activity, Document, Entity
from casaprov.records.wording import sentences

__all__ = ["with_late_digests", "with_present_states", "without_remains"]


_LATER = "It was digested later: its files had the names, sizes and times that the call left."


_PARTLY = "It was digested later: what it only read may be missing."


def with_late_digests(
    document: Document, folders: Mapping[str, Path], journal: Path, measure: Measure[Measurement]
) -> Document:
    """Digest what a session had no time for, if it is still there as it was left: a kernel has seconds to end.

    Parameters
    ----------
    folders
        Where the folder of each session is now.
    journal
        Folder of the journal, which gets the digest trees.
    """
    known = {e.copy_of: e for e in document.entities if e.content_digest}  # by a later session
    digested = {}
    for entity in filter(lambda entity: entity.is_undigested, document.entities):
        found: Entity | Measurement | None = known.get(entity.id)
        if not isinstance(found, Entity) or found.path != entity.path:
            found = _still_there(folders[entity.session] / entity.path, entity, measure)
        if found is None:
            continue
        if isinstance(found, Measurement) and found.tree is not None:
            with contextlib.suppress(JournalError):  # without its tree it can only be compared as a whole
                store_tree(journal, found.content_digest, found.tree)
        digested[entity.id] = replace(entity, note=_LATER, **facts_of(found))
    entities = {entity.id: digested.get(entity.id, entity) for entity in document.entities}
    activities = tuple(_told_anew(activity, entities) for activity in document.activities)
    return replace(document, activities=activities, entities=tuple(entities.values()))


def _told_anew(activity: Activity, entities: Mapping[str, Entity]) -> Activity:
    """Say of a call what is missing now that all states that it names are digested."""
    named = (entities.get(usage.entity) for usage in (*activity.used, *activity.generated))
    if any(entity is not None and entity.is_undigested for entity in named):
        return activity
    problems = tuple(_PARTLY if problem == UNDIGESTED else problem for problem in activity.problems)
    return replace(activity, problems=problems)


def _still_there(path: Path, entity: Entity, measure: Measure[Measurement]) -> Measurement | None:
    """Measure what a state was stamped as; None if it is not there as it was, or cannot be measured."""
    present = stamp(path)
    if not present or present.digest != entity.stamp:
        return None
    try:
        found = measure(path, tier=entity.tier)
    except CasaprovError:
        return None
    return found if stamp(path) == present else None


def without_remains(document: Document, folders: Mapping[str, Path]) -> Document:
    """Leave out what interrupted calls left and the user removed since, if nothing came from it: no replay could make it again.

    Parameters
    ----------
    folders
        Where the folder of each session is now.
    """
    needed = {usage.entity for activity in document.activities for usage in activity.used}
    needed |= {name for entity in document.entities for name in (entity.revision_of, entity.copy_of) if name}
    entities = {entity.id: entity for entity in document.entities}
    removed = {
        usage.entity
        for activity in document.activities
        if activity.outcome in ("interrupted", "unfinished")
        for usage in activity.generated
        if usage.entity not in needed and not (folders[activity.session] / entities[usage.entity].path).exists()
    }
    activities = tuple(
        replace(activity, generated=tuple(usage for usage in activity.generated if usage.entity not in removed))
        for activity in document.activities
    )
    kept = tuple(entity for entity in document.entities if entity.id not in removed)
    return replace(document, activities=activities, entities=kept)


def with_present_states(
    document: Document,
    folders: Mapping[str, Path],
    measure: Measure[Measurement],
    recorded: Iterable[Entity] = (),
    unfinished: UnfinishedCall = lambda _path, _known: "",
) -> Document:
    """Add a gap for every product that was changed after the last call that left it, also to something that cannot be read.

    A task that was killed leaves half a table behind.

    Parameters
    ----------
    folders
        Where the folder of each session is now.
    recorded
        All states, in order: also those that came about beside a call, as a table that has two names is changed under both.
    unfinished
        Tells which call may have changed it and never ended.
    """
    copies = {(e.path, e.content_digest) for e in {e.path: e for e in recorded}.values() if e.copy_of is not None}
    gaps = []
    for product in Lineage(document).products():
        path = folders[product.session] / product.path
        if product.content_digest is None or not path.exists():
            continue
        try:
            present = measure(path, tier=product.tier)
            if present.content_digest == product.content_digest or (product.path, present.content_digest) in copies:
                continue
            told, failure = facts_of(present), ""
        except DigestError as error:
            failure = error.message
            told = {"kind": product.kind, "content_digest": None, "size_bytes": stamp(path).size_bytes}
        told |= {"revision_of": product.id, "gap": True, "note": sentences(failure, unfinished(path, product))}
        gaps.append(Entity(id=f"{product.id}-changed", path=product.path, **told))
    return replace(document, entities=(*document.entities, *gaps))
