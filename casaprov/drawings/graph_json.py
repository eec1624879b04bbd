"""The graph of a Document for programs: all calls and states as nodes, with the record's ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Entity

__all__ = ["to_graph"]


def to_graph(document: Document, numbers: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return nodes and edges with the record's ids, as JSON values.

    Edges lead forward in time: ``used`` from a state to a call, ``generated``
    from a call to a state, ``revision`` from a state to the next state of its
    path, ``copy`` from a state to a copy of it at another path, ``child``
    from a call to an inner call.
    """
    lineage = Lineage(document)
    inputs, products, numbers = _ids(lineage.inputs()), _ids(lineage.products()), numbers or document.call_numbers
    nodes: list[dict[str, Any]] = [
        {"id": a.id, "type": "activity", "label": f"{numbers[a.id]} {a.task}", "task": a.task, "outcome": a.outcome}
        for a in document.activities
    ]
    nodes += [
        {
            "id": e.id,
            "type": "entity",
            "label": e.path,
            "path": e.path,
            "kind": e.kind,
            "content_digest": e.content_digest,
            "input": e.id in inputs,
            "product": e.id in products,
            "gap": e.gap,
        }
        for e in document.entities
    ]
    edges: list[dict[str, Any]] = []
    for activity in document.activities:
        edges += [_edge(u.entity, activity.id, "used", parameter=u.parameter) for u in activity.used]
        edges += [_edge(activity.id, u.entity, "generated", parameter=u.parameter) for u in activity.generated]
        if activity.parent in lineage.activities:
            edges.append(_edge(activity.parent, activity.id, "child"))
    known = lineage.entities
    edges += [_edge(e.revision_of, e.id, "revision", gap=e.gap) for e in known.values() if e.revision_of in known]
    edges += [_edge(e.copy_of, e.id, "copy") for e in known.values() if e.copy_of in known]
    return {"format": "casaprov/graph/1", "notebook": document.notebook, "nodes": nodes, "edges": edges}


def _edge(source: str | None, target: str, relation: str, **facts: Any) -> dict[str, Any]:
    return {"from": source, "to": target, "relation": relation, **facts}


def _ids(entities: Iterable[Entity]) -> frozenset[str]:
    return frozenset(entity.id for entity in entities)
