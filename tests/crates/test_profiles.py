"""Other people's tools read our crates: the official validator and runcrate."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from rdflib import RDF

from casaprov.crate import OpenCrate, Packed, annotate_crate, open_crate
from casaprov.crates.annotation import Annotation
from casaprov.crates.checking.validation import check_crate
from casaprov.errors import Note
from casaprov.profiles.official import profile_findings
from casaprov.terms import CONFORMANCES
from crate_rdf import triples
from sample_records import Reduction, make_credits, make_reduction, pack_reduction

BIN = Path(sys.executable).parent


@pytest.fixture
def reduction(tmp_path: Path) -> Reduction:
    return make_reduction(tmp_path / "nb")


@pytest.fixture
def packed(reduction: Reduction, tmp_path: Path) -> Packed:
    return pack_reduction(reduction, tmp_path / "x.zip", extras=())


@pytest.fixture
def opened(packed: Packed, tmp_path: Path) -> OpenCrate:
    return open_crate(packed.path, tmp_path / "opened")


@pytest.mark.long
def test_the_official_validator_accepts_a_crate_and_misses_only_people(packed: Packed) -> None:
    found = list(profile_findings(packed.path))
    assert [one for one in found if type(one) is not Note] == []
    checks = {one.message.rpartition("(")[2].rstrip(")") for one in found}
    # The agent of an action, the author and the publisher of the root.
    assert checks == {"process-run-crate-0.5_8.6", "ro-crate-1.1_22.2", "ro-crate-1.1_22.3"}


@pytest.mark.long
def test_the_official_validator_refuses_the_crate_when_a_step_is_missing(opened: OpenCrate) -> None:
    path = opened.folder / "ro-crate-metadata.json"
    data = json.loads(path.read_text())
    data["@graph"] = [node for node in data["@graph"] if node["@type"] != "HowToStep"]
    path.write_text(json.dumps(data))
    assert any(type(one) is not Note for one in profile_findings(opened.folder))


@pytest.mark.long
def test_the_profile_of_casa_notebooks_finds_each_fault(opened: OpenCrate) -> None:
    path = opened.folder / "ro-crate-metadata.json"
    data = json.loads(path.read_text())
    nodes = {node["@id"]: node for node in data["@graph"]}
    root, notebook = nodes["./"], nodes[nodes["./"]["mainEntity"]["@id"]]
    root["hasPart"] = [one for one in root["hasPart"] if not one["@id"].startswith("records/")]
    notebook["encodingFormat"] = "text/html"
    del notebook["buildInstructions"]
    digests = [node for node in nodes.values() if node.get("name") == "content digest"]
    digests[0]["value"] = "md5:0"
    states = [node for node in nodes.values() if "additionalType" in node and "alternateName" in node]
    states[0]["additionalType"] = "Spectrum"
    del states[1]["alternateName"]
    for name, node in nodes.items():
        if name.startswith("#run/"):
            del node["environment"]
        elif name.startswith("#call/"):
            node["object"] = {"@id": states[0]["@id"]}
    path.write_text(json.dumps(data))
    found = list(profile_findings(opened.folder))
    own = {one.message.partition(" (")[0]: type(one) is Note for one in found if "casa-notebook" in one.message}
    assert own == {
        "The crate MUST hold records/document.json": False,
        "The crate MUST hold records/crate.json": False,
        "The encodingFormat of the notebook MUST be application/x-ipynb+json or text/x-python": False,
        "A content digest MUST be sha256: and 64 hexadecimal digits": False,
        "A state MUST have its kind as additionalType: MeasurementSet, CalibrationTable, Image, Table, FITS, File or Directory": False,
        "A state MUST have its recorded path as alternateName": False,
        "A run SHOULD name the versions of CASA, its data and Python as environment": True,
        "The notebook SHOULD have buildInstructions, a file with all pinned distributions": True,
        "A call SHOULD have a file with all its parameters, below parameters/, as object": True,
    }


def test_every_requirement_and_recommendation_is_met_once_people_are_named(
    reduction: Reduction, tmp_path: Path
) -> None:
    # One parameter takes a table in one call, and a name that leads nowhere in another; a failed call has made nothing.
    failed = reduction.document.activities[4]
    failed = replace(failed, used=(), parameters={**failed.parameters, "vis": "nosuch.ms"})
    # A stranger's folder may hold modules with the names of others.
    Path("json.py").write_text("raise SystemExit('a module of the working folder was loaded')")
    calls = (*reduction.document.activities[:4], failed, *reduction.document.activities[5:])
    made = replace(reduction, document=replace(reduction.document, activities=calls))
    pack_reduction(made, tmp_path / "x.zip", make_credits(), ("codemeta", "reana"))
    assert check_crate(tmp_path / "x.zip") == ()
    assert list(profile_findings(tmp_path / "x.zip")) == []


def test_runcrate_lists_every_call(packed: Packed, reduction: Reduction) -> None:
    done = subprocess.run([BIN / "runcrate", "report", packed.path], capture_output=True, text=True, check=True)
    for activity in reduction.document.activities:
        assert f"action: #call/{activity.id}\n" in done.stdout
    assert "    inf <- #input/casatasks.gaincal@6.7.0.31/solint" in done.stdout
    assert "    products/n.gcal/ <- #output/casatasks.gaincal@6.7.0.31/caltable" in done.stdout


NEWER = "https://bioschemas.org/terms/"


def test_a_crate_of_the_newer_profile_has_none_of_the_older_words(reduction: Reduction, tmp_path: Path) -> None:
    crate = pack_reduction(reduction, tmp_path / "x.zip", make_credits(), (), profile="0.6").path
    assert check_crate(crate) == ()
    with zipfile.ZipFile(crate) as archive:
        text = archive.read("ro-crate-metadata.json").decode()
        assert "Provenance Run Crate 0.6" in archive.read("README.md").decode()
    metadata = json.loads(text)
    context = ["https://w3id.org/ro/crate/1.3/context", "https://w3id.org/ro/terms/workflow-run/context"]
    assert metadata["@context"] == context
    nodes = {node["@id"]: node for node in metadata["@graph"]}
    assert nodes["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.3"}
    assert {one["@id"] for one in nodes["./"]["conformsTo"]} == {
        *(f"https://w3id.org/ro/wfrun/{name}/0.6" for name in ("process", "workflow", "provenance")),
        "https://w3id.org/workflowhub/workflow-ro-crate/1.1",
    }
    assert {tuple(nodes[name]["@type"]) for name in CONFORMANCES["0.6"].profiles} == {("CreativeWork", "Profile")}
    software = [node for node in nodes.values() if node["@type"] in ("SoftwareApplication", "ComputerLanguage")]
    assert all(node["version"] for node in software)
    older = CONFORMANCES["0.5"]
    assert [one for one in (older.context, older.ro_crate_profile, *older.profiles) if f'"{one}"' in text] == []
    rdf = triples(crate)
    kinds, words = set(map(str, rdf.objects(None, RDF.type))), set(map(str, rdf.predicates()))
    assert {f"{NEWER}ComputationalWorkflow", f"{NEWER}FormalParameter"} <= kinds
    assert {f"{NEWER}input", f"{NEWER}output", "https://codemeta.github.io/terms/buildInstructions"} <= words
    assert [one for one in kinds | words if "bioschemas.org" in one and not one.startswith(NEWER)] == []


def test_contexts_of_two_profiles_are_never_mixed_and_a_dropped_one_is_written_again(
    reduction: Reduction, tmp_path: Path
) -> None:
    packed = pack_reduction(reduction, tmp_path / "x.zip", make_credits(), (), profile="0.6")
    folder = open_crate(packed.path, tmp_path / "opened").folder
    path = folder / "ro-crate-metadata.json"
    metadata = json.loads(path.read_text())
    for mixed in (
        ["https://w3id.org/ro/crate/1.1/context", *metadata["@context"][1:]],
        [*CONFORMANCES["0.5"].more_contexts],
    ):
        path.write_text(json.dumps({**metadata, "@context": mixed}))
        assert "Its @context is not that of a casaprov crate." in [issue.message for issue in check_crate(folder)]
    path.write_text(json.dumps({**metadata, "@context": metadata["@context"][0]}))
    assert check_crate(folder) == ()
    annotate_crate(folder, tmp_path / "repaired", Annotation(repair=True))
    assert json.loads((tmp_path / "repaired" / path.name).read_text())["@context"] == metadata["@context"]


@pytest.mark.long
def test_the_official_validator_accepts_the_newer_profile_as_far_as_it_knows_it(
    reduction: Reduction, tmp_path: Path
) -> None:
    crate = pack_reduction(reduction, tmp_path / "x.zip", make_credits(), (), profile="0.6").path
    found = list(profile_findings(crate))
    assert [one.message for one in found if type(one) is not Note] == []
    assert all("(ro-crate-1." in one.message for one in found)
