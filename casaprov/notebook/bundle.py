"""The short form of a call, in display bundles and in ``metadata.casaprov``.

The journal has the whole record; the short forms travel with the .ipynb file and lead to the journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from casaprov.hashing import canonical_json
from casaprov.lineage.saved_cells import BUNDLE_MIME
from casaprov.records.model import Activity, Entity, Usage
from casaprov.records.values import summarise

__all__ = ["BUNDLE_FORMAT", "BUNDLE_MIME", "MAX_CALL_BYTES", "bundle", "call_summary", "display_data"]

BUNDLE_FORMAT = "casaprov/bundle/1"
MAX_CALL_BYTES = 5000
"""Limit for the short form of a call."""

_MAX_GIVEN_BYTES = 1500


def bundle(session: str, calls: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the display bundle of a cell that made `calls`."""
    return {"format": BUNDLE_FORMAT, "session": session, "calls": list(calls)}


def display_data(session: str, calls: Iterable[dict[str, Any]], *, with_text: bool = True) -> dict[str, Any]:
    """Return the display bundle by media type, as a kernel publishes it.

    Parameters
    ----------
    with_text
        True to put an empty text beside it. VS Code complains about an output of unknown media types only, and shows the
        text; in JupyterLab the text has no height. A terminal would print it as an empty line.
    """
    text = {"text/plain": ""} if with_text else {}
    return {BUNDLE_MIME: bundle(session, calls), **text}


def call_summary(activity: Activity, entities: Iterable[Entity]) -> dict[str, Any]:
    """Return the short form of a call, at most :data:`MAX_CALL_BYTES` of JSON."""
    by_id = {entity.id: entity for entity in entities}
    parameters = {**activity.parameters, **activity.replaced}
    given = {name: parameters[name] for name in activity.given if name in parameters}
    summary: dict[str, Any] = {
        "id": activity.id,
        "task": activity.task,
        "outcome": activity.outcome,
        "started_at": activity.started_at,
        "seconds": activity.seconds,
        "given": summarise(given, _MAX_GIVEN_BYTES),
        "used": [_used(by_id[u.entity], u) for u in activity.used if u.entity in by_id],
        "generated": [_generated(by_id[u.entity]) for u in activity.generated if u.entity in by_id],
    }
    for side in ("used", "generated"):
        while len(summary[side]) > 1 and len(canonical_json(summary)) > MAX_CALL_BYTES:
            summary[side] = summary[side][: len(summary[side]) // 2]
            summary["cut"] = True
    return summary


def _used(entity: Entity, usage: Usage) -> dict[str, Any]:
    return {"path": entity.path, "digest": entity.content_digest, "parameter": usage.parameter}


def _generated(entity: Entity) -> dict[str, Any]:
    return {
        "path": entity.path,
        "kind": entity.kind,
        "digest": entity.content_digest,
        "size_bytes": entity.size_bytes,
    }
