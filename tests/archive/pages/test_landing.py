"""Landing pages, tombstones and the list of crates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests

from casaprov.archive.deposits import Kind, State, Verdict, VerdictSummary
from served_archive import ServedArchive, a_zip, serving

AT = datetime(2026, 5, 2, tzinfo=UTC)
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedArchive]:
    with serving(tmp_path_factory.mktemp("archive")) as archive:
        yield archive


def test_a_page_shows_verdicts_preview_citation_and_files(served: ServedArchive) -> None:
    verdicts = (
        Verdict(
            at=AT, summary=VerdictSummary.DIFFERS, casa="6.7.5.18", counts={"differs": 1}, note="flux.cal differs."
        ),
        Verdict(at=AT, summary=VerdictSummary.VERIFIED, casa="6.7.0.31", counts={"same-content": 25}),
    )
    creators = ({"name": "Lovelace, Ada", "orcid": "0000-0002-1825-0097"},)
    deposit = served.deposit(verdicts=verdicts, creators=creators, description="Calibrated and imaged.")
    answer = requests.get(f"{served.url}/crates/{deposit.name}/v1", timeout=30)
    assert answer.status_code == 200
    page = answer.text
    assert page.index("6.7.0.31") < page.index("6.7.5.18")  # the newest first
    for shown in ("25 same-content", "Verified:", "Calibrated and imaged.", "plots/map.png", deposit.did):
        assert shown in page
    assert f"Lovelace, Ada ({deposit.published_at:%Y}): NGC 5921 in H I. Version 1." in page
    assert 'href="https://orcid.org/0000-0002-1825-0097"' in page
    assert requests.get(f"{served.url}/crates/{deposit.name}", timeout=30).text == page


def test_a_bare_notebook_says_why_it_cannot_be_replayed(served: ServedArchive) -> None:
    deposit = served.deposit(kind=Kind.NOTEBOOK, filename="n14c3.ipynb")
    page = requests.get(f"{served.url}/crates/{deposit.name}", timeout=30).text
    assert "bare notebook" in page
    assert "notebook.ipynb" in page
    assert "crate.zip" not in page


def test_text_of_a_deposit_is_text_and_never_script(served: ServedArchive) -> None:
    deposit = served.deposit(
        title=EVIL,
        description=EVIL,
        filename=f"{EVIL}.zip",
        creators=({"name": EVIL},),
        content=a_zip(**{f"{EVIL}.png": b"", "</a><script>alert(1)</script>.txt": b""}),
        about={"notebook": "ngc5921.ipynb", "inputs": [{"path": EVIL, "did": EVIL}], "casa": EVIL, "calls": 1},
    )
    for address in (f"/crates/{deposit.name}", "/crates/" + deposit.name + "/v1"):
        answer = requests.get(served.url + address, timeout=30)
        assert "<img src=x" not in answer.text
        assert "<script" not in answer.text
        assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "script" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    served.withdraw(deposit, reason=EVIL)
    assert "<img src=x" not in requests.get(f"{served.url}/crates/{deposit.name}", timeout=30).text


def test_versions_lead_to_each_other_and_the_newest_is_shown_first(served: ServedArchive) -> None:
    first = served.deposit()
    second = served.deposit(new_version_of=first.name, content=a_zip(new=b"2"), title="The second")
    assert (second.name, second.version) == (first.name, 2)
    assert "The second" in requests.get(f"{served.url}/crates/{first.name}", timeout=30).text
    old = requests.get(f"{served.url}/crates/{first.name}/v1", timeout=30).text
    assert "newer version" in old
    assert f'href="/crates/{first.name}/v2"' in old
    served.withdraw(second)
    assert requests.get(f"{served.url}/crates/{first.name}", timeout=30).status_code == 200
    assert "newer version" not in requests.get(f"{served.url}/crates/{first.name}/v1", timeout=30).text


def test_what_was_withdrawn_leaves_a_tombstone_with_its_reason(served: ServedArchive) -> None:
    deposit = served.deposit(State.WITHDRAWN)
    page = requests.get(f"{served.url}/crates/{deposit.name}", timeout=30)
    assert page.status_code == 410
    assert "A flux was wrong." in page.text
    assert deposit.did in page.text
    assert "Link" not in page.headers
    for name in ("crate.zip", "ro-crate-metadata.json", "datacite.json", "linkset.json", "files/ngc5921.ipynb"):
        answer = requests.get(f"{served.url}/crates/{deposit.name}/v1/{name}", timeout=30)
        assert answer.status_code == 410, name
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "NONE-0001",
        "N14C3-0099",
        "N14C3-0001/v9",
        "%00-0001",
        "N14C3-999999999",
        "N14C3-0001/v1/files/../../x",
        "a%ffb-0001",
    ],
)
def test_what_is_not_there_is_404(served: ServedArchive, path: str) -> None:
    answer = requests.get(f"{served.url}/crates/{path}", timeout=30)
    assert answer.status_code in (400, 404)
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_head_answers_as_get_without_a_body(served: ServedArchive) -> None:
    deposit = served.deposit()
    base = f"/crates/{deposit.name}/v1"
    for path in (
        base,
        "/archive.css",
        *(f"{base}/{name}" for name in ("crate.zip", "datacite.json", "files/plots/map.png")),
    ):
        whole = requests.get(served.url + path, timeout=30)
        head = requests.head(served.url + path, timeout=30)
        assert head.status_code == whole.status_code == 200, path
        assert head.content == b""
        assert int(head.headers["Content-Length"]) == len(whole.content), path
