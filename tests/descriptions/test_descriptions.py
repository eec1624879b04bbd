"""Descriptions of a crate for repositories and for software: valid, and with all that the crate says."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft201909Validator

from casaprov.cli.commands import main
from casaprov.cli.crates import check_descriptions, write_descriptions
from casaprov.crates.layout import Manifest
from casaprov.credits.model import Credits
from casaprov.credits.people import Person
from casaprov.credits.sources import find_credits
from casaprov.descriptions.codemeta import CODEMETA_CONTEXT, codemeta_record
from casaprov.descriptions.datacite import UNKNOWN, datacite_record
from casaprov.hashing import digest_bytes
from casaprov.records.model import Document, Identifier, Observation
from reductions import Reduction
from sample_records import make_credits, make_reduction, pack_reduction

DIGEST = digest_bytes(b"zip")
SEEN = Observation(target_name="NGC 5921", facility_name="VLA", t_min=49820.4, t_max=49820.5)
CODEMETA_TERMS = {
    "author", "codeRepository", "dateCreated", "dateModified", "description", "funder", "identifier", "keywords",
    "license", "name", "programmingLanguage", "publisher", "referencePublication", "runtimePlatform",
    "softwareRequirements", "softwareSuggestions", "type", "version",
}  # fmt: skip
"""Terms of CodeMeta 3.0 for software, of those that we write."""


def linked(document: Document) -> Document:
    """Give the inputs of a document identifiers in archives, and what was observed."""
    known = [
        Identifier(scheme=scheme, value=value, confidence="stated", time="2026-05-01T00:00:00+00:00")
        for scheme, value in (
            ("doi", "10.5281/zenodo.12"),
            ("bibcode", "2016ApJ...833..177H"),
            ("ivoid", "ivo://x/~?a"),
        )
    ]
    first, *others = document.entities
    return replace(document, entities=(replace(first, identifiers=tuple(known), observations=(SEEN,)), *others))


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return linked(make_reduction(tmp_path / "nb").document)


MANIFEST = Manifest(notebook="my reduction.ipynb", title="NGC 5921 in H I", repository="https://example.org/n.git")
WHOLE = replace(MANIFEST, credits=make_credits(), commit="0123abc")


def validator() -> Any:
    schema = json.loads((files("datacite") / "schemas" / "datacite-v4.5.json").read_text(encoding="utf-8"))
    for name in schema["definitions"].values():  # references to files beside it; their formats are not at issue here
        if str(name.get("$ref", "")).startswith(("ietf", "iso")):
            name.clear()
    return Draft201909Validator(schema)


def errors(record: Any) -> list[str]:
    return [f"{list(error.absolute_path)}: {error.message}" for error in validator().iter_errors(record)]


@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        WHOLE,
        replace(
            MANIFEST, credits=Credits(license="https://example.org/licence", citations=("https://doi.org/10.1/x",))
        ),
        replace(MANIFEST, credits=Credits(authors=(Person(name="A B", given_name="A", family_name="B"),))),
    ],
    ids=["nothing named", "all named", "own licence", "parts of a name"],
)
def test_a_description_is_valid_by_datacite_4_5(document: Document, manifest: Manifest) -> None:
    assert errors(datacite_record(document, manifest, digest=DIGEST, size_bytes=5)) == []


def test_the_schema_finds_what_is_wrong(document: Document) -> None:
    record = datacite_record(document, MANIFEST, digest=DIGEST, size_bytes=5)
    assert errors({**record, "unknown": 1})
    assert errors({**record, "relatedIdentifiers": [{"relatedIdentifier": "ivo://x", "relatedIdentifierType": "IVOID", "relationType": "Cites"}]})  # fmt: skip
    del record["creators"]
    assert errors(record)


def test_datacite_has_everything_that_the_crate_says(document: Document) -> None:
    record = datacite_record(document, WHOLE, digest=DIGEST, size_bytes=5)
    (creator,) = record["creators"]
    assert creator["nameIdentifiers"][0]["nameIdentifier"] == "https://orcid.org/0000-0002-1825-0097"
    assert creator["affiliation"][0]["affiliationIdentifier"] == "https://ror.org/05a28rw58"
    assert record["types"]["resourceTypeGeneral"] == "ComputationalNotebook"
    assert record["rightsList"][0]["rightsIdentifier"] == "CC-BY-4.0"
    assert record["rightsList"][1] == {"rights": "Proprietary until 2027-01-01."}
    assert record["fundingReferences"][0]["funderIdentifierType"] == "ROR"
    assert [subject["subject"] for subject in record["subjects"]] == ["VLBI", "VLA", "NGC 5921"]
    assert {"date": "1995-04-13/1995-04-13", "dateType": "Collected"} in record["dates"]
    related = {(one["relationType"], one["relatedIdentifierType"], one["relatedIdentifier"]) for one in record["relatedIdentifiers"]}  # fmt: skip
    assert {
        ("IsDerivedFrom", "DOI", "10.5281/zenodo.12"),
        ("IsDerivedFrom", "bibcode", "2016ApJ...833..177H"),
        ("IsDerivedFrom", "URL", "https://example.org/N.fits"),
        ("Requires", "URL", "https://pypi.org/project/casatasks/6.7.0.31/"),
        ("Cites", "DOI", "10.1088/1538-3873/ac9642"),
    } <= related
    assert "doi" not in record


def test_data_with_an_identifier_of_the_vo_alone_are_named_as_an_item(document: Document) -> None:
    first, *others = document.entities
    only = replace(first, identifiers=first.identifiers[2:], locators=())
    record = datacite_record(replace(document, entities=(only, *others)), MANIFEST, digest=DIGEST, size_bytes=5)
    (item,) = record["relatedItems"]
    assert item["titles"] == [{"title": "N.fits (ivo://x/~?a)"}]
    assert errors(record) == []


def test_an_author_and_a_publisher_that_are_not_known_are_said_to_be_so(document: Document) -> None:
    record = datacite_record(document, MANIFEST, digest=DIGEST, size_bytes=5)
    assert (record["creators"], record["publisher"]) == ([{"name": UNKNOWN}], {"name": UNKNOWN})


def test_codemeta_is_read_again_as_a_source_of_credits(document: Document, tmp_path: Path) -> None:
    record = codemeta_record(document, WHOLE)
    assert record["@context"] == CODEMETA_CONTEXT
    assert record.keys() - {"@context"} <= CODEMETA_TERMS
    assert record["softwareRequirements"][0]["version"] == "6.7.0.31"
    assert record["version"] == "0123abc"
    (tmp_path / "codemeta.json").write_text(json.dumps(record))
    found, given = find_credits(tmp_path / "n.ipynb", {}, Credits()), make_credits()
    assert (found.authors, found.license) == (given.authors, given.license)
    assert found.keywords == ("VLBI", "VLA", "NGC 5921")


def test_an_address_of_software_heritage_is_no_repository(document: Document) -> None:
    swhid = "swh:1:cnt:" + "0" * 40
    record = codemeta_record(document, replace(MANIFEST, repository=f"https://archive.softwareheritage.org/{swhid}"))
    assert record["identifier"] == swhid
    assert "codeRepository" not in record


@pytest.mark.casa
def test_export_writes_descriptions_beside_the_crate(reduction: Reduction) -> None:
    record = json.loads((reduction.folder / "n.datacite.json").read_text())
    assert errors(record) == []
    assert record["sizes"] == [f"{reduction.crate.stat().st_size} bytes"]
    assert record["subjects"][0] == {"subject": "VLA"}
    software = json.loads((reduction.folder / "n.codemeta.json").read_text())
    assert [one["name"] for one in software["softwareRequirements"]] == ["casatasks", "casatools", "casadata"]


def test_a_description_that_casaprov_wrote_is_replaced(tmp_path: Path) -> None:
    packed = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip", make_credits())
    wanted = {"datacite": tmp_path / "d.json", "codemeta": tmp_path / "c.json"}
    for _ in range(2):
        check_descriptions(wanted, tmp_path / "n.ipynb", packed.path)
        write_descriptions(packed, wanted)
    assert json.loads((tmp_path / "c.json").read_text())["author"][0]["id"].startswith("https://orcid.org/")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("n.zip", "is named twice"), ("no/d.json", "does not exist"), ("mine.json", "was not written by casaprov")],
)
def test_a_description_replaces_no_other_file(capsys: pytest.CaptureFixture[str], name: str, reason: str) -> None:
    Path("mine.json").write_text("{}")
    assert main(["export", "n.ipynb", "-o", "n.zip", "--datacite", name]) == 2
    assert reason in capsys.readouterr().err
    assert Path("mine.json").read_text() == "{}"
