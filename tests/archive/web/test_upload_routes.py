"""Uploads in pieces: tus 1.0.0, by tuspy and by hand."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from tusclient.client import TusClient

from archived import CRATE, Served, bearer, served
from casaprov.archive.app.serving import expire_uploads, mend
from casaprov.archive.settings import LimitSettings

TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = LimitSettings(max_upload=10**6, keep_free=0, quota=10**7)
    with served(tmp_path_factory.mktemp("archive"), limits=limits) as running:
        yield running


def begin(archive: Served, length: int, token: str = "ada") -> str:
    answer = requests.post(
        f"{archive.url}/api/uploads", headers={**bearer(token), **TUS, "Upload-Length": str(length)}, timeout=60
    )
    assert answer.status_code == 201, answer.text
    assert "Upload-Expires" in answer.headers
    return str(answer.headers["Location"]).replace(archive.archive.settings.url, archive.url)


def patch(url: str, data: bytes | Iterator[bytes], offset: int, token: str = "ada", **more: str) -> requests.Response:
    headers = {**bearer(token), **TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return requests.patch(url, data=data, headers={**headers, **more}, timeout=60)


def offset_of(url: str, token: str = "ada") -> int:
    answer = requests.head(url, headers={**bearer(token), **TUS}, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def test_tuspy_uploads_in_pieces_and_the_form_names_the_upload(archive: Served) -> None:
    client = TusClient(f"{archive.url}/api/uploads", headers=bearer("ada"))
    with CRATE.open("rb") as file:
        uploader = client.uploader(
            file_stream=file, chunk_size=100_000, metadata={"filename": "n.zip"}, upload_checksum=True
        )
        uploader.upload_chunk()  # type: ignore[no-untyped-call]
        assert uploader.offset == 100_000
        resumed = client.uploader(file_stream=file, chunk_size=100_000, url=uploader.url)
        resumed.upload()
    upload = str(resumed.url).rpartition("/")[2]
    answer = archive.post({"upload": (None, upload), "filename": (None, "n.zip")})
    assert answer.status_code == 202, answer.text
    receipt = answer.json()
    assert receipt["sha256"] == "sha256:" + hashlib.sha256(CRATE.read_bytes()).hexdigest()
    archive.work()
    assert archive.state(receipt).state == "published"
    assert archive.spooled() == []
    assert archive.post({"upload": (None, upload), "filename": (None, "n.zip")}).status_code == 422


def test_the_server_says_what_it_can_do(archive: Served) -> None:
    answer = requests.options(f"{archive.url}/api/uploads", timeout=60)
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,expiration,termination,checksum"


def test_an_upload_is_its_owners(archive: Served) -> None:
    url = begin(archive, 10)
    for token in ("eve", "cur"):
        assert requests.head(url, headers={**bearer(token), **TUS}, timeout=60).status_code == 404
        assert patch(url, b"x", 0, token).status_code == 404
        assert requests.delete(url, headers={**bearer(token), **TUS}, timeout=60).status_code == 404
    assert requests.head(url, headers=TUS, timeout=60).status_code == 401
    assert archive.post({"upload": (None, url), "filename": (None, "a.zip")}, token="eve").status_code == 422
    assert requests.delete(url, headers={**bearer("ada"), **TUS}, timeout=60).status_code == 204
    assert requests.head(url, headers={**bearer("ada"), **TUS}, timeout=60).status_code == 404


def test_pieces_that_do_not_fit_are_refused(archive: Served) -> None:
    url = begin(archive, 10)
    assert patch(url, b"12345", 0).headers["Upload-Offset"] == "5"
    assert patch(url, b"12345", 0).status_code == 409
    assert patch(url, b"123456", 5).status_code == 413
    assert patch(url, iter([b"123456"]), 5).status_code == 413
    assert patch(url, b"1", 5, **{"Content-Type": "text/plain"}).status_code == 415
    assert patch(url, b"1", 5, **{"Tus-Resumable": "0.2.2"}).status_code == 412
    assert patch(url, b"1", 5, **{"Upload-Offset": "five"}).status_code == 400
    assert offset_of(url) == 5
    requests.delete(url, headers={**bearer("ada"), **TUS}, timeout=60)


def test_a_piece_with_a_wrong_checksum_is_not_kept(archive: Served) -> None:
    url = begin(archive, 10)
    good = base64.b64encode(hashlib.sha256(b"12345").digest()).decode()
    assert patch(url, b"12346", 0, **{"Upload-Checksum": f"sha256 {good}"}).status_code == 460
    assert offset_of(url) == 0
    assert patch(url, b"12345", 0, **{"Upload-Checksum": "crc7 AAAA"}).status_code == 400
    assert patch(url, b"12345", 0, **{"Upload-Checksum": f"sha256 {good}"}).status_code == 204
    assert offset_of(url) == 5
    requests.delete(url, headers={**bearer("ada"), **TUS}, timeout=60)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": "1000001"}, 413),
        ({"Upload-Length": "-1"}, 400),
        ({}, 400),
        ({"Upload-Length": "1", "Upload-Metadata": "name not-base64!"}, 400),
    ],
)
def test_an_upload_that_cannot_be_is_refused(archive: Served, headers: dict[str, str], status: int) -> None:
    answer = requests.post(f"{archive.url}/api/uploads", headers={**bearer("ada"), **TUS, **headers}, timeout=60)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_unfinished_upload_is_no_deposit_and_an_abandoned_one_expires(archive: Served) -> None:
    url = begin(archive, 10)
    assert archive.post({"upload": (None, url), "filename": (None, "a.zip")}).status_code == 422
    mend(archive.archive)  # a start of the archive leaves it alone
    assert offset_of(url) == 0
    clock = archive.archive.repository.clock
    archive.archive.repository.clock = lambda: clock() + timedelta(days=8)
    try:
        expire_uploads(archive.archive)
    finally:
        archive.archive.repository.clock = clock
    assert requests.head(url, headers={**bearer("ada"), **TUS}, timeout=60).status_code == 404
    assert archive.spooled() == []


def test_what_has_arrived_survives_a_broken_connection(archive: Served) -> None:
    url = begin(archive, 200_000)

    def broken() -> Iterator[bytes]:
        yield bytes(100_000)
        raise OSError("gone")

    with pytest.raises((OSError, requests.RequestException)):
        patch(url, broken(), 0)
    until = time.monotonic() + 30
    while True:
        arrived = offset_of(url)
        answer = patch(url, bytes(200_000 - arrived), arrived)
        if answer.status_code != 409 or time.monotonic() > until:  # the server may still close the broken one
            break
    assert answer.status_code == 204
    assert offset_of(url) == 200_000
