"""The description of a crate for pages and harvesters, taken from its records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from casaprov.crates.layout import Manifest
from casaprov.records.model import Document, Entity

__all__ = ["about", "creators"]

_MOST = 500  # products and inputs that are listed
_MOST_TEXT = 1000
_LATEST_MJD = 200_000  # in the year 2406: a later time is no time of an observation


def about(document: Document, manifest: Manifest, files: Iterable[str]) -> dict[str, Any]:
    """Return the description of a crate as JSON."""
    shipped = manifest.shipped()
    latest: dict[str, Entity] = {entity.path: entity for entity in document.entities}
    made = [entity for entity in latest.values() if entity.generated_by]
    inputs = [entity for entity in document.entities if not entity.generated_by and not entity.revision_of]
    environments = [session.environment for session in document.sessions]
    return {
        "notebook": manifest.notebook,
        "casa": next((e.casatasks for e in reversed(environments) if e.casatasks), ""),
        "casaprov": next((s.casaprov for s in reversed(document.sessions)), ""),
        "started_at": next((s.started_at for s in document.sessions), ""),
        "calls": len(document.activities),
        "tasks": sorted({activity.task for activity in document.activities})[:_MOST],
        "products": [
            {
                "path": _short(entity.path),
                "kind": entity.kind,
                "bytes": entity.size_bytes,
                "shipped": shipped.get(entity.id),
            }
            for entity in made[:_MOST]
        ],
        "inputs": [_input(entity) for entity in inputs[:_MOST]],
        "preview": next((name for name in sorted(files) if name.lower().endswith((".png", ".svg"))), ""),
    }


def _input(entity: Entity) -> dict[str, Any]:
    locators = [f"{locator.scheme}:{locator.value}" for locator in entity.locators]
    ends = [seen.t_max for seen in entity.observations if seen.t_max is not None and 0 < seen.t_max < _LATEST_MJD]
    return {
        "path": _short(entity.path),
        "kind": entity.kind,
        "bytes": entity.size_bytes,
        "digest": entity.content_digest,
        "locators": locators,
        "did": next((locator.value for locator in entity.locators if locator.scheme == "vo"), ""),
        "t_max": max(ends, default=None),
    }


def creators(metadata: Any, manifest: Manifest) -> tuple[dict[str, str], ...]:
    """Return the authors: those of the manifest, or else those that the crate's description names."""
    if manifest.authors:
        return tuple(_creator(agent.name, agent.url or agent.id) for agent in manifest.authors if agent.name)
    graph = metadata.get("@graph", []) if isinstance(metadata, dict) else []
    by_id = {entity.get("@id"): entity for entity in graph if isinstance(entity, dict)}
    named = by_id.get("./", {}).get("author", [])
    found = []
    for reference in named if isinstance(named, list) else [named]:
        person = by_id.get(reference.get("@id")) if isinstance(reference, dict) else None
        if isinstance(person, dict) and isinstance(person.get("name"), str):
            found.append(_creator(person["name"], str(person.get("@id", ""))))
    return tuple(found[:_MOST])


def _creator(name: str, identifier: str) -> dict[str, str]:
    orcid = identifier if identifier.startswith("https://orcid.org/") else ""
    return {"name": _short(name), "orcid": _short(orcid)}


def _short(text: str) -> str:
    return text[:_MOST_TEXT]
