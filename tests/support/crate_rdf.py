"""The description of a crate as triples, without a network: the contexts come from the checkout."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

from rdflib import Graph

from casaprov.terms import CONFORMANCES, WORKFLOW_RUN_CONTEXT
from checkout import ROOT

__all__ = ["described", "triples"]

_CONTEXTS = {
    **{each.context: f"ro-crate-{each.ro_crate}.jsonld" for each in CONFORMANCES.values()},
    WORKFLOW_RUN_CONTEXT: "workflow-run.jsonld",
}
_BASE = "https://crate.example.org/x/"


def described(crate: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of the description of a zip, by their identifiers."""
    return {node["@id"]: node for node in _metadata(crate)["@graph"]}


def _metadata(crate: Path) -> dict[str, Any]:
    with zipfile.ZipFile(crate) as archive:
        metadata: dict[str, Any] = json.loads(archive.read("ro-crate-metadata.json"))
    return metadata


def _context(named: str | dict[str, str]) -> dict[str, Any]:
    if isinstance(named, dict):
        return named
    context: dict[str, Any] = json.loads((ROOT / "schemas" / "contexts" / _CONTEXTS[named]).read_text())["@context"]
    return context


def triples(crate: Path) -> Graph:
    """Return the description of a zip as triples."""
    metadata = _metadata(crate)
    metadata["@context"] = [_context(named) for named in metadata["@context"]]
    text = json.dumps(metadata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # rdflib warns of its own classes
        return Graph().parse(data=text, format="json-ld", publicID=_BASE)
