"""Schemas describe records exactly, and nothing else fits them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from casaprov.crates.layout import CrateFile, CrateItem, Manifest
from casaprov.errors import SchemaError, UsageError
from casaprov.hashing import digest_bytes
from casaprov.journal.writer import Journal
from casaprov.records import model
from casaprov.records.schema import _schemas, schema_names, validate_record
from casaprov.records.serialise import unstructure
from sample_records import make_reduction

RECORDS = (
    "Locator",
    "Entity",
    "Observation",
    "Identifier",
    "ArchiveQuery",
    "Usage",
    "Failure",
    "LogSegment",
    "ScriptLine",
    "ScriptRun",
    "Step",
    "Activity",
    "Agent",
    "GitState",
    "Environment",
    "Session",
)
CALL = {
    "id": "s/0001",
    "task": "gaincal",
    "outcome": "completed",
    "started_at": "2026-05-01T10:00:00.123456+00:00",
    "seconds": 1.5,
    "given": {"vis": "n.ms", "solint": {"@cut": 3}},
    "used": [{"path": "n.ms", "digest": digest_bytes(b"1"), "parameter": "vis"}],
    "generated": [{"path": "n.gcal", "kind": "CalibrationTable", "digest": None, "size_bytes": 5}],
}


class Counted(list[Any]):
    """A list that counts how many of its members were asked for."""

    asked = 0

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: Any) -> Any:
        self.asked += 1
        return super().__getitem__(number)


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_is_a_schema(name: str) -> None:
    schema = _schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"https://w3id.org/casaprov/schemas/{name}"


@pytest.mark.parametrize("name", RECORDS)
def test_the_document_schema_has_the_fields_of_the_model(name: str) -> None:
    definition = _schemas()["document-1"]["$defs"][name]
    members = fields(getattr(model, name))
    assert set(definition["properties"]) == {member.name for member in members}
    assert set(definition["required"]) == {
        m.name for m in members if m.default is MISSING and m.default_factory is MISSING
    }
    assert definition["additionalProperties"] is False


def test_the_crate_schema_has_the_fields_of_the_manifest() -> None:
    schema = _schemas()["crate-2"]
    assert set(schema["properties"]) == {member.name for member in fields(Manifest)}
    assert set(schema["properties"]["items"]["items"]["properties"]) == {member.name for member in fields(CrateItem)}
    assert set(schema["properties"]["files"]["items"]["properties"]) == {member.name for member in fields(CrateFile)}


def test_every_line_of_a_journal_fits_its_schema(tmp_path: Path) -> None:
    document = make_reduction(tmp_path / "nb").document
    journal = Journal(tmp_path / "journal", document.sessions[0])
    journal.begin(document.activities[0])
    journal.end(document.activities[0], document.entities)
    journal.close("2026-05-01T11:00:00.000000+00:00")
    lines = journal.path.read_text().splitlines()
    assert len(lines) == 4
    for line in lines:
        validate_record(json.loads(line), "journal-1")
    validate_record({"type": "entities", "entities": unstructure(document.entities)}, "journal-1")


def test_bundle_and_notebook_metadata_hold_the_same_calls() -> None:
    validate_record({"format": "casaprov/bundle/1", "session": "s", "calls": [CALL, {**CALL, "cut": True}]}, "bundle-1")
    session = {
        "id": "s",
        "started_at": CALL["started_at"],
        "casatasks": "",
        "casaprov": "0.1.0",
        "journal": ".casaprov/n/s.jsonl",
    }
    metadata = {
        "format": "casaprov/notebook-metadata/1",
        "sessions": [session],
        "calls": [{**CALL, "cell": "c1"}, {**CALL, "cell": None}],
    }
    validate_record(metadata, "notebook-metadata-1")
    with pytest.raises(SchemaError):
        validate_record({**metadata, "calls": [CALL]}, "notebook-metadata-1")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"more": 1}, "more"),
        ({"outcome": "perhaps"}, "/calls/0/outcome"),
        ({"started_at": "2026-05-01T10:00:00Z"}, "/calls/0/started_at"),
        ({"started_at": "2026-99-99T99:99:99+00:00"}, "/calls/0/started_at"),
        ({"started_at": "0000-01-01T00:00:00+00:00"}, "/calls/0/started_at"),
        ({"started_at": "2026-05-01T10:00:00+00:00\n"}, "/calls/0/started_at"),
        (
            {"used": [{"path": "n.ms", "digest": f"{digest_bytes(b'1')}\n", "parameter": None}]},
            "/calls/0/used/0/digest",
        ),
        ({"used": [{"path": "n.ms", "digest": "md5:1", "parameter": None}]}, "/calls/0/used/0/digest"),
        (
            {"generated": [{"path": "../n.ms", "kind": "Image", "digest": None, "size_bytes": 1}]},
            "/calls/0/generated/0/path",
        ),
    ],
)
def test_a_bundle_that_differs_in_anything_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(SchemaError) as caught:
        validate_record({"format": "casaprov/bundle/1", "session": "s", "calls": [{**CALL, **change}]}, "bundle-1")
    assert expected in str(caught.value)
    assert caught.value.hint


def test_every_misfit_is_listed(tmp_path: Path) -> None:
    data = unstructure(make_reduction(tmp_path / "nb").document)
    data["entities"][0]["size_bytes"] = -1
    data["activities"][2]["task"] = ""
    data["extra"] = True
    with pytest.raises(SchemaError) as caught:
        validate_record(data, "document-1")
    assert [issue.path for issue in caught.value.issues] == ["", "/activities/2/task", "/entities/0/size_bytes"]


def test_no_more_misfits_are_looked_for_than_are_listed(tmp_path: Path) -> None:
    data = unstructure(make_reduction(tmp_path / "nb").document)
    data["activities"] = Counted([1] * 10_000)
    with pytest.raises(SchemaError, match="and 99 more"):
        validate_record(data, "document-1")
    assert 100 <= data["activities"].asked <= 101


@pytest.mark.parametrize("path", ["..", "../x", "a/../b", "a/..", "", "a\0b"])
def test_no_path_of_a_record_leads_upwards(tmp_path: Path, path: str) -> None:
    data = unstructure(make_reduction(tmp_path / "nb").document)
    data["entities"][0]["path"] = path
    with pytest.raises(SchemaError):
        validate_record(data, "document-1")


@pytest.mark.parametrize("path", [".", "a", "/a/b", "..a", "a..", "a/..b/c", "ü/ 1"])
def test_every_other_path_is_allowed(tmp_path: Path, path: str) -> None:
    data = unstructure(make_reduction(tmp_path / "nb").document)
    data["entities"][0]["path"] = path
    validate_record(data, "document-1")


def test_an_unknown_schema_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no schema") as caught:
        validate_record({}, "document-99")
    assert "document-1" in caught.value.hint


def test_of_a_large_record_the_first_misfit_is_told_at_once(tmp_path: Path) -> None:
    data = unstructure(make_reduction(tmp_path / "nb").document)
    data["entities"] = [data["entities"][0]] * 100_000
    validate_record(data, "document-1")
    data["entities"].append({**data["entities"][0], "size_bytes": -1})
    with pytest.raises(SchemaError) as caught:
        validate_record(data, "document-1")
    assert [issue.path for issue in caught.value.issues] == ["/entities/100000/size_bytes"]


def test_names_that_are_no_utf_8_are_allowed(tmp_path: Path) -> None:
    data = unstructure(make_reduction(tmp_path / "nb").document)
    data["entities"][0]["path"] = os.fsdecode(b"n\xe9.ms")
    validate_record(data, "document-1")
    data["entities"][0]["size_bytes"] = -1
    with pytest.raises(SchemaError, match="/entities/0/size_bytes"):
        validate_record(data, "document-1")
