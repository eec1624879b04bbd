"""DataLink, read by pyvo, and the table of crates."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from pyvo.dal.adhoc import DatalinkResults

from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.vo.tables import CRATE_COLUMNS
from served_archive import ServedArchive, serving

OBSERVATION = "ivo://jive.eu/~?2015-02-14T00:00:00_3C84_4990MHz"
URL = "https://archive.example/n14c3.idi"
ABOUT: dict[str, Any] = {
    "notebook": "ngc5921.ipynb",
    "casa": "6.7.0.31",
    "inputs": [{"path": "n14c3.idi", "did": OBSERVATION, "locators": [URL]}, {"path": "own.txt"}],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def deposit(served: ServedArchive) -> Deposit:
    served.deposit(State.EMBARGOED, about=ABOUT)
    return served.deposit(about=ABOUT, title='A "quoted", title\nof two lines')


def _links(served: ServedArchive, did: str) -> list[tuple[str, str]]:
    found = DatalinkResults.from_result_url(f"{served.url}/datalink?ID={quote(did)}")
    return [(link.semantics, link.access_url) for link in found]


def test_a_crate_leads_to_its_files_and_to_what_it_was_made_from(served: ServedArchive, deposit: Deposit) -> None:
    base = f"{served.url}/crates/{deposit.name}/v1"
    links = [("#this", f"{base}/crate.zip"), ("#documentation", base), ("#progenitor", URL)]
    assert _links(served, deposit.did) == links


def test_an_observation_leads_to_the_crates_that_were_made_from_it(served: ServedArchive, deposit: Deposit) -> None:
    assert _links(served, OBSERVATION) == [("#derivation", f"{served.url}/crates/{deposit.name}/v1/crate.zip")]


def test_an_unknown_identifier_among_known_ones_gets_its_own_fault(served: ServedArchive, deposit: Deposit) -> None:
    answer = requests.get(f"{served.url}/datalink", {"ID": [deposit.did, "ivo://x/y"]}, timeout=30)
    assert answer.status_code == 200
    assert "NotFoundFault" in answer.text


@pytest.mark.parametrize(("query", "status"), [("", 400), ("?ID=ivo://x/y", 404), ("?ID=%00", 404), ("?id=a", 404)])
def test_a_question_without_an_answer(served: ServedArchive, query: str, status: int) -> None:
    assert requests.get(f"{served.url}/datalink{query}", timeout=30).status_code == status


def test_the_tables_list_each_published_version_and_what_it_used(served: ServedArchive, deposit: Deposit) -> None:
    text = requests.get(f"{served.url}/crates.csv", timeout=30).text
    (row,) = csv.DictReader(text.splitlines())
    assert tuple(row) == CRATE_COLUMNS
    assert row["crate_did"] == deposit.did
    assert row["title"] == 'A "quoted", title of two lines'
    assert row["casa_version"] == "6.7.0.31"
    text = requests.get(f"{served.url}/crate_inputs.csv", timeout=30).text
    (related,) = csv.DictReader(text.splitlines())
    assert related == {"crate_did": deposit.did, "obs_publisher_did": OBSERVATION, "obs_id": deposit.obs_id}
