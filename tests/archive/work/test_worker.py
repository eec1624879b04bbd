"""Work on deposits: leases, retries, embargo, versions, verdicts; a kill at any step loses nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from archived import CRATE, Served, served
from casaprov.archive.app.serving import mend
from casaprov.archive.deposits import Deposit, State, Verdict, VerdictSummary
from casaprov.archive.publication.git.repositories import Repositories
from casaprov.archive.settings import LimitSettings, PolicySettings, ReplaySettings
from casaprov.archive.tables.jobs import MAX_TRIES, Jobs, Queue, Work
from casaprov.archive.work.replaying import Replayed
from casaprov.archive.work.worker import Worker

AT = datetime(2026, 5, 1, tzinfo=UTC)


def crate(number: int = 0) -> bytes:
    """Return the example's crate with other bytes: the comment of a zip is no part of its content."""
    data = io.BytesIO(CRATE.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.comment = f"{number}".encode()
    return data.getvalue()


def a_verdict(summary: VerdictSummary) -> Callable[..., Replayed]:
    """Return a replay with this verdict; real ones are in tests/scenarios."""

    def run(path: Path, on_wait: Callable[[], bool]) -> Replayed:
        verdict = Verdict(at=AT, summary=summary, casa="6.7", counts={"identical": 1}, note="a.ms: differs")
        return Replayed(verdict=verdict, report={"verdict": summary.value})

    return run


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Served]:
    limits = LimitSettings(keep_free=0)
    with served(tmp_path, limits=limits, replay=ReplaySettings()) as running:
        yield running


def expire(archive: Served) -> None:
    """Let time pass, for the worker: its leases run out."""
    clock = archive.parts.repository.clock
    archive.parts.repository.clock = lambda: clock() + timedelta(hours=1)


def test_a_check_waits_for_no_replay(archive: Served) -> None:
    first = archive.deposit(crate(1))
    archive.work()
    jobs = Jobs(archive.parts.repository)
    replaying = jobs.take(Queue.REPLAYS, "busy")
    assert replaying is not None
    second = archive.deposit(crate(2))
    archive.work()
    assert (archive.state(first).state, archive.state(second).state) == (State.REPLAYING, State.WAITING)


def test_a_dead_workers_deposit_is_taken_after_its_lease_and_given_up_in_the_end(archive: Served) -> None:
    receipt = archive.deposit(crate())
    jobs = Jobs(archive.parts.repository)
    for attempt in range(MAX_TRIES):
        job = jobs.take(Queue.CHECKS, f"dead {attempt}")
        assert job is not None
        assert jobs.take(Queue.CHECKS, "other") is None  # the lease holds
        expire(archive)
        assert archive.state(receipt).state is State.CHECKING
    job = jobs.take(Queue.CHECKS, "last")
    assert job is not None
    assert job.work is Work.RETRACT  # the dead ones may have shown it somewhere
    deposit = archive.state(receipt)
    assert (deposit.state, deposit.reason) == (State.HELD, "given up after 3 attempts")
    log = archive.archive.repository.changes_of(deposit.id)
    assert [c.actor for c in log][1:] == ["dead 0", "dead 1", "dead 2", "last", "last"]
    assert jobs.done(job)
    assert jobs.take(Queue.CHECKS, "next") is None


def test_a_check_that_was_given_up_can_be_asked_for_again(archive: Served) -> None:
    receipt = archive.deposit(crate())
    jobs = Jobs(archive.parts.repository)
    for attempt in range(MAX_TRIES):
        assert jobs.take(Queue.CHECKS, f"dead {attempt}") is not None
        expire(archive)
    archive.work()
    assert archive.state(receipt).state is State.HELD
    mend(archive.archive)  # a start of the archive leaves its file alone
    assert archive.spooled() == [receipt["id"]]
    assert act(archive, f"/api/deposits/{receipt['id']}/accept", "cur") == 409
    assert act(archive, f"/api/deposits/{receipt['id']}/replay", "ada") == 202
    archive.work()
    assert archive.state(receipt).state is State.WAITING
    assert archive.spooled() == []


def test_what_git_shows_of_a_deposit_that_is_given_up_is_taken_back_until_it_is_accepted(archive: Served) -> None:
    receipt = archive.deposit(crate())
    archive.work()
    (git,) = archive.parts.publications
    assert isinstance(git, Repositories)
    jobs = Jobs(archive.parts.repository)
    for attempt in range(MAX_TRIES):
        job = jobs.take(Queue.REPLAYS, f"dead {attempt}")
        assert job is not None
        git.prepare(job.deposit, archive.archive.storage.path(job.deposit.did, "crate.zip"))
        expire(archive)
    contents = "/api/v1/repos/EVN/N14C3/contents"
    assert len(archive.get(contents).json()) == 1
    archive.work(Queue.REPLAYS)
    archive.work()
    assert archive.state(receipt).state is State.HELD
    assert archive.get(contents).json() == []
    assert act(archive, f"/api/deposits/{receipt['id']}/accept", "cur") == 202
    archive.work()
    assert archive.state(receipt).state is State.PUBLISHED
    assert len(archive.get(contents).json()) == 1


def test_a_worker_that_lost_its_lease_changes_nothing(archive: Served) -> None:
    receipt = archive.deposit(crate())
    jobs = Jobs(archive.parts.repository)
    slow = jobs.take(Queue.CHECKS, "slow")
    assert slow is not None
    expire(archive)
    archive.work()
    assert archive.state(receipt).state is State.WAITING
    assert not jobs.renew(slow)
    assert not jobs.done(slow)


@pytest.mark.parametrize(
    ("publish", "summary", "state"),
    [
        ("checked", VerdictSummary.VERIFIED, State.PUBLISHED),
        ("checked", VerdictSummary.DIFFERS, State.PUBLISHED),
        ("checked", VerdictSummary.NOT_REPLAYED, State.PUBLISHED),
        ("verified", VerdictSummary.VERIFIED, State.PUBLISHED),
        ("verified", VerdictSummary.DIFFERS, State.HELD),
        ("verified", VerdictSummary.NOT_REPLAYED, State.HELD),
    ],
)
def test_what_follows_from_a_verdict_is_the_operators_choice(
    publish: str, summary: VerdictSummary, state: State, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"policy": PolicySettings(publish=publish), "limits": LimitSettings(keep_free=0)}
    with served(tmp_path, replay=ReplaySettings(), **settings) as archive:
        receipt = archive.deposit(crate())
        archive.work()
        archive.work(Queue.REPLAYS, replayer=a_verdict(summary))
        deposit = archive.state(receipt)
        assert deposit.state is state
        assert [v.summary for v in deposit.verdicts] == [summary]
        assert archive.archive.storage.names(deposit.did) == ("crate.zip", "report.json")
        if state is State.HELD:
            assert deposit.reason == "a.ms: differs"
            accept = f"/api/deposits/{deposit.id}/accept"
            assert act(archive, accept, "ada") == 403
            assert act(archive, accept, "cur") == 202
            archive.work()
            assert archive.state(receipt).state is State.PUBLISHED


def act(archive: Served, path: str, token: str) -> int:
    import requests

    from archived import bearer

    return requests.post(archive.url + path, headers=bearer(token), timeout=60).status_code


def test_an_embargoed_crate_is_published_when_its_time_has_come(archive: Served) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=30)
    receipt = archive.deposit(crate(), public_from=soon.isoformat())
    archive.work()
    archive.work(Queue.REPLAYS, replayer=a_verdict(VerdictSummary.VERIFIED))
    archive.work()
    assert archive.state(receipt).state is State.EMBARGOED
    expire(archive)
    archive.work()
    deposit = archive.state(receipt)
    assert deposit.state is State.PUBLISHED
    assert deposit.replay_due is not None


def test_a_published_crate_is_replayed_again_and_its_verdicts_are_a_history(archive: Served) -> None:
    receipt = archive.deposit(crate())
    archive.work()
    archive.work(Queue.REPLAYS, replayer=a_verdict(VerdictSummary.VERIFIED))
    assert archive.archive.repository.make_due("6.7") == 0
    assert archive.archive.repository.make_due("6.8") == 1
    archive.work(Queue.REPLAYS, replayer=a_verdict(VerdictSummary.DIFFERS))
    deposit = archive.state(receipt)
    assert (deposit.state, [v.summary.value for v in deposit.verdicts]) == (State.PUBLISHED, ["verified", "differs"])
    assert "casaprov_archive_crates_changed_verdict 1" in archive.get("/metrics").text
    assert act(archive, f"/api/deposits/{deposit.id}/replay", "ada") == 202
    archive.work(Queue.REPLAYS, replayer=a_verdict(VerdictSummary.VERIFIED))
    assert len(archive.state(receipt).verdicts) == 3


def test_a_new_version_is_published_beside_the_old_one(archive: Served) -> None:
    first = archive.deposit(crate(1))
    second = archive.deposit(crate(2), new_version_of=first["name"])
    assert (second["name"], second["version"]) == (first["name"], 2)
    archive.work()
    archive.work(Queue.REPLAYS, replayer=a_verdict(VerdictSummary.VERIFIED))
    assert [d.state for d in archive.archive.repository.versions("N14C3", 1)] == [State.PUBLISHED] * 2
    assert archive.archive.storage.validate() == []


class Killed(BaseException):
    """Stands for SIGKILL at a step."""


class Place:
    """A place of publication that counts, and that a kill may meet."""

    def __init__(self, kill_at: str) -> None:
        self.kill_at = kill_at
        self.prepared: set[str] = set()
        self.recorded: list[str] = []
        self.withdrawn: list[str] = []

    def _step(self, name: str) -> None:
        if self.kill_at == name:
            self.kill_at = ""
            raise Killed

    def prepare(self, deposit: Deposit, content: Path) -> None:
        self._step("before prepare")
        self.prepared.add(deposit.did)
        assert content.is_file()
        assert deposit.title
        self._step("after prepare")

    def record(self, connection: Connection, deposit: Deposit) -> None:
        assert deposit.state is State.PUBLISHED
        self._step("record")
        self.recorded.append(deposit.did)

    def withdraw(self, deposit: Deposit) -> None:
        self._step("withdraw")
        self.withdrawn.append(deposit.did)


@pytest.mark.parametrize("kill_at", ["before prepare", "after prepare", "record", "withdraw"])
def test_a_kill_while_publishing_publishes_once(kill_at: str, archive: Served) -> None:
    place = Place(kill_at)
    parts = replace(
        archive.parts,
        publications=(place,),
        settings=replace(archive.parts.settings, replay=ReplaySettings(enabled=False)),
    )
    receipt = archive.deposit(crate())

    def work() -> None:
        worker = Worker(parts, Queue.CHECKS)
        while worker.work():
            pass

    if kill_at != "withdraw":
        with pytest.raises(Killed):
            work()
        assert archive.state(receipt).state is State.CHECKING
        expire(archive)
    work()
    deposit = archive.state(receipt)
    assert (deposit.state, place.recorded) == (State.PUBLISHED, [deposit.did])
    assert archive.spooled() == []
    archive.archive.repository.change(
        deposit, State.WITHDRAWN, actor="ada", reason="wrong", lease_until=archive.archive.repository.clock()
    )
    expire(archive)
    if kill_at == "withdraw":
        with pytest.raises(Killed):
            work()
        expire(archive)
    work()
    assert place.withdrawn == [deposit.did]
    assert archive.archive.storage.validate() == []


def test_the_proprietary_period_of_an_observation_hides_a_crate() -> None:
    from casaprov.archive.work.checking import proprietary_until

    # MJD 60310.0 is 2024-01-01
    assert proprietary_until(60310.0, 12) == datetime(2025, 1, 1, tzinfo=UTC)
    assert proprietary_until(60310.0 + 30, 1) == datetime(2024, 2, 29, tzinfo=UTC)  # the 31st of January
