"""The client: deposits that go on after a break, sentences for refusals, tokens that are kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from archived import CRATE, Served, served
from casaprov.archive import client as client_module
from casaprov.archive.client import ArchiveClient, ArchiveError, Refused
from casaprov.archive.settings import LimitSettings
from casaprov.cli.commands import main


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("archive"), limits=LimitSettings(keep_free=0)) as running:
        yield running


def test_an_interrupted_submission_goes_on_where_it_ended(
    archive: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_PIECE", 100_000)
    seen: list[int] = []

    def interrupt(done: int, size: int) -> None:
        seen.append(done)
        if done == 200_000 and seen.count(done) == 1:
            raise KeyboardInterrupt

    memory = tmp_path / "uploads.json"
    with pytest.raises(KeyboardInterrupt):
        ArchiveClient(archive.url, "ada", memory=memory).submit(CRATE, obs_id="N14C3", on_progress=interrupt)
    receipt = ArchiveClient(archive.url, "ada", memory=memory).submit(CRATE, obs_id="N14C3", on_progress=interrupt)
    assert seen == [0, 100_000, 200_000, 200_000, CRATE.stat().st_size]
    archive.work()
    assert archive.state(receipt).state == "published"
    assert json.loads(memory.read_text()) == {}
    assert "ada" not in memory.read_text()


def test_a_refusal_and_an_archive_that_is_away_are_said(archive: Served, tmp_path: Path) -> None:
    memory = tmp_path / "uploads.json"
    with pytest.raises(Refused, match="401: This token is not valid") as caught:
        ArchiveClient(archive.url, "wrong", memory=memory).submit(CRATE, obs_id="N14C3")
    assert caught.value.status == 401
    with pytest.raises(Refused, match="422: obs_id: "):
        ArchiveClient(archive.url, "ada", memory=memory).submit(CRATE, obs_id="../x")
    with pytest.raises(ArchiveError, match="cannot be reached"):
        ArchiveClient("http://127.0.0.1:1", "ada", memory=memory, patience_s=0).listed()


def test_the_commands_submit_show_and_withdraw(
    archive: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CASAPROV_ARCHIVE", archive.url)
    monkeypatch.setenv("CASAPROV_ARCHIVE_TOKEN", "ada")
    assert main(["archive", "submit", str(CRATE), "--obs-id", "N15", "--description", "by hand", "--json"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    archive.work()
    assert main(["archive", "status", receipt["id"]]) == 0
    assert "published" in capsys.readouterr().out
    assert main(["archive", "withdraw", receipt["id"], "--reason", "wrong field"]) == 0
    assert "wrong field" in capsys.readouterr().out
    assert main(["archive", "status"]) == 0
    assert "withdrawn" in capsys.readouterr().out
    assert main(["archive", "status", "0123"]) == 3
    (tmp_path / "bad.zip").write_bytes(CRATE.read_bytes()[:1000])
    assert main(["archive", "submit", str(tmp_path / "bad.zip"), "--obs-id", "N15"]) == 1
    assert "was not sent" in capsys.readouterr().err
