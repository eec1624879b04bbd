"""Descriptions by DataCite, and links by FAIR Signposting."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from archived import a_deposit
from casaprov.archive.deposits import Deposit, Kind, State
from casaprov.archive.publication.metadata.datacite import UNKNOWN_CREATOR, datacite_record
from casaprov.archive.publication.metadata.linkset import link_header, links_of, linkset
from casaprov.archive.settings import Settings

SETTINGS = Settings(root=Path(), url="https://archive.example")
ADA = {"name": "Lovelace, Ada", "orcid": "0000-0002-1825-0097"}
PUBLISHED = a_deposit(state=State.PUBLISHED, published_at=datetime(2026, 5, 2, tzinfo=UTC), title="NGC 5921 in H I")


def _validator() -> Draft7Validator:
    schema = json.loads((files("datacite") / "schemas" / "datacite-v4.5.json").read_text(encoding="utf-8"))
    for name in schema["definitions"].values():  # references to files beside it; their formats are not at issue here
        if str(name.get("$ref", "")).startswith(("ietf", "iso")):
            name.clear()
    return Draft7Validator(schema)


@pytest.mark.parametrize(
    "deposit",
    [
        PUBLISHED,
        replace(PUBLISHED, kind=Kind.NOTEBOOK, title="", license=""),
        replace(PUBLISHED, creators=(ADA, {"name": "Eve"}), doi="10.5072/abc", description="Long."),
        replace(PUBLISHED, license="https://example.org/licence"),
        replace(PUBLISHED, about={"inputs": [{"locators": ["casadata:demo/NGC5921.fits", "https://data.example/a"]}]}),
    ],
    ids=["crate", "notebook", "authors and DOI", "own licence", "inputs"],
)
def test_a_description_is_valid_by_datacite_4_5(deposit: Deposit) -> None:
    older = replace(deposit, version=1)
    newer = replace(deposit, version=2)
    record = datacite_record(SETTINGS, newer, (older, newer))
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in _validator().iter_errors(record)]
    assert errors == []


def test_a_description_without_its_year_is_found_not_valid() -> None:
    record = datacite_record(SETTINGS, PUBLISHED)
    del record["publicationYear"]
    assert list(_validator().iter_errors(record))


def test_versions_are_related_in_both_directions() -> None:
    versions = tuple(replace(PUBLISHED, version=n) for n in (1, 2, 3))
    relations = {
        entry["relatedIdentifier"][-2:]: entry["relationType"]
        for entry in datacite_record(SETTINGS, versions[1], versions)["relatedIdentifiers"]
    }
    assert relations == {"v1": "IsNewVersionOf", "v3": "IsPreviousVersionOf"}


def test_a_deposit_without_authors_names_its_owner_or_nobody() -> None:
    def names(deposit: Deposit) -> list[Any]:
        return [creator["name"] for creator in datacite_record(SETTINGS, deposit)["creators"]]

    assert names(PUBLISHED) == ["Ada"]
    assert names(replace(PUBLISHED, owner=replace(PUBLISHED.owner, name=""))) == [UNKNOWN_CREATOR]


def test_a_page_is_cited_by_its_doi_where_it_has_one() -> None:
    deposit = replace(PUBLISHED, doi="10.5072/abc", creators=(ADA,))
    header = link_header(links_of(SETTINGS, deposit))
    assert '<https://doi.org/10.5072/abc>; rel="cite-as"' in header
    assert '<https://orcid.org/0000-0002-1825-0097>; rel="author"' in header
    relations = {link.relation for link in links_of(SETTINGS, deposit)}
    assert relations == {"cite-as", "author", "item", "describedby", "license", "type", "linkset"}


def test_a_link_set_holds_the_links_of_the_page_and_those_back() -> None:
    contexts = linkset(SETTINGS, PUBLISHED)["linkset"]
    page = "https://archive.example/crates/N14C3-0001/v1"
    by_anchor = {context["anchor"]: context for context in contexts}
    assert by_anchor[page]["item"][0]["href"] == f"{page}/crate.zip"
    assert by_anchor[f"{page}/crate.zip"]["collection"][0]["href"] == page
    assert by_anchor[f"{page}/datacite.json"]["describes"][0]["href"] == page
