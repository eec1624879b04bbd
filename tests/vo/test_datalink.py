"""Files are listed by DataLink and fetched whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.errors import UsageError, VoError
from casaprov.vo.datalink import LinkedFile, fetch, linked_files
from casaprov.vo.tap import open_session
from tap_server import TapServer, serve_tap

DID = "ivo://jive.eu/~?N14C3_1_1_J1848%2B3219"
DATA = bytes(range(256)) * 2000


@pytest.fixture
def tap() -> Iterator[TapServer]:
    with serve_tap({}) as server:
        server.files["a+b.IDI1"] = DATA
        server.links[DID] = [
            {
                "ID": DID,
                "access_url": url,
                "semantics": semantics,
                "service_def": service,
                "error_message": error,
                "content_length": size,
            }
            for url, semantics, service, error, size in (
                (f"{server.url}/files/a%2Bb.IDI1", "#this", "", "", len(DATA)),
                ("", "#this", "", "", 1),
                ("http://x/soda", "#cutout", "soda", "", 1),
                ("", "#this", "", "NotFoundFault: x", 1),
                ("file:///etc/passwd", "#this", "", "", 1),
                (f"{server.url}/files/preview.png", "#preview", "", "", 0),
            )
        ]
        yield server


def listed(tap: TapServer) -> tuple[LinkedFile, ...]:
    with open_session(5.0) as session:
        return linked_files(tap.datalink(DID), session)


def fetched(file: LinkedFile, folder: Path, max_bytes: int = 10**6) -> Path:
    with open_session(5.0) as session:
        return fetch(file, folder, session, max_bytes=max_bytes)


def test_only_rows_that_lead_to_files_count(tap: TapServer) -> None:
    assert [(file.name, file.semantics, file.size_bytes) for file in listed(tap)] == [
        ("a+b.IDI1", "#this", len(DATA)),
        ("preview.png", "#preview", None),
    ]


def test_a_file_is_fetched_and_no_file_is_replaced(tap: TapServer, tmp_path: Path) -> None:
    file = listed(tap)[0]
    assert fetched(file, tmp_path).read_bytes() == DATA
    with pytest.raises(UsageError, match="is there already"):
        fetched(file, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a+b.IDI1"]


def test_a_broken_connection_is_resumed(tap: TapServer, tmp_path: Path) -> None:
    file = listed(tap)[0]
    tap.fault = "broken"
    with pytest.raises(VoError, match="cannot be fetched"):
        fetched(file, tmp_path)
    assert not (tmp_path / file.name).exists()
    tap.fault = ""
    assert fetched(file, tmp_path).read_bytes() == DATA
    assert tap.ranges == ["", f"bytes={3 * 2**16}-"]


def test_a_file_that_is_too_large_is_refused_before_it_is_asked_for(tap: TapServer, tmp_path: Path) -> None:
    with pytest.raises(VoError, match="more than 10"):
        fetched(listed(tap)[0], tmp_path, max_bytes=10)
    assert tap.ranges == []


def test_proprietary_data_are_named(tap: TapServer, tmp_path: Path) -> None:
    tap.fault = "proprietary"
    with pytest.raises(VoError, match="is proprietary"):
        fetched(listed(tap)[0], tmp_path)


def test_an_address_that_is_no_datalink_is_refused(tap: TapServer) -> None:
    with open_session(5.0) as session, pytest.raises(VoError, match="no list of files"):
        linked_files(f"{tap.url}/nothing", session)
