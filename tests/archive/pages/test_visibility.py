"""An unpublished deposit is not there for anybody else, on every route and in every list."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests

from casaprov.archive.app.composition import make_app
from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.harvest.oai import oai_identifier
from served_archive import ServedArchive, serving

HIDDEN = [state for state in State if state not in (State.PUBLISHED, State.WITHDRAWN)]
READERS = {"nobody": {}, "stranger": {"Authorization": "Bearer stranger"}}

# One address of a deposit for each route: the pattern of the route, and its path with {name}, {obs_id}, {id}, {did}.
ADDRESSES = [
    "/crates/{name}",
    "/crates/{name}/v1",
    "/crates/{name}/v1/crate.zip",
    "/crates/{name}/v1/notebook.ipynb",
    "/crates/{name}/v1/ro-crate-metadata.json",
    "/crates/{name}/v1/report.json",
    "/crates/{name}/v1/datacite.json",
    "/crates/{name}/v1/linkset.json",
    "/crates/{name}/v1/files/ngc5921.ipynb",
    "/git/{obs_id}.git/info/refs",
    "/git/{obs_id}.git/HEAD",
    "/api/v1/repos/EVN/{obs_id}/contents",
    "/EVN/{obs_id}/raw/branch/master/ngc5921.ipynb",
    "/datalink?ID={did}",
]
FOR_OWNERS = [f"/api/deposits/{{id}}{what}" for what in ("", "/withdraw", "/replay", "/accept")]
LISTS = ["/", "/oai?verb=ListRecords&metadataPrefix=oai_dc", "/crates.csv"]
OF_NO_DEPOSIT = [
    "/api/deposits",
    "/archive.css",
    "/favicon.ico",
    "/.well-known/jwks.json",
    "/oai",
    "/health",
    "/metrics",
    "/openapi.json",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def hidden(served: ServedArchive) -> dict[State, Deposit]:
    return {state: served.deposit(state, obs_id=f"EB{number:03d}") for number, state in enumerate(HIDDEN)}


def _path(address: str, deposit: Deposit) -> str:
    return address.format(name=deposit.name, obs_id=deposit.obs_id, id=deposit.id, did=quote(deposit.did))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("address", [*ADDRESSES, FOR_OWNERS[0]])
def test_an_unpublished_deposit_is_404_for_everybody_else(
    served: ServedArchive, hidden: dict[State, Deposit], address: str, reader: str
) -> None:
    for state, deposit in hidden.items():
        for method in ("GET", "HEAD"):
            answer = requests.request(method, served.url + _path(address, deposit), headers=READERS[reader], timeout=30)
            assert answer.status_code == 404, (state, method)
            assert deposit.name not in answer.text


@pytest.mark.parametrize("address", LISTS)
def test_an_unpublished_deposit_is_in_no_list(
    served: ServedArchive, hidden: dict[State, Deposit], address: str
) -> None:
    for headers in READERS.values():
        answer = requests.get(served.url + address, headers=headers, timeout=30)
        for deposit in hidden.values():
            assert deposit.obs_id not in answer.text
    identifier = oai_identifier(served.settings, hidden[State.EMBARGOED])
    query = {"verb": "GetRecord", "metadataPrefix": "oai_dc", "identifier": identifier}
    assert "idDoesNotExist" in requests.get(f"{served.url}/oai", query, timeout=30).text


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_same_addresses_are_there_once_it_is_published(served: ServedArchive, address: str) -> None:
    deposit = served.deposit(obs_id="EB900")
    served.archive.storage.keep(deposit.did, {"report.json": b"{}"}, "test")
    status = requests.get(served.url + _path(address, deposit), timeout=30).status_code
    assert status == (404 if "notebook.ipynb" in address else 200)


def test_every_route_of_the_application_is_in_the_tables(served: ServedArchive, hidden: dict[State, Deposit]) -> None:
    deposit = hidden[State.HELD]
    paths = [_path(address, deposit).partition("?")[0] for address in (*ADDRESSES, *FOR_OWNERS, *LISTS, *OF_NO_DEPOSIT)]
    (router,) = make_app(served.archive).default_router.rules
    for rule in router.target.rules:
        pattern = rule.matcher.regex
        assert "upload" in pattern.pattern or any(pattern.match(path) for path in paths), pattern.pattern
