"""The description of a crate: pure, complete, and in the words of the profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.crates.graph import crate_graph
from casaprov.crates.layout import CrateFile, CrateItem, Manifest
from casaprov.hashing import digest_bytes
from casaprov.records.model import Document
from sample_records import make_credits, make_reduction

Node = dict[str, Any]
NOTEBOOK = CrateFile(path="n.ipynb", sha256=digest_bytes(b"{}"), size_bytes=2)
MANIFEST = Manifest(notebook="n.ipynb", title="A title")


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return make_reduction(tmp_path / "nb").document


def graph(document: Document, manifest: Manifest = MANIFEST, *files: CrateFile) -> dict[str, Node]:
    nodes = crate_graph(document, manifest, (NOTEBOOK, *files))
    assert len({node["@id"] for node in nodes}) == len(nodes)
    return {node["@id"]: node for node in nodes}


def references(node: Node) -> Iterator[str]:
    for value in node.values():
        for member in value if isinstance(value, list) else [value]:
            if isinstance(member, dict):
                yield member["@id"]


def parts(node: Node) -> list[Node]:
    members = node.get("hasPart", [])
    return members if isinstance(members, list) else [members]


def types(nodes: dict[str, Node], name: str) -> list[Node]:
    return [node for node in nodes.values() if name in node["@type"]]


def test_every_call_has_its_action_step_and_control(document: Document) -> None:
    nodes = graph(document)
    for number, activity in enumerate(document.activities, start=1):
        action = nodes[f"#call/{activity.id}"]
        step = nodes[f"#step/{number:02d}-{activity.task}"]
        control = nodes[f"#control/{number:02d}-{activity.task}"]
        assert action["instrument"] == step["workExample"] == {"@id": f"#tool/casatasks.{activity.task}@6.7.0.31"}
        assert control["object"] == {"@id": action["@id"]}
        assert control["instrument"] == {"@id": step["@id"]}
        assert step["position"] == str(number)
    assert nodes["n.ipynb"]["step"][3] == {"@id": "#step/04-gaincal"}
    assert nodes["./"]["mainEntity"] == {"@id": "n.ipynb"}


def test_times_and_states_are_as_the_shapes_want_them(document: Document) -> None:
    actions = types(graph(document), "Action")
    assert actions
    for action in actions:
        assert action["actionStatus"].startswith("http://schema.org/")
        for key in ("startTime", "endTime"):
            assert key not in action or re.fullmatch(r"2026-05-01T\d\d:\d\d:\d\d\+00:00", action[key])


def test_a_failed_call_says_why_and_a_completed_one_has_no_error(document: Document) -> None:
    nodes = graph(document)
    failed = nodes["#call/20260501-a1b2/0005"]
    assert failed["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert failed["error"] == "RuntimeError: no data selected"
    assert "error" not in nodes["#call/20260501-a1b2/0004"]


def test_calls_and_runs_that_left_nothing_have_a_result(document: Document) -> None:
    failed = document.activities[4]
    nodes = graph(replace(document, activities=(replace(failed, generated=(), log=None),)))
    assert nodes[f"#call/{failed.id}"]["result"] == {"@id": f"#value/{failed.id}/error"}
    assert nodes[f"#value/{failed.id}/error"]["value"] == "RuntimeError: no data selected"
    assert nodes["#run/20260501-a1b2"]["result"] == {"@id": "records/document.json"}


@pytest.mark.parametrize(("outcome", "message"), [("interrupted", "was interrupted"), ("unfinished", "kernel ended")])
def test_a_call_without_end_says_so(document: Document, outcome: Any, message: str) -> None:
    last = replace(document.activities[-1], outcome=outcome, ended_at=None)
    nodes = graph(replace(document, activities=(*document.activities[:-1], last)))
    assert message in nodes[f"#call/{last.id}"]["error"]
    assert "endTime" not in nodes[f"#call/{last.id}"]
    assert nodes["#run/20260501-a1b2"]["actionStatus"] == "http://schema.org/FailedActionStatus"


def test_a_change_in_place_is_one_state_used_and_the_next_made(document: Document) -> None:
    nodes = graph(document)
    action = nodes["#call/20260501-a1b2/0006"]
    before, after = nodes["#entity/20260501-a1b2/e0003"], nodes["#entity/20260501-a1b2/e0007"]
    assert {"@id": before["@id"]} in action["object"]
    assert action["result"] == {"@id": after["@id"]}
    assert before["alternateName"] == after["alternateName"] == "n.ms"
    assert after["isBasedOn"] == {"@id": before["@id"]}
    collection = nodes["#path/n.ms"]
    assert len(collection["hasPart"]) == 3
    assert collection["mainEntity"] == {"@id": after["@id"]}


def test_what_is_not_shipped_is_a_local_entity_with_digests_and_locators(document: Document) -> None:
    entity = document.entities[0]
    item = CrateItem(entity=entity.id, decision="referenced", reason="an input")
    nodes = graph(document, replace(MANIFEST, items=(item,)))
    node = nodes["#entity/20260501-a1b2/e0001"]
    assert node["@type"] == "File"
    assert node["url"] == ["casadata:demo/N.fits", "https://example.org/N.fits", "file:///data/my%20data/N.fits"]
    assert f"sha256:{node['sha256']}" == entity.byte_digest
    assert nodes[node["identifier"]["@id"]]["value"] == entity.content_digest
    assert node["description"] == "Not in this crate: an input."
    assert {"@id": node["@id"]} not in parts(nodes["./"])


def test_what_is_shipped_is_a_part_with_the_digest_of_its_bytes(document: Document) -> None:
    entity = document.entities[-1]
    file = CrateFile(path="products/mom 0.fits", sha256=digest_bytes(b"2"), size_bytes=7)
    item = CrateItem(entity=entity.id, decision="shipped", reason="a FITS file", path=file.path)
    nodes = graph(document, replace(MANIFEST, items=(item,)), file)
    node = nodes["products/mom%200.fits"]
    assert node["contentSize"] == "7"
    assert f"sha256:{node['sha256']}" == file.sha256
    assert {"@id": node["@id"]} in parts(nodes["./"])
    assert nodes["#call/20260501-a1b2/0008"]["result"] == {"@id": node["@id"]}


def test_only_given_parameters_become_values(document: Document) -> None:
    nodes = graph(document)
    values = {n["name"]: n["value"] for i, n in nodes.items() if i.startswith("#value/20260501-a1b2/0004/")}
    assert values == {"solint": "inf", "minsnr": 3.0, "gaintable": "[]", "refant": ""}
    parameter = nodes["#input/casatasks.gaincal@6.7.0.31/minsnr"]
    assert parameter["additionalType"] == "Float"
    assert {"@id": parameter["@id"]} in nodes["#tool/casatasks.gaincal@6.7.0.31"]["input"]


def test_a_long_value_is_cut_and_says_so(document: Document) -> None:
    call = replace(document.activities[3], parameters={**document.activities[3].parameters, "solint": "x" * 5000})
    nodes = graph(replace(document, activities=(*document.activities[:3], call, *document.activities[4:])))
    value = nodes["#value/20260501-a1b2/0004/solint"]["value"]
    assert len(value) < 1100
    assert value.endswith("(cut; all of it is in the parameters file)")


def test_the_session_says_what_it_ran_in(document: Document) -> None:
    nodes = graph(document)
    run, session = nodes["#run/20260501-a1b2"], nodes["#session/20260501-a1b2"]
    environment = {nodes[e["@id"]]["name"]: nodes[e["@id"]]["value"] for e in run["environment"]}
    assert environment["casatasks"] == "6.7.0.31"
    assert environment["OMP_NUM_THREADS"] == "2"
    assert session["result"] == {"@id": run["@id"]}
    assert nodes[session["instrument"]["@id"]]["softwareVersion"] == "0.1.0"
    assert len(session["object"]) == len(document.activities)


def test_version_and_address_of_the_notebook_are_true_or_absent(document: Document) -> None:
    unknown = graph(document)["n.ipynb"]
    assert unknown["version"] == NOTEBOOK.sha256
    assert "url" not in unknown
    known = graph(document, replace(MANIFEST, commit="0123", repository="https://example.org/n.git"))["n.ipynb"]
    assert (known["version"], known["url"]) == ("0123", "https://example.org/n.git")
    first = graph(document, replace(MANIFEST, format="casaprov/crate/1"))["n.ipynb"]
    assert (first["version"], first["url"]) == ("0123456789abcdef", "https://example.org/n.git")


def test_each_kind_of_value_has_a_parameter_of_its_own(document: Document) -> None:
    text = replace(document.activities[4], parameters={"vis": "nosuch.ms"}, given=("vis",), used=())
    nodes = graph(replace(document, activities=(*document.activities[:4], text, *document.activities[5:])))
    names = ("#input/casatasks.gaincal@6.7.0.31/vis", "#input/casatasks.gaincal@6.7.0.31/vis/Text")
    assert [nodes[name]["additionalType"] for name in names] == ["Dataset", "Text"]
    assert nodes[f"#value/{text.id}/vis"]["exampleOfWork"] == {"@id": names[1]}


def test_no_entity_is_there_that_nothing_refers_to(document: Document) -> None:
    nodes = graph(document)
    referred = {name for node in nodes.values() for name in references(node)}
    assert nodes.keys() - referred == {"ro-crate-metadata.json"}


def test_the_notebook_is_in_a_language_that_workflowhub_knows(document: Document) -> None:
    nodes = graph(document)
    assert [language["@id"] for language in nodes["n.ipynb"]["programmingLanguage"]] == [
        "#jupyter",
        "https://www.python.org/",
    ]
    assert nodes["#jupyter"]["name"] == "Jupyter Notebook"


def test_a_value_that_is_cut_names_the_file_that_holds_it(document: Document) -> None:
    call = replace(document.activities[1], returned={"x": "y" * 2000})
    nodes = graph(replace(document, activities=(document.activities[0], call, *document.activities[2:])))
    assert "all of it is in records/document.json" in nodes[f"#value/{call.id}/return%20value"]["value"]


def test_credits_are_in_the_description(document: Document) -> None:
    nodes = graph(document, replace(MANIFEST, credits=make_credits()))
    root, author = nodes["./"], nodes["https://orcid.org/0000-0002-1825-0097"]
    assert root["author"] == nodes["#call/20260501-a1b2/0001"]["agent"] == {"@id": author["@id"]}
    assert nodes[root["publisher"]["@id"]]["name"] == "An archive"
    assert nodes[root["funder"]["@id"]]["name"] == "A fund"
    assert root["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert root["keywords"] == "VLBI"
    assert root["conditionsOfAccess"] == "Proprietary until 2027-01-01."
    assert root["citation"] == {"@id": "https://doi.org/10.1088/1538-3873/ac9642"}


def test_a_licence_is_a_link_and_none_is_said_to_be_none(document: Document) -> None:
    assert graph(document)["./"]["license"] == {"@id": "#no-license"}
    licensed = graph(document, replace(MANIFEST, license="CC-BY-4.0"))
    assert licensed["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert licensed["https://spdx.org/licenses/CC-BY-4.0"]["@type"] == "CreativeWork"


def test_text_that_is_no_unicode_does_not_reach_the_description(document: Document) -> None:
    call = replace(document.activities[3], parameters={**document.activities[3].parameters, "solint": "M87\udce9"})
    nodes = graph(replace(document, activities=(*document.activities[:3], call, *document.activities[4:])))
    assert nodes["#value/20260501-a1b2/0004/solint"]["value"] == "M87?"
