"""A replay fetches inputs by their locators, if the user asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.records.model import Document, Entity, Identifier, Locator
from casaprov.vo.resolvers import network_resolvers
from casaprov.vo.tap import open_session
from records import Story
from tap_server import TapServer, serve_tap

DID = "ivo://jive.eu/~?N14C3_1_1_J1848%2B3219+x"
DATA = b"SIMPLE  =" + bytes(1000)


@pytest.fixture
def tap() -> Iterator[TapServer]:
    rows = [{"obs_publisher_did": did, "access_url": ""} for did in (DID, "ivo://jive.eu/~?other")]
    with serve_tap({"ivoa.obscore": rows}) as server:
        rows[0]["access_url"] = server.datalink(DID)
        server.files = {"a.IDI1": DATA, "a.IDI2": b"other"}
        server.links[DID] = [
            {"ID": DID, "access_url": f"{server.url}/files/{name}", "semantics": "#this", "content_length": size}
            for name, size in (("a.IDI2", 5), ("a.IDI1", len(DATA)))
        ]
        yield server


def document(tap: TapServer, name: str = "a.IDI1", **facts: object) -> Document:
    story = Story()
    story.call("importfitsidi", used=[f"in/{name}"], generated=["a.ms"])
    known = Identifier(scheme="ivoid", value=DID, confidence="stated", time="t", service=tap.url)
    locators = (Locator(scheme="vo", value=DID), Locator(scheme="https", value=f"{tap.url}/files/{name}"))

    def linked(entity: Entity) -> Entity:
        return replace(entity, size_bytes=len(DATA), identifiers=(known,), locators=locators)

    entities = tuple(linked(e) if e.path.startswith("in/") else e for e in story.document.entities)
    return replace(story.document, entities=entities)


def resolved(made: Document, scheme: str, value: str, folder: Path) -> Path | None:
    with open_session(5.0) as session:
        return network_resolvers(made, session, folder)[scheme](value)


def test_a_did_with_percent_leads_to_the_file_of_the_name(tap: TapServer, tmp_path: Path) -> None:
    found = resolved(document(tap), "vo", DID, tmp_path)
    assert found is not None
    assert (found.name, found.read_bytes()) == ("a.IDI1", DATA)
    assert tap.ranges == [""]
    assert resolved(document(tap), "vo", DID, tmp_path) == found
    assert tap.ranges == [""]  # it is there already


def test_a_renamed_input_is_found_by_its_size(tap: TapServer, tmp_path: Path) -> None:
    found = resolved(document(tap, "renamed.fits"), "vo", DID, tmp_path)
    assert found is not None
    assert found.read_bytes() == DATA


def test_an_address_is_fetched(tap: TapServer, tmp_path: Path) -> None:
    found = resolved(document(tap), "https", f"{tap.url}/files/a.IDI1", tmp_path)
    assert found is not None
    assert found.read_bytes() == DATA


@pytest.mark.parametrize("fault", ["proprietary", "down"])
def test_a_file_that_cannot_be_fetched_leads_to_the_next_locator(
    tap: TapServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    tap.fault = fault
    with caplog.at_level(logging.WARNING):
        assert resolved(document(tap), "vo", DID, tmp_path) is None
    assert f"{DID} was not fetched" in caplog.text


def test_a_file_that_is_far_larger_than_the_input_is_refused(tap: TapServer, tmp_path: Path) -> None:
    tap.files["a.IDI1"] = bytes(3 * 2**20)
    assert resolved(document(tap), "https", f"{tap.url}/files/a.IDI1", tmp_path) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []
