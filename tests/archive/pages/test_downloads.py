"""Files of a crate over HTTP: byte for byte, in parts, as attachments."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests

from casaprov.archive.deposits import Deposit, Kind
from casaprov.archive.pages.ranges import Unsatisfiable, part
from served_archive import PICTURE, ServedArchive, a_zip, serving

CONTENT = a_zip(**{"page.html": "<script>alert(1)</script>", 'ö "x".txt': "text"})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


@pytest.fixture(scope="module")
def deposit(served: ServedArchive) -> Deposit:
    return served.deposit(content=CONTENT)


@pytest.fixture(scope="module")
def base(served: ServedArchive, deposit: Deposit) -> str:
    return f"{served.url}/crates/{deposit.name}/v1"


def test_the_zip_is_byte_for_byte_the_deposited_one(base: str) -> None:
    answer = requests.get(f"{base}/crate.zip", timeout=30)
    assert answer.content == CONTENT
    digest = hashlib.sha256(CONTENT)
    assert answer.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_part_of_the_zip_can_be_asked_for(base: str) -> None:
    url, size = f"{base}/crate.zip", len(CONTENT)
    middle = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=30)
    assert (middle.status_code, middle.content) == (206, CONTENT[10:20])
    assert middle.headers["Content-Range"] == f"bytes 10-19/{size}"
    assert requests.get(url, headers={"Range": "bytes=-5"}, timeout=30).content == CONTENT[-5:]
    beyond = requests.get(url, headers={"Range": f"bytes={size}-"}, timeout=30)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    stale = requests.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'}, timeout=30)
    assert (stale.status_code, stale.content) == (200, CONTENT)


def test_a_zip_that_the_reader_has_is_not_sent_again(base: str) -> None:
    etag = requests.head(f"{base}/crate.zip", timeout=30).headers["ETag"]
    again = requests.get(f"{base}/crate.zip", headers={"If-None-Match": etag}, timeout=30)
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.html", "application/octet-stream"),
        ("plots/map.png", "image/png"),
        ('ö "x".txt', "application/octet-stream"),
    ],
)
def test_a_member_is_an_attachment_that_no_browser_runs(base: str, name: str, kind: str) -> None:
    answer = requests.get(f"{base}/files/{quote(name)}", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    if kind == "image/png":
        assert answer.content == PICTURE


def test_descriptions_lead_back_to_the_page(base: str) -> None:
    for name in ("ro-crate-metadata.json", "datacite.json"):
        answer = requests.get(f"{base}/{name}", timeout=30)
        assert answer.json()
        assert f'<{base}>; rel="describes"' in answer.headers["Link"]


def test_a_crate_without_a_replay_has_no_report(served: ServedArchive, base: str, deposit: Deposit) -> None:
    assert requests.get(f"{base}/report.json", timeout=30).status_code == 404
    served.archive.storage.keep(deposit.did, {"report.json": b'{"verdicts": []}'}, "replay")
    assert requests.get(f"{base}/report.json", timeout=30).json() == {"verdicts": []}
    assert requests.get(f"{base}/crate.zip", timeout=30).content == CONTENT


def test_a_notebook_is_served_as_it_came(served: ServedArchive) -> None:
    deposit = served.deposit(kind=Kind.NOTEBOOK, filename="n.ipynb", content=b'{"nbformat": 4}')
    base = f"{served.url}/crates/{deposit.name}/v1"
    assert requests.get(f"{base}/notebook.ipynb", timeout=30).content == b'{"nbformat": 4}'
    for name in ("crate.zip", "files/n.ipynb", "ro-crate-metadata.json"):
        assert requests.get(f"{base}/{name}", timeout=30).status_code == 404, name


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 5)),
        ("bytes=5-99", (5, 5)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("bytes=5-4", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 30 + "-", None),
        ("", None),
    ],
)
def test_a_range_is_understood_or_means_the_whole(header: str, expected: tuple[int, int] | None) -> None:
    assert part(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=-0"])
def test_a_range_outside_of_the_file_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        part(header, 10)
