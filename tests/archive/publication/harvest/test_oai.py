"""OAI-PMH, read by the client Sickle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests
from sickle import Sickle
from sickle.oaiexceptions import (
    BadArgument,
    BadResumptionToken,
    BadVerb,
    CannotDisseminateFormat,
    IdDoesNotExist,
    NoRecordsMatch,
    NoSetHierarchy,
)

from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.harvest import oai
from casaprov.archive.publication.harvest.oai import oai_identifier
from served_archive import ServedArchive, serving

EVIL = "<img src=x>\x07 & ]]>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def deposits(served: ServedArchive) -> list[Deposit]:
    ada = ({"name": "Lovelace, Ada", "orcid": "0000-0002-1825-0097"},)
    first = served.deposit(creators=ada, title=EVIL, description=EVIL)
    return [first, served.deposit(doi="10.5072/abc"), served.deposit(State.WITHDRAWN), served.deposit()]


@pytest.fixture(scope="module")
def client(served: ServedArchive, deposits: list[Deposit]) -> Sickle:
    served.deposit(State.EMBARGOED)
    served.deposit(State.HELD)
    return Sickle(f"{served.url}/oai")


@pytest.mark.parametrize("prefix", ["oai_dc", "oai_datacite"])
def test_a_harvester_gets_all_public_records_and_no_others(
    client: Sickle, served: ServedArchive, deposits: list[Deposit], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oai, "_PER_LIST", 2)  # so that lists come in parts
    records = list(client.ListRecords(metadataPrefix=prefix))
    assert [record.header.identifier for record in records] == [oai_identifier(served.settings, d) for d in deposits]
    assert [record.deleted for record in records] == [False, False, True, False]
    headers = list(client.ListIdentifiers(metadataPrefix=prefix))
    assert [header.identifier for header in headers] == [record.header.identifier for record in records]


def test_a_record_holds_text_that_xml_can_hold(client: Sickle, served: ServedArchive, deposits: list[Deposit]) -> None:
    record = client.GetRecord(identifier=oai_identifier(served.settings, deposits[0]), metadataPrefix="oai_dc")
    assert record.metadata["title"] == ["<img src=x>\ufffd & ]]>"]
    assert record.metadata["creator"] == ["Lovelace, Ada"]
    assert deposits[0].did in record.metadata["identifier"]


def test_a_doi_is_the_identifier_of_a_record(client: Sickle, served: ServedArchive, deposits: list[Deposit]) -> None:
    record = client.GetRecord(identifier=oai_identifier(served.settings, deposits[1]), metadataPrefix="oai_datacite")
    resource = ET.fromstring(record.raw).find(".//{http://datacite.org/schema/kernel-4}resource")
    assert resource is not None
    identifier = resource.find("{http://datacite.org/schema/kernel-4}identifier")
    assert identifier is not None
    assert (identifier.text, identifier.get("identifierType")) == ("10.5072/abc", "DOI")


def test_a_list_begins_and_ends_with_its_times(client: Sickle, deposits: list[Deposit]) -> None:
    day = timedelta(days=1)
    today = datetime.now(UTC)

    def count(**times: Any) -> int:
        return len(list(client.ListIdentifiers(metadataPrefix="oai_dc", **times)))

    assert count(**{"from": (today - day).strftime("%Y-%m-%d"), "until": today.strftime("%Y-%m-%d")}) == len(deposits)
    second = deposits[-1].modified_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert count(**{"from": second}) >= 1
    assert count(until=second) == len(deposits)
    with pytest.raises(NoRecordsMatch):
        count(**{"from": (today + day).strftime("%Y-%m-%d")})


def test_what_the_archive_says_of_itself(client: Sickle, served: ServedArchive) -> None:
    answer = client.Identify()
    assert answer.deletedRecord == "persistent"
    assert answer.granularity == "YYYY-MM-DDThh:mm:ssZ"
    assert answer.baseURL == f"{served.url}/oai"
    assert [entry.metadataPrefix for entry in client.ListMetadataFormats()] == ["oai_dc", "oai_datacite"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"verb": "Nothing"}, BadVerb),
        ({"verb": "ListSets"}, NoSetHierarchy),
        ({"verb": "ListRecords"}, BadArgument),
        ({"verb": "ListRecords", "metadataPrefix": "marc"}, CannotDisseminateFormat),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "set": "a"}, NoSetHierarchy),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026"}, BadArgument),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026-13-01"}, BadArgument),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "from": "2026-02-01", "until": "2026-01-01"}, BadArgument),
        ({"verb": "ListRecords", "metadataPrefix": "oai_dc", "other": "1"}, BadArgument),
        ({"verb": "ListRecords", "resumptionToken": "bm8"}, BadResumptionToken),
        ({"verb": "ListRecords", "resumptionToken": "bm8", "metadataPrefix": "oai_dc"}, BadArgument),
        (
            {"verb": "GetRecord", "metadataPrefix": "oai_dc", "identifier": "oai:127.0.0.1:N14C3-0099/v1"},
            IdDoesNotExist,
        ),
        ({"verb": "GetRecord", "metadataPrefix": "oai_dc", "identifier": "\0"}, IdDoesNotExist),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_request_gets_the_error_of_the_protocol(
    served: ServedArchive, client: Sickle, query: dict[str, str], error: type[Exception]
) -> None:
    for answer in (
        requests.get(f"{served.url}/oai", query, timeout=30),
        requests.post(f"{served.url}/oai", query, timeout=30),
    ):
        assert answer.status_code == 200
        code = ET.fromstring(answer.content).find("{http://www.openarchives.org/OAI/2.0/}error")
        assert code is not None
        assert (code.get("code") or "").lower() == error.__name__.lower()
