"""Deposits over HTTP: the form in use, and every body that is not what it says."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from nbformat.v4 import new_code_cell, new_notebook

from archived import CRATE, Served, bearer, served
from casaprov.archive.deposits import State
from casaprov.archive.settings import LimitSettings


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = LimitSettings(max_upload=2 * 10**6, keep_free=0)
    with served(tmp_path_factory.mktemp("archive"), limits=limits) as running:
        yield running


def a_notebook(text: str = "1 + 1") -> bytes:
    return bytes(nbformat.writes(new_notebook(cells=[new_code_cell(text)])).encode())


def problem(answer: requests.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert str(Path.cwd().parent.parent) not in answer.text
    assert "/tmp" not in answer.text
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    "order", [("file", "obs_id", "token"), ("token", "obs_id", "file"), ("obs_id", "file", "token")]
)
def test_the_form_in_use_is_taken_in_any_order(archive: Served, order: tuple[str, ...]) -> None:
    content = a_notebook("#" + " ".join(order))
    parts: dict[str, Any] = {
        "file": ("file", ("a.ipynb", content)),
        "obs_id": ("obs_id", (None, "N14C3")),
        "token": ("token", (None, "ada")),
    }
    form = [*(parts[name] for name in order), ("description", (None, "Étude")), ("filename", (None, "b.ipynb"))]
    answer = requests.post(archive.url, files=form, timeout=60)
    assert answer.status_code == 202
    receipt = answer.json()
    assert answer.headers["Location"].endswith(f"/api/deposits/{receipt['id']}")
    assert (receipt["filename"], receipt["kind"]) == ("b.ipynb", "notebook")
    archive.work()
    assert (archive.state(receipt).state, archive.state(receipt).description) == (State.PUBLISHED, "Étude")
    assert archive.archive.storage.path(receipt["did"], "notebook.ipynb").read_bytes() == content


def test_the_same_deposit_again_is_the_same_receipt(archive: Served) -> None:
    files = {"file": ("a.ipynb", a_notebook("again"))}
    first, second = archive.post(files), archive.post(files)
    assert (first.status_code, second.status_code) == (202, 200)
    # A signature by an elliptic curve is another one each time.
    assert {**first.json(), "jws": ""} == {**second.json(), "jws": ""}
    assert archive.post(files, obs_id="N14C4").status_code == 202
    archive.work()
    assert archive.spooled() == []


def test_a_crate_is_checked_kept_byte_for_byte_and_published(archive: Served) -> None:
    receipt = archive.deposit(CRATE)
    assert receipt["kind"] == "crate"
    archive.work()
    deposit = archive.state(receipt)
    assert (deposit.state, deposit.issues) == (State.PUBLISHED, ())
    assert archive.archive.storage.path(deposit.did, "crate.zip").read_bytes() == CRATE.read_bytes()
    assert deposit.about["calls"] > 3
    assert archive.spooled() == []


def test_a_damaged_crate_is_rejected_with_its_issues(archive: Served) -> None:
    receipt = archive.deposit(CRATE.read_bytes()[:-1000] + bytes(1000))
    archive.work()
    answer = archive.get(f"/api/deposits/{receipt['id']}", "ada").json()
    assert answer["state"] == "rejected"
    assert answer["issues"]
    assert str(archive.archive.settings.root) not in str(answer)
    assert archive.spooled() == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"obs_id": ""}, "obs_id"),
        ({"obs_id": "../N14C3"}, "obs_id"),
        ({"obs_id": "N" * 65}, "obs_id"),
        ({"filename": "../a.ipynb"}, "filename"),
        ({"filename": "a/b.ipynb"}, "filename"),
        ({"filename": "a\u202eb.ipynb"}, "filename"),
        ({"filename": "n" * 256}, "filename"),
        ({"filename": "a\nb"}, "filename"),
        ({"description": "x" * 20_001}, "description"),
        ({"description": "a\0b"}, "description"),
        ({"license": "mine"}, "license"),
        ({"public_from": "soon"}, "public_from"),
        ({"new_version_of": "N14C3-9999"}, "new_version_of"),
        ({"upload": "0123"}, "file"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_stays(archive: Served, fields: dict[str, str], field: str) -> None:
    answer = archive.post({"file": ("a.ipynb", a_notebook(str(fields)))}, **fields)
    assert problem(answer, 422)["field"] == field
    assert archive.spooled() == []


def test_a_deposit_needs_a_token_that_is_valid(archive: Served) -> None:
    files = {"file": ("a.ipynb", a_notebook("token"))}
    for token in ("", "wrong"):
        answer = archive.post(files, token=token)
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert problem(archive.post(files, token=""), 401)
    assert archive.spooled() == []


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG"])
def test_a_file_of_another_kind_is_refused(archive: Served, content: bytes) -> None:
    assert problem(archive.post({"file": ("a.ipynb", content)}), 422)["field"] == "file"
    assert archive.spooled() == []


def test_two_files_and_no_file_are_refused(archive: Served) -> None:
    two = [("file", ("a.ipynb", a_notebook("a"))), ("file", ("b.ipynb", a_notebook("b")))]
    assert problem(archive.post(two), 422)["field"] == "file"
    other = [("file", ("a.ipynb", a_notebook("a"))), ("crate", ("b.zip", CRATE.read_bytes()))]
    assert problem(archive.post(other), 422)["field"] == "file"
    assert problem(archive.post({"obs_id": (None, "N14C3")}), 422)["field"] == "obs_id"
    assert problem(archive.post({"description": (None, "x")}), 422)["field"] == "file"
    assert archive.spooled() == []


def raw(archive: Served, body: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(f"{archive.url}/api/deposits", data=body, headers={**bearer("ada"), **headers}, timeout=60)


def multipart(*parts: bytes, boundary: bytes = b"edge") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


FILE = b'Content-Disposition: form-data; name="file"; filename="a.ipynb"\r\n\r\n' + a_notebook("raw")
OBS_ID = b'Content-Disposition: form-data; name="obs_id"\r\n\r\nN14C3'
TYPE = {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 8, 9, 40, 100, 200, 300])
def test_a_truncated_body_is_refused(archive: Served, cut: int) -> None:
    whole = multipart(OBS_ID, FILE)
    answer = raw(archive, whole[:-cut], TYPE)
    if cut <= 2:  # only the line break after the end is missing
        assert answer.status_code in (200, 202)
        archive.work()
    else:
        problem(answer, 400)
    assert archive.spooled() == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"garbage", TYPE, 400),
        (b"", TYPE, 400),
        (b"\r\n" * 1000, TYPE, 400),
        (multipart(OBS_ID, FILE, boundary=b"other"), TYPE, 400),
        (multipart(OBS_ID, FILE), {"Content-Type": "multipart/form-data"}, 400),
        (multipart(OBS_ID, FILE), {"Content-Type": "multipart/form-data; boundary="}, 400),
        (multipart(b"no header", FILE), TYPE, 422),
        (multipart(b'Content-Disposition: form-data; name="obs_id"\r\n\r\n\xff', FILE), TYPE, 422),
        (b"obs_id=N14C3", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"{}", {}, 415),
    ],
)
def test_a_body_that_is_no_form_is_refused(archive: Served, body: bytes, headers: dict[str, str], status: int) -> None:
    problem(raw(archive, body, headers), status)
    assert archive.spooled() == []


def test_a_body_beyond_the_limit_is_refused_with_and_without_its_length(archive: Served) -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.ipynb"\r\n\r\n{'
    problem(raw(archive, head + bytes(4 * 10**6), TYPE), 413)

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(40):
            yield bytes(10**5)

    answer = requests.post(f"{archive.url}/api/deposits", data=pieces(), headers={**bearer("ada"), **TYPE}, timeout=60)
    problem(answer, 413)
    assert archive.spooled() == []


def test_a_description_without_end_is_refused_before_it_is_read(archive: Served) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--edge\r\nContent-Disposition: form-data; name="description"\r\n\r\n'
        for _ in range(30):
            yield b"x" * 10**5

    answer = requests.post(f"{archive.url}/api/deposits", data=pieces(), headers={**bearer("ada"), **TYPE}, timeout=60)
    assert problem(answer, 422)["field"] == "description"


def test_the_file_of_a_client_that_goes_is_removed(archive: Served) -> None:
    port = int(archive.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = multipart(OBS_ID, FILE)[:-20]
        client.sendall(
            b"POST /api/deposits HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ada\r\nContent-Length: 100000\r\n"
            b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n" + head
        )
        while not archive.spooled():
            archive.get("/health")  # the server is busy with the form meanwhile
    while archive.spooled():
        archive.get("/health")


def test_a_full_disk_and_a_quota_are_said(tmp_path: Path) -> None:
    limits = LimitSettings(keep_free=10**18)
    with served(tmp_path, limits=limits) as full:
        problem(full.post({"file": ("a.ipynb", a_notebook())}), 507)
        assert full.spooled() == []
    with served(tmp_path, limits=LimitSettings(keep_free=0, quota=100)) as little:
        problem(little.post({"file": ("a.ipynb", a_notebook())}), 429)
        assert little.spooled() == []


def test_owner_and_curators_see_a_deposit_and_nobody_else(archive: Served) -> None:
    receipt = archive.deposit(a_notebook("private"), "a.ipynb", public_from="2999-01-01")
    archive.work()
    path = f"/api/deposits/{receipt['id']}"
    assert archive.state(receipt).state is State.EMBARGOED
    assert archive.get(path, "ada").json()["state"] == "embargoed"
    assert archive.get(path, "cur").status_code == 200
    for token in ("", "eve"):
        missing, hidden = archive.get("/api/deposits/0123", token), archive.get(path, token)
        assert problem(missing, 404) == problem(hidden, 404)
    for act in ("withdraw", "replay", "accept"):
        assert requests.post(archive.url + path + "/" + act, headers=bearer("eve"), timeout=60).status_code == 404
        assert requests.post(archive.url + path + "/" + act, timeout=60).status_code == 401
    ids = [d["id"] for d in archive.get("/api/deposits?state=embargoed", "ada").json()["deposits"]]
    assert ids == [receipt["id"]]
    assert archive.get("/api/deposits", "eve").json() == {"deposits": []}
    assert receipt["id"] in archive.get("/api/deposits", "cur").text


def test_a_withdrawal_needs_a_reason_and_is_done_once(archive: Served) -> None:
    receipt = archive.deposit(a_notebook("withdrawn"), "a.ipynb")
    url = f"{archive.url}/api/deposits/{receipt['id']}/withdraw"
    early = requests.post(url, json={"reason": "early"}, headers=bearer("ada"), timeout=60)
    problem(early, 409)  # while it is checked
    archive.work()
    assert requests.post(url, json={"reason": "not mine"}, headers=bearer("eve"), timeout=60).status_code == 403
    assert problem(requests.post(url, json={}, headers=bearer("ada"), timeout=60), 422)["field"] == "reason"
    problem(requests.post(url, data=b"{", headers=bearer("ada"), timeout=60), 400)
    done = requests.post(url, json={"reason": "wrong field"}, headers=bearer("ada"), timeout=60)
    assert (done.status_code, done.json()["state"], done.json()["reason"]) == (200, "withdrawn", "wrong field")
    problem(requests.post(url, json={"reason": "again"}, headers=bearer("ada"), timeout=60), 409)
    archive.work()
    assert [c.after for c in archive.archive.repository.changes_of(receipt["id"])][-1] == "withdrawn"


def test_what_no_route_takes_is_a_problem(archive: Served) -> None:
    problem(archive.get("/nothing"), 404)
    answer = requests.put(f"{archive.url}/api/deposits", timeout=60)
    problem(answer, 405)
    assert answer.headers["Allow"] == "GET, POST"
    assert archive.get("/health").json()["status"] == "ok"
    metrics = archive.get("/metrics").text
    assert 'casaprov_archive_deposits{kind="notebook",state="published"}' in metrics
