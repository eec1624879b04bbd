"""Any Document that agrees with itself: everything that reads or writes records must take it."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from prov.model import ProvDocument

from any_document import documents
from casaprov import terms
from casaprov.crate import open_crate, pack
from casaprov.crates.checking.validation import check_crate
from casaprov.crates.graph import crate_graph
from casaprov.crates.layout import DOCUMENT, CrateFile, Manifest
from casaprov.crates.payload import PayloadPolicy, choose_payload
from casaprov.crates.writer import metadata_document
from casaprov.drawings.dot import to_dot
from casaprov.drawings.graph_json import to_graph
from casaprov.drawings.mermaid import to_mermaid
from casaprov.drawings.rows import fold
from casaprov.drawings.svg import to_svg
from casaprov.hashing import digest_bytes
from casaprov.lineage.prov import from_prov, to_prov
from casaprov.records.consistency import record_issues, value_issues
from casaprov.records.model import Document, Entity
from casaprov.records.schema import validate_record
from casaprov.records.serialise import structure, unstructure
from examples import MORE
from sample_records import measure

NOTEBOOK = CrateFile(path="n.ipynb", sha256=digest_bytes(b"{}"), size_bytes=2)
RECORDS = CrateFile(path=DOCUMENT, sha256=digest_bytes(b"{}"), size_bytes=2)
FILES = (NOTEBOOK, RECORDS)
MANIFEST = Manifest(notebook="n.ipynb", title="A title")


# -- records --------------------------------------------------------------------


def is_consistent(document: Document) -> None:
    assert record_issues(document) == ()


def has_values_that_can_be_read(document: Document) -> None:
    assert not [issue for issue in value_issues(document) if "cannot be read" in issue.message]


def reads_back_from_json(document: Document) -> None:
    assert structure(json.loads(json.dumps(unstructure(document))), Document) == document
    for entity in document.entities:
        assert structure(json.loads(json.dumps(unstructure(entity))), Entity) == entity


def fits_its_schema(document: Document) -> None:
    validate_record(json.loads(json.dumps(unstructure(document))), "document-1")


# -- the description of a crate -------------------------------------------------


def described(document: Document) -> dict[str, dict[str, Any]]:
    nodes = crate_graph(document, MANIFEST, FILES)
    assert len({node["@id"] for node in nodes}) == len(nodes)
    return {node["@id"]: node for node in nodes}


def values(node: dict[str, Any]) -> Iterator[Any]:
    for value in node.values():
        yield from value if isinstance(value, list) else [value]


def has_a_description_for_every_reference(document: Document) -> None:
    nodes = described(document)
    references = {value["@id"] for node in nodes.values() for value in values(node) if isinstance(value, dict)}
    outside = references - {*nodes, "https://w3id.org/ro/crate/1.1", terms.JUPYTER}
    assert [reference for reference in outside if not reference.startswith("https://bioschemas.org/profiles/")] == []


def has_no_array_of_one_and_nothing_nested(document: Document) -> None:
    for node in described(document).values():
        assert not any(isinstance(value, list) and len(value) < 2 for value in node.values())
        for value in values(node):
            assert isinstance(value, str | int | float) or (isinstance(value, dict) and list(value) == ["@id"])


def has_the_same_graph_again_and_ro_crate_py_keeps_it(document: Document) -> None:
    nodes = crate_graph(document, MANIFEST, FILES)
    assert nodes == crate_graph(document, MANIFEST, FILES)
    written = metadata_document(nodes, MANIFEST.conformance)
    assert {n["@id"]: n for n in written["@graph"]} == {n["@id"]: n for n in nodes}
    assert written["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]


def comes_back_from_a_sound_crate(document: Document) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "n.ipynb").write_text("{}")
        folders = {session.id: folder for session in document.sessions}
        items = choose_payload(document, folders, PayloadPolicy(), measure=measure)
        pack(document, notebook=folder / "n.ipynb", journal=folder, items=items, out=folder / "x.zip")
        assert check_crate(folder / "x.zip") == ()
        assert open_crate(folder / "x.zip", folder / "o").document == document


# -- drawings -------------------------------------------------------------------


def has_every_call_in_the_drawings_and_every_state_in_the_json(document: Document) -> None:
    folded, graph = fold(document), to_graph(document)
    drawn = Counter(name for row in folded.rows if row.is_call for name in row.ids)
    assert drawn == Counter(a.id for a in document.activities if a.parent is None)
    assert all(row.marks == () or 0 <= lane.column < len(folded.lanes) for row in folded.rows for lane in folded.lanes)
    ids = Counter(node["id"] for node in graph["nodes"])
    assert ids == Counter([a.id for a in document.activities] + [e.id for e in document.entities])
    assert all({edge["from"], edge["to"]} <= ids.keys() for edge in graph["edges"])
    assert json.loads(json.dumps(graph)) == graph
    ET.fromstring(to_svg(document))  # well-formed, whatever stands in the records
    for write in (to_svg, to_dot, to_mermaid):
        assert write(document) == write(document)
        write(document).encode()
    assert len(re.findall(r"^  call\d+ \[label", to_dot(document), re.MULTILINE)) == len(folded.rows)


# -- PROV -----------------------------------------------------------------------


def counts(data: dict[str, Any]) -> dict[str, int]:
    """Count the statements of each kind; one name may stand for a list of them."""
    return {
        section: sum(len(entry) if isinstance(entry, list) else 1 for entry in statements.values())
        for section, statements in data.items()
        if section != "prefix"
    }


def is_read_and_written_by_the_package_prov(document: Document) -> None:
    data = to_prov(document)
    stream = io.StringIO()
    ProvDocument.deserialize(io.StringIO(json.dumps(data))).serialize(stream)
    reread = json.loads(stream.getvalue())
    assert counts(reread) == counts(data)
    for section in ("entity", "activity", "agent"):
        assert reread.get(section, {}).keys() == data.get(section, {}).keys()
    assert from_prov(reread) == document


def comes_back_from_prov(document: Document) -> None:
    assert from_prov(json.loads(json.dumps(to_prov(document)))) == document


def has_names_with_a_declared_prefix_in_prov(document: Document) -> None:
    data = to_prov(document)
    known = {*data["prefix"], "prov", "xsd"}
    for section in data.keys() - {"prefix"}:
        for name, statement in data[section].items():
            assert name.startswith("_:") or re.fullmatch(r"[a-z]+:(?!-)([\w.-]|%[0-9A-F]{2})*(?<!\.)", name, re.ASCII)
            for used in (name, *statement):
                assert used.partition(":")[0] in known | {"_"}


CHECKS = (
    is_consistent,
    has_values_that_can_be_read,
    reads_back_from_json,
    fits_its_schema,
    has_a_description_for_every_reference,
    has_no_array_of_one_and_nothing_nested,
    has_the_same_graph_again_and_ro_crate_py_keeps_it,
    comes_back_from_a_sound_crate,
    has_every_call_in_the_drawings_and_every_state_in_the_json,
    is_read_and_written_by_the_package_prov,
    comes_back_from_prov,
    has_names_with_a_declared_prefix_in_prov,
)


@settings(max_examples=40 * MORE, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(document=documents())
def test_any_document_passes_every_check(document: Document) -> None:
    """One test draws for all checks, because drawing Documents takes longer than checking them."""
    for check in CHECKS:
        check(document)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed: apt-get install graphviz")
@settings(max_examples=20 * MORE, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(document=documents())
def test_graphviz_understands_any_text_in_a_record(document: Document) -> None:
    done = subprocess.run(["dot", "-Tcanon"], input=to_dot(document).encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
