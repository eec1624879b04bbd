"""Inputs are found in archives by facts that are uploaded, and only the same observation is kept."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casaprov.cli.commands import main
from casaprov.crates.checking.validation import examine_crate
from casaprov.errors import UsageError, VoError
from casaprov.hashing import digest_bytes
from casaprov.records.model import Entity
from casaprov.records.observation import Observation
from casaprov.vo import archives
from casaprov.vo.archives import Archive, load_archives
from casaprov.vo.linking import look_up, stated
from casaprov.vo.tap import open_session
from crate_rdf import described
from records import Story
from sample_records import make_reduction, pack_reduction
from tap_server import TapServer, serve_tap

EVN = "ivo://jive.eu/~?N14C3_141030_1_1_{}_4926.49MHz"
DIDS = [EVN.format("3C84"), EVN.format("J1848%2B3219")]
ALMA = {
    "asdm_uid": "uid://A002/Xca5b1c/X5707",
    "member_ous_uid": "uid://A001/X1/X2",
    "obs_publisher_did": "ADS/JAO.ALMA#2016.1",
}
SEEN = Observation(target_name="3C84", t_min=56960.6, t_max=56960.7, facility_name="EVN", proposal_id="N14C3")
FILE = Entity(
    id="s/e1",
    path="in/n14c3_1_1.IDI1",
    kind="FITS",
    content_digest=digest_bytes(b"x"),
    size_bytes=100,
    observations=(SEEN,),
)


def obscore(url: str, did: str, obs_id: str, target: str, **more: Any) -> dict[str, Any]:
    form = "application/x-votable+xml;content=datalink"
    row = {"obs_publisher_did": did, "obs_id": obs_id, "target_name": target, "t_min": 56960.5, "t_max": 56960.9}
    return {**row, "access_url": url, "access_format": form, **more}


@pytest.fixture
def tap() -> Iterator[TapServer]:
    rows = [obscore("", did, "N14C3", target) for did, target in zip(DIDS, ("3C84", "J1848+3219"), strict=True)]
    rows.append(obscore("", EVN.format("other"), "EC071A", "3C84"))
    rows.append(obscore("", EVN.format("quoted"), "' OR '1'='1", "3C84"))
    with serve_tap({"ivoa.obscore": rows}) as server:
        for row in rows:
            row["access_url"] = server.datalink(row["obs_publisher_did"])
        yield server


def found(entity: Entity, tap: TapServer) -> tuple[list[tuple[str, str]], list[tuple[int, int]]]:
    with open_session(5.0) as session:
        link = look_up(entity, session, tap.url)
    return [(i.value, i.confidence) for i in link.identifiers], [(k.rows, k.matched) for k in link.archive_queries]


def with_facts(**facts: Any) -> Entity:
    return replace(FILE, observations=(replace(SEEN, **facts),))


def test_time_and_target_make_an_observation_likely(tap: TapServer) -> None:
    assert found(FILE, tap) == ([(DIDS[0], "likely")], [(2, 1)])


def test_names_with_plus_and_percent_are_found(tap: TapServer) -> None:
    assert found(with_facts(target_name="J1848+3219"), tap) == ([(DIDS[1], "likely")], [(2, 1)])


def test_name_and_size_of_a_file_make_it_certain(tap: TapServer) -> None:
    rows = [
        {"ID": DIDS[0], "access_url": f"{tap.url}/files/n14c3_1_1.IDI1", "semantics": "#this", "content_length": 100},
        {"ID": DIDS[0], "access_url": "", "semantics": "#this", "content_length": 100},
    ]
    tap.links = dict.fromkeys(DIDS, rows)
    assert found(FILE, tap) == ([(did, "certain") for did in DIDS], [(2, 2)])
    assert found(replace(FILE, size_bytes=101), tap)[0] == [(DIDS[0], "likely")]


@pytest.mark.parametrize("facts", [{"t_min": 50000.0, "t_max": 50001.0}, {"target_name": "M87"}, {"target_name": ""}])
def test_less_is_not_kept_and_the_question_is(tap: TapServer, facts: dict[str, Any]) -> None:
    identifiers, archive_queries = found(with_facts(**facts), tap)
    assert (identifiers, archive_queries) == ([], [(2, 0)])


def test_a_value_is_never_part_of_the_query(tap: TapServer) -> None:
    # It is the obs_id of one row; as part of the query it would select all rows.
    identifiers, archive_queries = found(with_facts(proposal_id="' OR '1'='1"), tap)
    assert identifiers == [(EVN.format("quoted"), "likely")]
    assert archive_queries == [(1, 1)]
    assert all("OR" not in query for query in tap.queries)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("down", "does not answer"),
        ("slow", "does not answer"),
        ("no votable", "does not answer with a VOTable|does not answer"),
        ("refused", "refuses the query"),
        ("overflow", "has more than"),
    ],
)
def test_a_fault_of_the_service_is_named(tap: TapServer, fault: str, message: str) -> None:
    tap.fault = fault
    with open_session(0.3) as session, pytest.raises(VoError, match=message):
        look_up(FILE, session, tap.url)


def test_a_service_that_is_not_there_is_named() -> None:
    with open_session(1.0) as session, pytest.raises(VoError, match="does not answer"):
        look_up(FILE, session, "http://127.0.0.1:9/tap")


def test_a_service_without_uploads_is_asked_by_time_and_compared_here(monkeypatch: pytest.MonkeyPatch) -> None:
    row = obscore("", "", "x", "GAMA", t_min=58193.2, t_max=58193.3, **ALMA)
    rows = [row, {**row, "asdm_uid": "uid://A002/X0/X0"}, {**row, "t_min": 1.0, "t_max": 2.0}]
    with serve_tap({"ivoa.obscore": rows}) as tap, open_session(5.0) as session:
        known = tuple(replace(archive, service=tap.url) for archive in load_archives() if archive.name == "ALMA")
        monkeypatch.setattr(archives, "load_archives", lambda: known)
        seen = Observation(
            target_name="GAMA",
            t_min=58193.23,
            t_max=58193.24,
            facility_name="ALMA",
            identifiers={"asdm_uid": ALMA["asdm_uid"]},
        )
        link = look_up(replace(FILE, observations=(seen,)), session)
    # Its publisher DID names a project: it is no identifier of the data.
    assert {(i.scheme, i.value) for i in link.identifiers} == {(k, ALMA[k]) for k in ("asdm_uid", "member_ous_uid")}
    assert [(k.rows, k.matched) for k in link.archive_queries] == [(1, 2)]


def test_a_telescope_that_no_archive_has_is_not_asked_for() -> None:
    with open_session(1.0) as session:
        link = look_up(with_facts(facility_name="SMA"), session)
    assert (link.identifiers, link.archive_queries) == ((), ())


def test_an_archive_with_a_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(VoError, match="no table or column"):
        Archive(name="x", service="http://x", table="a; DROP TABLE b", fact="f", key="k", identify=())


@pytest.mark.parametrize(
    ("text", "scheme", "value"),
    [
        (DIDS[1], "ivoid", DIDS[1]),
        ("https://doi.org/10.5281/zenodo.123", "doi", "10.5281/zenodo.123"),
        ("doi:10.1088/1538-3873/ac9642", "doi", "10.1088/1538-3873/ac9642"),
        ("2019ApJ...875L...1E", "bibcode", "2019ApJ...875L...1E"),
        ("https://archive.example/x", "url", "https://archive.example/x"),
        ("asdm_uid=uid://A002/X1/X2", "asdm_uid", "uid://A002/X1/X2"),
    ],
)
def test_an_identifier_is_stated_in_many_forms(text: str, scheme: str, value: str) -> None:
    story = Story()
    story.call("importfitsidi", used=["a.IDI1"], generated=["a.ms"])
    entity, link = stated(story.document, "a.IDI1", text, "https://tap.example")
    assert entity.path == "a.IDI1"
    (known,) = link.identifiers
    assert (known.scheme, known.value, known.confidence, known.service) == (
        scheme,
        value,
        "stated",
        "https://tap.example",
    )
    with pytest.raises(UsageError, match="no input"):
        stated(story.document, "a.ms", text)
    with pytest.raises(UsageError, match="no identifier"):
        stated(story.document, "a.IDI1", "something")


def test_a_crate_is_linked_in_a_copy_that_stays_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    once, twice = tmp_path / "y.zip", tmp_path / "z.zip"
    assert main(["link", str(crate), "data/N.fits", "--id", DIDS[0], "--id", "doi:10.5281/zenodo.12", "--tap", "https://tap.example.org", "-o", str(once)]) == 0  # fmt: skip
    assert main(["link", str(once), "data/N.fits", "--id", DIDS[0], "--id", DIDS[1], "-o", str(twice)]) == 0
    findings = examine_crate(twice)
    assert findings.errors == ()
    assert any("isBasedOn" in note.message for note in findings.notes)
    nodes = described(twice)
    based = [nodes[one["@id"]] for one in nodes["./"]["isBasedOn"]]
    assert [one["name"] for one in based] == [DIDS[0], "10.5281/zenodo.12", DIDS[1]]
    names = {one["hasPart"]["@id"] for one in based}
    assert [nodes[name]["alternateName"] for name in names] == ["data/N.fits"]
    assert based[0]["includedInDataCatalog"] == {"@id": "https://tap.example.org"}
    with zipfile.ZipFile(crate) as old, zipfile.ZipFile(twice) as new:
        assert [name for name in old.namelist() if old.read(name) != new.read(name)] == ["ro-crate-metadata.json"]
    assert "Written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["data/N.fits", "--id", DIDS[0]], "--output"), (["nosuch", "--id", DIDS[0], "-o", "y.zip"], "names no nosuch")],
)
def test_a_link_of_a_crate_that_cannot_be_made_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    crate = pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path
    assert main(["link", str(crate), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("y.zip").exists()
