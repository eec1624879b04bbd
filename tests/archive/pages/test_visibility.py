"""An unpublished deposit is not there for anybody else, on every route and in every list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

import archived
from casaprov.archive.app.composition import make_app
from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.harvest.oai import oai_identifier
from casaprov.archive.settings import LimitSettings
from casaprov.records.model import Locator
from casaprov.records.observation import Observation
from sample_records import make_reduction, pack_reduction
from served_archive import ServedArchive, serving

OBSERVATION = "ivo://evn.example/~?n14c3_1"
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
LISTS = [
    "/",
    "/oai?verb=ListRecords&metadataPrefix=oai_dc",
    "/oai?verb=ListRecords&metadataPrefix=oai_datacite",
    "/oai?verb=ListIdentifiers&metadataPrefix=oai_dc",
    "/crates.csv",
    "/crate_inputs.csv",
    "/metrics",
]
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


@pytest.mark.parametrize("act", FOR_OWNERS[1:])
def test_nobody_else_acts_on_an_unpublished_deposit(
    served: ServedArchive, hidden: dict[State, Deposit], act: str
) -> None:
    for deposit in hidden.values():
        answers = [
            requests.post(served.url + _path(act, deposit), json={"reason": "x"}, headers=headers, timeout=30)
            for headers in READERS.values()
        ]
        assert [answer.status_code for answer in answers] == [401, 404]
        missing = requests.post(
            served.url + act.format(id="0123"), json={"reason": "x"}, headers=READERS["stranger"], timeout=30
        )
        assert answers[1].json() == missing.json()


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


def test_a_version_within_the_proprietary_period_of_its_observation_is_nowhere(tmp_path: Path) -> None:
    end_mjd = (datetime.now(UTC) - datetime(1858, 11, 17, tzinfo=UTC)).total_seconds() / 86400
    reduction = make_reduction(tmp_path / "nb")
    first, *others = reduction.document.entities
    assert first.generated_by is None
    first = replace(
        first,
        observations=(Observation(target_name="J0029+3456", t_max=end_mjd),),
        locators=(Locator(scheme="vo", value=OBSERVATION),),
    )
    recent = replace(reduction, document=replace(reduction.document, entities=(first, *others)))
    crates = [
        pack_reduction(one, tmp_path / f"{title}.zip", title=title).path
        for one, title in ((reduction, "An old one"), (recent, "A secret"))
    ]
    with archived.served(tmp_path / "archive", limits=LimitSettings(keep_free=0)) as archive:
        old = archive.deposit(crates[0])
        new = archive.deposit(crates[1], new_version_of=old["name"])
        archive.work()
        deposit = archive.state(new)
        assert (deposit.state, deposit.version, deposit.title) == (State.EMBARGOED, 2, "A secret")
        assert deposit.public_from is not None
        assert deposit.public_from > datetime.now(UTC) + timedelta(days=364)
        before = archive.state(old)
        for token in ("", "eve"):
            for address in (*ADDRESSES, *LISTS):
                answer = archive.get(_path(address, before), token)
                assert "secret" not in answer.text
                assert "/v2" not in answer.text, address
            for address in ADDRESSES:
                if "v1" in address:
                    assert archive.get(_path(address, before).replace("/v1", "/v2"), token).status_code == 404
            assert archive.get(f"/datalink?ID={quote(deposit.did)}", token).status_code == 404
            assert archive.get(f"/datalink?ID={quote(OBSERVATION)}", token).status_code == 404
        assert len(archive.get("/api/v1/repos/EVN/N14C3/contents").json()) == 1
        later = archive.parts.repository.clock() + timedelta(days=370)
        archive.parts.repository.clock = lambda: later
        archive.work()
        assert archive.state(new).state is State.PUBLISHED
        assert "A secret" in archive.get(f"/crates/{deposit.name}").text
        assert "#derivation" in archive.get(f"/datalink?ID={quote(OBSERVATION)}").text


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
