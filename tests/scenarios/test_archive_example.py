"""The project's example in the archive: deposited, replayed by CASA, published, and served byte for byte."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
import requests

from archived import CRATE, served
from casaprov.archive.deposits import State, VerdictSummary
from casaprov.archive.settings import LimitSettings, ReplaySettings
from casaprov.archive.tables.jobs import Queue

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long, pytest.mark.usefixtures("casa_site_config")]


def test_the_example_is_published_with_the_same_content_and_served_as_it_came(tmp_path: Path) -> None:
    deposited = CRATE.read_bytes()
    digest = hashlib.sha256(deposited)
    with served(tmp_path, limits=LimitSettings(keep_free=0), replay=ReplaySettings(data=(str(tmp_path),))) as archive:
        receipt = archive.deposit(CRATE)
        assert receipt["sha256"] == f"sha256:{digest.hexdigest()}"
        archive.work()
        archive.work(Queue.REPLAYS)
        deposit = archive.state(receipt)
        assert deposit.state is State.PUBLISHED
        (verdict,) = deposit.verdicts
        assert (verdict.summary, verdict.note) == (VerdictSummary.VERIFIED, "")
        assert verdict.casa
        assert set(verdict.counts) <= {"identical", "same-content"}
        assert sum(verdict.counts.values()) == len(
            {p["path"] for p in archive.get(f"/crates/{deposit.name}/v1/report.json").json()["products"] if p["final"]}
        )
        base = f"/crates/{deposit.name}/v1"
        whole = archive.get(f"{base}/crate.zip")
        assert whole.content == deposited
        assert whole.headers["ETag"] == f'"{digest.hexdigest()}"'
        assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        middle = len(deposited) // 2
        halves = [f"bytes=0-{middle - 1}", f"bytes={middle}-"]
        url = f"{archive.url}{base}/crate.zip"
        parts = [requests.get(url, headers={"Range": half}, timeout=60) for half in halves]
        assert b"".join(part.content for part in parts) == deposited
        shown = archive.get(f"/crates/{deposit.name}").text
        assert f"{sum(verdict.counts.values())} same-content" in shown
        for path in (base, f"{base}/report.json", f"/api/deposits/{deposit.id}"):
            assert str(tmp_path) not in archive.get(path).text, path
        assert list(archive.archive.settings.work.rglob("replay-*")) == []
        assert archive.archive.storage.validate() == []
