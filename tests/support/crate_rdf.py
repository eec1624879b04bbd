"""The description of a crate as triples, without a network: the contexts come from the checkout."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

from rdflib import Graph

from casaprov.terms import BUILD_INSTRUCTIONS_CONTEXT
from checkout import ROOT

__all__ = ["described", "triples"]

_CONTEXTS = ("ro-crate-1.1.jsonld", "workflow-run.jsonld")
_BASE = "https://crate.example.org/x/"


def described(crate: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of the description of a zip, by their identifiers."""
    with zipfile.ZipFile(crate) as archive:
        metadata = json.loads(archive.read("ro-crate-metadata.json"))
    return {node["@id"]: node for node in metadata["@graph"]}


def triples(crate: Path) -> Graph:
    """Return the description of a zip as triples."""
    contexts = [json.loads((ROOT / "schemas" / "contexts" / name).read_text())["@context"] for name in _CONTEXTS]
    contexts.append(BUILD_INSTRUCTIONS_CONTEXT)
    text = json.dumps({"@context": contexts, "@graph": list(described(crate).values())})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # rdflib warns of its own classes
        return Graph().parse(data=text, format="json-ld", publicID=_BASE)
