"""Links of a landing page, read by the client of the package signposting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from signposting import find_signposting_http, find_signposting_linkset

from casaprov.archive.deposits import Deposit
from served_archive import ServedArchive, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def deposit(served: ServedArchive) -> Deposit:
    return served.deposit(creators=({"name": "Ada", "orcid": "0000-0002-1825-0097"},))


def test_a_client_finds_every_link_and_each_leads_somewhere(served: ServedArchive, deposit: Deposit) -> None:
    page = f"{served.url}/crates/{deposit.name}/v1"
    found = find_signposting_http(page)
    assert found.citeAs is not None
    assert found.citeAs.target == page
    assert found.license is not None
    assert found.license.target == "https://spdx.org/licenses/CC-BY-4.0"
    assert {str(link.target) for link in found.authors} == {"https://orcid.org/0000-0002-1825-0097"}
    assert {str(link.target) for link in found.types} == {"https://schema.org/AboutPage", "https://schema.org/Dataset"}
    own = [*found.items, *found.describedBy, *found.linksets]
    assert len(own) == 4
    for link in own:
        answer = requests.get(link.target, timeout=30)
        assert answer.status_code == 200, link.target
        assert answer.headers["Content-Type"] == link.type


def test_the_link_set_says_the_same(served: ServedArchive, deposit: Deposit) -> None:
    page = f"{served.url}/crates/{deposit.name}/v1"
    by_header = {(link.rel, link.target) for link in find_signposting_http(page) if link.rel.value != "linkset"}
    found = find_signposting_linkset(f"{page}/linkset.json")
    by_set = {(link.rel, link.target) for link in found.for_context(page)}
    assert by_header == by_set
