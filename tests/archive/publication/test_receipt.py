"""Receipts: they fit their schema and their signature holds."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, KeySet

from archived import a_deposit
from casaprov.archive.deposits import Deposit, State, Verdict, VerdictSummary
from casaprov.archive.publication.receipt import make_receipts, public_keys, signing_key
from casaprov.archive.settings import Settings
from casaprov.errors import Issue
from casaprov.records.schema import validate_record

AT = datetime(2026, 5, 2, tzinfo=UTC)


def _published() -> Deposit:
    verdict = Verdict(at=AT, summary=VerdictSummary.VERIFIED, casa="6.7.0.31", counts={"same-content": 25})
    return replace(a_deposit(), state=State.PUBLISHED, published_at=AT, verdicts=(verdict,))


@pytest.mark.parametrize(
    "deposit",
    [
        a_deposit(),
        a_deposit(state=State.REJECTED, issues=(Issue("a/b", "It is damaged."),), reason="damaged"),
        a_deposit(state=State.EMBARGOED, public_from=AT),
        a_deposit(state=State.WITHDRAWN, published_at=AT),
        _published(),
    ],
    ids=lambda deposit: deposit.state.value,
)
def test_a_receipt_fits_its_schema_and_its_signature_holds(deposit: Deposit, tmp_path: Path) -> None:
    receipt = make_receipts(Settings(root=tmp_path))(deposit)
    validate_record(receipt, "receipt-1")
    keys = KeySet.import_key_set(public_keys(tmp_path / "keys"))
    signed = jws.deserialize_compact(receipt.pop("jws"), keys, algorithms=["ES256"])
    assert json.loads(signed.payload or b"") == receipt


def test_links_name_only_what_is_there(tmp_path: Path) -> None:
    receipts = make_receipts(Settings(root=tmp_path, url="https://archive.example"))
    assert set(receipts(a_deposit())["links"]) == {"self", "keys"}
    published = receipts(_published())["links"]
    assert published["page"] == "https://archive.example/crates/N14C3-0001/v1"
    assert published["content"] == "https://archive.example/crates/N14C3-0001/v1/crate.zip"
    assert published["report"].endswith("/report.json")


def test_a_receipt_of_another_archive_is_known_as_such(tmp_path: Path) -> None:
    receipt = make_receipts(Settings(root=tmp_path / "a"))(a_deposit())
    other = ECKey.import_key(signing_key(tmp_path / "b").as_dict(private=False))
    with pytest.raises(BadSignatureError):
        jws.deserialize_compact(receipt["jws"], other, algorithms=["ES256"])


def test_processes_that_start_together_share_one_private_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(signing_key, [tmp_path / "keys"] * 8))
    assert len({key.kid for key in keys}) == 1
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "d" not in public_keys(tmp_path / "keys")["keys"][0]
