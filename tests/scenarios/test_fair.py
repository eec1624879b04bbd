"""FAIR: checks after those of F-UJI (metrics FsF 0.5), on the crate of a real reduction before and after its deposit.

docs/explanation/fair.md says which statement of a crate answers which principle.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from casaprov.crate import annotate_crate
from casaprov.crates.annotation import Annotation
from casaprov.credits.licences import licence
from casaprov.credits.people import doi_of, organization, person
from checkout import ROOT
from crate_rdf import described, triples
from reductions import Reduction

NEED_THE_PID = {"FsF-F1-01D", "FsF-F1-02D", "FsF-A1-02M", "FsF-A1-03D"}
PEOPLE = Annotation(
    publisher=organization("Zenodo <https://zenodo.org>"),
    license=licence("CC-BY-4.0"),
    conditions_of_access="Open to all.",
    authors=(person("J. Carberry <0000-0002-1825-0097>"),),
)
COMMUNITY_FORMATS = {"application/fits", "application/x-ipynb+json"}
CASA_KINDS = {"MeasurementSet", "CalibrationTable", "Image"}
DOI = doi_of("10.5281/zenodo.1234567")


def checks(crate: Path) -> dict[str, bool]:
    """Return each check by its number, and whether the description passes it."""
    nodes = described(crate)
    root = nodes["./"]
    identifier = str(root.get("identifier", ""))
    parts = [nodes[one["@id"]] for one in root["hasPart"]]
    files = [node for node in parts if "File" in types(node)]
    actions = [node for node in nodes.values() if node["@type"] == "CreateAction"]
    persons = [nodes[one["@id"]] for one in members(root.get("author"))]
    rdf = triples(crate)
    vocabularies = {str(predicate).rpartition("/")[0] for predicate in rdf.predicates()}
    core = ("name", "description", "author", "publisher", "datePublished", "keywords")
    return {
        "FsF-F1-01D": identifier.startswith("https://"),
        "FsF-F1-02D": identifier.startswith("https://doi.org/10."),
        "FsF-F2-01M": all(root.get(key) for key in core) and root["@type"] == "Dataset",
        "FsF-F3-01M": len(parts) > 0 and all(node["@id"] for node in parts),
        "FsF-F4-01M": root["@id"] == "./" and nodes["ro-crate-metadata.json"]["about"] == {"@id": "./"},
        "FsF-A1-01M": bool(root.get("conditionsOfAccess")) and bool(root.get("license")),
        "FsF-A1-02M": identifier.startswith("https://"),
        "FsF-A1-03D": identifier.startswith("https://"),
        "FsF-I1-01M": len(rdf) > len(nodes),
        "FsF-I2-01M": {"http://schema.org", "https://bioschemas.org"} <= vocabularies,
        "FsF-I3-01M": bool(root.get("isBasedOn")) and bool(root.get("citation")),
        "FsF-R1-01MD": all(node.get("encodingFormat") and node.get("contentSize") for node in files)
        and any("variableMeasured" in node for node in nodes.values()),
        "FsF-R1.1-01M": str(nodes[root["license"]["@id"]]["@id"]).startswith("https://spdx.org/licenses/"),
        "FsF-R1.2-01M": bool(actions)
        and all({"instrument", "startTime", "endTime", "actionStatus", "result"} <= node.keys() for node in actions)
        and any(node["@id"].startswith("https://orcid.org/") for node in persons),
        "FsF-R1.3-01M": {"https://w3id.org/ro/wfrun/provenance/0.5"} <= {one["@id"] for one in root["conformsTo"]}
        and any(str(node.get("propertyID")).startswith("obscore:") for node in nodes.values()),
        "FsF-R1.3-02D": any(
            node.get("encodingFormat") in COMMUNITY_FORMATS or node.get("additionalType") in CASA_KINDS
            for node in parts
        ),
    }


def types(node: dict[str, Any]) -> Iterable[str]:
    return node["@type"] if isinstance(node["@type"], list) else [node["@type"]]


def members(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


@pytest.mark.casa
def test_before_a_deposit_only_the_pid_is_missing_and_afterwards_nothing(reduction: Reduction, tmp_path: Path) -> None:
    named, published = tmp_path / "named.zip", tmp_path / "published.zip"
    annotate_crate(reduction.crate, named, PEOPLE)
    assert {number for number, passed in checks(named).items() if not passed} == NEED_THE_PID
    annotate_crate(named, published, Annotation(doi=DOI))
    assert [number for number, passed in checks(published).items() if not passed] == []


@pytest.mark.casa
def test_a_crate_without_people_fails_what_people_state(reduction: Reduction) -> None:
    failed = {number for number, passed in checks(reduction.crate).items() if not passed}
    assert failed == NEED_THE_PID | {"FsF-F2-01M", "FsF-A1-01M", "FsF-R1.1-01M", "FsF-R1.2-01M"}


@pytest.mark.casa
def test_the_page_names_every_check(reduction: Reduction) -> None:
    page = (ROOT / "docs" / "explanation" / "fair.md").read_text(encoding="utf-8")
    assert [number for number in checks(reduction.crate) if number not in page] == []
