"""A real DaCHS with PostgreSQL: inputs are found in it, and what the archive publishes is seen in TAP and DataLink.

``.ci/dachs`` installs it, with observations like those of three archives, and with ``deploy/dachs/q.rd``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pyvo
import requests
from astropy.table import Table
from pyvo.dal.adhoc import DatalinkResults

from archived import Served, a_deposit, served
from casaprov.archive.deposits import Deposit, State
from casaprov.archive.publication.vo.dachs import Dachs
from casaprov.archive.publication.vo.tables import crates_csv, inputs_csv
from casaprov.archive.settings import LimitSettings, Settings, VoSettings
from casaprov.cli.commands import main
from casaprov.crates.payload import PayloadPolicy
from casaprov.notebook.export import export_notebook
from casaprov.records.observation import Observation
from casaprov.vo import archives
from casaprov.vo.archives import load_archives
from casaprov.vo.linking import look_up
from casaprov.vo.tap import open_session, rows_of
from dachs_server import import_lists, let_write, serve_dachs
from sample_records import Reduction, journaled, measure

pytestmark = pytest.mark.long

PLAIN = "ivo://jive.eu/~?N14C3_141030_1_1_3C84_4926.49MHz"
QUOTED_PLUS = "ivo://jive.eu/~?N14C3_141030_1_1_J1848%2B3219_4926.49MHz"
PLUS = "ivo://jive.eu/~?EX001_150101_1_1_J1848+3219_4926.49MHz"
APOSTROPHE = "ivo://jive.eu/~?QUOTED_150101_1_1_Barnard's_4926.49MHz"
DIDS = (PLAIN, QUOTED_PLUS, PLUS, APOSTROPHE)
SEEN = Observation(target_name="3C84", t_min=56960.6, t_max=56960.7, facility_name="EVN", proposal_id="N14C3")


@pytest.fixture(scope="module")
def dachs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a DaCHS."""
    with serve_dachs(tmp_path_factory.mktemp("dachs") / "log") as url:
        yield url


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with open_session() as opened:
        yield opened


@pytest.fixture
def service(dachs: str, session: requests.Session) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(f"{dachs}/tap", session=session)


@pytest.fixture
def tap(dachs: str) -> str:
    return f"{dachs}/tap"


def links(url: str, session: requests.Session) -> list[tuple[str, str]]:
    """Return semantics and address of each link that leads somewhere."""
    found = DatalinkResults.from_result_url(url, session=session)
    return [(str(link.semantics), str(link.access_url)) for link in found if not link.error_message]


def crate_links(dachs: str, did: str, session: requests.Session) -> list[tuple[str, str]]:
    return links(f"{dachs}/casaprov/q/cdl/dlmeta?ID={quote(did, safe='')}", session)


def sample(folder: Path, **facts: Any) -> Reduction:
    return journaled(folder, replace(SEEN, **facts))


# --- what casaprov asks an archive -------------------------------------------


def test_names_with_percent_plus_and_quotes_are_found_by_an_upload(
    service: pyvo.dal.TAPService, session: requests.Session
) -> None:
    archive = replace(load_archives()[0], service=service.baseurl)
    for did in DIDS:
        (row,) = rows_of(archive, "obs_publisher_did", did, session)
        assert row["obs_publisher_did"] == did
    # This is why values are uploaded: DaCHS finds no % by = or IN.
    query = "SELECT obs_id FROM ivoa.obscore WHERE obs_publisher_did"
    for condition in (f"= '{QUOTED_PLUS}'", f"IN ('{QUOTED_PLUS}')"):
        assert len(service.run_sync(f"{query} {condition}")) == 0
    assert len(service.run_sync(f"{query} LIKE '{QUOTED_PLUS.replace('%', '_')}'")) == 1
    wanted = {"wanted": Table({"word": list(DIDS)})}
    joined = "SELECT obs_id FROM ivoa.obscore JOIN TAP_UPLOAD.wanted ON obs_publisher_did = word"
    assert len(service.run_async(joined, uploads=wanted)) == len(DIDS)


def test_inputs_are_found_linked_and_fetched(
    tap: str, session: requests.Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reduction = sample(tmp_path / "nb")
    notebook = str(reduction.notebook)
    assert main(["vo", "find", notebook, "--tap", tap]) == 0
    # Both sources of the experiment have this file, by name and size.
    said = capsys.readouterr().out
    assert [did in said for did in DIDS] == [True, True, False, False]
    assert said.count("certain: file name and size") == 2

    assert main(["link", notebook, "--auto", "--tap", tap]) == 0
    assert main(["link", notebook, "data/N.fits", "--id", APOSTROPHE, "--tap", tap]) == 0
    capsys.readouterr()

    archive = replace(load_archives()[0], service=tap)
    for did in DIDS:
        (row,) = rows_of(archive, "obs_publisher_did", did, session)
        assert main(["vo", "links", row["access_url"]]) == 0
        listed = capsys.readouterr().out.splitlines()
        assert listed
        assert all(line.startswith("#this  ") and line.endswith("  1000 bytes") for line in listed)
        if did == QUOTED_PLUS:
            assert main(["vo", "get", row["access_url"], "-o", "data"]) == 0
            fetched = {path.name: path.stat().st_size for path in Path("data").iterdir()}
            assert fetched == {"N.fits": 1000, "n14c3_1_1.IDI1": 1000}
            capsys.readouterr()
            assert main(["vo", "links", row["access_url"].replace("N14C3", "NOSUCH")]) == 0
            assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("facts", "did"),
    [
        ({"target_name": "J1848+3219", "proposal_id": "EX001", "t_min": 57023.1, "t_max": 57023.2}, PLUS),
        # As part of the query this would select all rows.
        ({"target_name": "Barnard's", "proposal_id": "' OR '1'='1", "t_min": 57023.1, "t_max": 57023.2}, APOSTROPHE),
    ],
)
def test_time_and_target_make_an_observation_likely(
    tap: str, session: requests.Session, tmp_path: Path, facts: dict[str, Any], did: str
) -> None:
    entity = sample(tmp_path / "nb", **facts).document.entities[0]
    link = look_up(entity, session, tap)
    assert [(i.value, i.confidence) for i in link.identifiers] == [(did, "likely")]
    assert [query.rows for query in link.archive_queries] == [1]


def test_archives_without_uploads_are_asked_by_time(
    tap: str, session: requests.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"ALMA": "observed.alma", "NRAO": "observed.nrao"}
    known = (one for one in load_archives() if one.name in tables)
    theirs = tuple(replace(one, service=tap, table=tables[one.name]) for one in known)
    monkeypatch.setattr(archives, "load_archives", lambda: theirs)
    uid = "uid://A002/Xca5b1c/X5707"
    alma = {"facility_name": "ALMA", "target_name": "GAMA12", "t_min": 58193.22, "t_max": 58193.25}
    execution = sample(tmp_path / "a", **alma, proposal_id="", identifiers={"asdm_uid": uid})
    found = {(i.scheme, i.value) for i in look_up(execution.document.entities[0], session).identifiers}
    # Its publisher DID names a project: it is no identifier of the data.
    assert found == {("asdm_uid", uid), ("member_ous_uid", "uid://A001/X1284/X1")}
    vla = {"facility_name": "VLA", "target_name": "1445+099", "t_min": 49820.115, "t_max": 49820.135}
    scans = sample(tmp_path / "b", **vla, proposal_id="AX001")
    found = {(i.scheme, i.value) for i in look_up(scans.document.entities[0], session).identifiers}
    assert found == {("ivoid", "ivo://nrao.edu/archive?AX001/scan2")}


# --- what the archive publishes ----------------------------------------------


@pytest.fixture
def archive(dachs: str, tmp_path: Path) -> Iterator[Served]:
    """Serve an archive that may only write the two tables."""
    settings = VoSettings(backend="dachs", database=let_write(), did_prefix=f"ivo://jive.eu/~?{tmp_path.parent.name}/")
    with served(tmp_path / "archive", limits=LimitSettings(keep_free=0), vo=settings) as running:
        yield running
        (place,) = (one for one in running.parts.publications if isinstance(one, Dachs))
        for deposit in running.archive.repository.published(limit=100):
            place.withdraw(deposit)
        place.close()


def published(archive: Served, crate: Path, **fields: str) -> Deposit:
    receipt = archive.deposit(crate, **fields)
    archive.work()
    deposit = archive.state(receipt)
    assert deposit.state is State.PUBLISHED, (deposit.state, deposit.issues, deposit.reason)
    return deposit


def test_a_crate_is_seen_at_once_and_gone_when_it_is_withdrawn(
    archive: Served, dachs: str, session: requests.Session, service: pyvo.dal.TAPService, tmp_path: Path
) -> None:
    notebook, crate = sample(tmp_path / "nb").notebook, tmp_path / "n.crate.zip"
    assert main(["link", str(notebook), "--auto", "--tap", service.baseurl]) == 0
    measured: Any = measure
    export_notebook(notebook, crate, policy=PayloadPolicy(), measure=measured)
    first = published(archive, crate)

    mine = {"wanted": Table({"word": [first.did]})}
    query = "SELECT c.* FROM casaprov.crates AS c JOIN TAP_UPLOAD.wanted AS w ON c.crate_did = w.word"
    (row,) = service.run_sync(query, uploads=mine)
    assert (row["is_latest"], row["n_calls"], row["sha256"]) == (1, 8, first.sha256.removeprefix("sha256:"))
    used = "SELECT i.* FROM casaprov.crate_inputs AS i JOIN TAP_UPLOAD.wanted AS w ON i.crate_did = w.word"
    dids = {str(one["obs_publisher_did"]) for one in service.run_sync(used, uploads=mine)}
    assert dids
    assert dids <= {PLAIN, QUOTED_PLUS}

    # From the crate to its file, its page and its observations, and from there back to the crate.
    forth = crate_links(dachs, first.did, session)
    assert ("#this", row["access_url"]) in forth
    assert ("#documentation", row["landing_url"]) in forth
    origins = [url for semantics, url in forth if semantics == "#progenitor"]
    assert len(origins) == len(dids)
    for origin in origins:
        back = links(origin, session)
        assert ("#this", f"{dachs}/observed/q/files/static/N.fits") in back
        assert ("#derivation", row["access_url"]) in back

    # The way of pyvo, from the rows themselves.
    result = service.run_sync(query, uploads=mine)
    (found,) = result.iter_datalinks()
    assert {str(link.semantics) for link in found} == {"#this", "#documentation", "#progenitor"}
    evn = "SELECT o.* FROM ivoa.obscore AS o JOIN TAP_UPLOAD.wanted AS w ON o.obs_publisher_did = w.word"
    observed = service.run_sync(evn, uploads={"wanted": Table({"word": list(DIDS)})})
    semantics = [{str(link.semantics) for link in one} for one in observed.iter_datalinks()]
    assert len(semantics) == len(DIDS)
    assert sum("#derivation" in one for one in semantics) == len(dids)
    assert all("#this" in one for one in semantics)

    # A second version takes its place for observations; the first is still there for those that cite it.
    with zipfile.ZipFile(crate, "a") as zipped:
        zipped.comment = b"2"
    second = published(archive, crate, new_version_of=first.name)
    assert service.run_sync(query, uploads=mine)[0]["is_latest"] == 0
    derived = [url for semantics, url in links(origins[0], session) if semantics == "#derivation"]
    assert [f"/{first.name}/v2" in url for url in derived] == [True]
    assert len(crate_links(dachs, first.did, session)) == len(forth)

    answer = requests.post(
        f"{archive.url}/api/deposits/{second.id}/withdraw",
        json={"reason": "A flux was wrong."},
        headers={"Authorization": "Bearer ada"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    archive.work()
    # The first version is the newest again, and the second has no links.
    assert service.run_sync(query, uploads=mine)[0]["is_latest"] == 1
    assert crate_links(dachs, second.did, session) == []
    assert ("#derivation", row["access_url"]) in links(origins[0], session)
    assert archive.get(f"/crates/{second.name}/v2").status_code == 410


def test_a_dachs_elsewhere_loads_the_lists(service: pyvo.dal.TAPService, tmp_path: Path) -> None:
    did = "ivo://jive.eu/~?LISTED_J1848%2B3219"
    about = {"calls": 3, "inputs": [{"did": did}]}
    at = datetime(2026, 5, 2, tzinfo=UTC)
    listed = a_deposit(state=State.PUBLISHED, published_at=at, title='A "Höhe", 5', about=about)
    import_lists(crates=crates_csv(Settings(root=tmp_path), [listed]), crate_inputs=inputs_csv([listed]))
    query = "SELECT title, verdict, replayed, obs_publisher_did FROM casaprov.crates NATURAL JOIN casaprov.crate_inputs"
    (row,) = service.run_sync(query)
    assert (row["title"], row["obs_publisher_did"]) == (listed.title, did)
    # Not replayed: empty in the list.
    assert not row["verdict"]
    assert str(row["replayed"]) in ("", "--", "None")
