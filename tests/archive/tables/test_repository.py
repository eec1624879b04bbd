"""Rows of deposits: numbers without gaps, changes of state that only one caller makes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from archived import OWNER, STRANGER, a_new_deposit
from casaprov.archive.deposits import Person, State, Verdict, VerdictSummary
from casaprov.archive.tables.engine import open_engine, reading
from casaprov.archive.tables.repository import NotOwner, QuotaExceeded, Repository, UnknownCrate, WrongState
from casaprov.archive.tables.schema import METADATA
from casaprov.errors import Issue
from postgresql import a_database

BOTH = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    kind = getattr(request, "param", "sqlite")
    url = f"sqlite:///{tmp_path}/archive.sqlite" if kind == "sqlite" else a_database(request)
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def repository(engine: Engine) -> Repository:
    return Repository(engine, "ivo://jive.eu/~?crate/")


@BOTH
def test_the_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


@BOTH
def test_fifty_at_once_are_numbered_from_one_to_fifty(repository: Repository) -> None:
    with ThreadPoolExecutor(50) as threads:
        taken = list(threads.map(lambda _: repository.receive(a_new_deposit()), range(50)))
    assert sorted(deposit.number for deposit, _ in taken) == list(range(1, 51))
    assert {deposit.version for deposit, _ in taken} == {1}


@BOTH
def test_the_same_deposit_at_once_is_one(repository: Repository) -> None:
    new = a_new_deposit()
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda n: repository.receive(a_new_deposit(sha256=new.sha256)), range(8)))
    assert len({deposit.id for deposit, _ in taken}) == 1
    assert [is_new for _, is_new in taken].count(True) == 1
    assert repository.receive(a_new_deposit())[0].number == 2  # no number was lost


@BOTH
def test_only_one_of_many_changes_a_state(repository: Repository) -> None:
    deposit, _ = repository.receive(a_new_deposit())

    def take(number: int) -> bool:
        try:
            repository.change(deposit, State.CHECKING, actor=f"worker {number}", reason="taken")
        except WrongState:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(take, range(8))).count(True) == 1
    assert [(c.before, c.after) for c in repository.changes_of(deposit.id)] == [
        ("", "received"),
        ("received", "checking"),
    ]


def test_a_state_cannot_be_skipped(repository: Repository) -> None:
    deposit, _ = repository.receive(a_new_deposit())
    with pytest.raises(WrongState, match="received cannot become published"):
        repository.change(deposit, State.PUBLISHED, actor="worker", reason="")


@BOTH
def test_a_deposit_is_read_as_it_was_written(repository: Repository) -> None:
    deposit, _ = repository.receive(a_new_deposit(public_from=datetime(2027, 1, 1, tzinfo=UTC)))
    verdict = Verdict(at=datetime(2026, 5, 2, tzinfo=UTC), summary=VerdictSummary.VERIFIED, counts={"identical": 2})
    checking = repository.change(deposit, State.CHECKING, actor="worker", reason="taken")
    held = repository.change(
        checking, State.HELD, actor="worker", reason="", issues=(Issue("a", "b"),), verdicts=(verdict,), about={"x": 1}
    )
    assert repository.by_id(deposit.id) == held
    assert held.public_from == datetime(2027, 1, 1, tzinfo=UTC)
    assert (held.issues, held.verdicts, held.about) == ((Issue("a", "b"),), (verdict,), {"x": 1})


def test_a_new_version_is_its_owners(repository: Repository) -> None:
    first, _ = repository.receive(a_new_deposit())
    second, _ = repository.receive(a_new_deposit(new_version_of=first.name))
    assert (second.number, second.version, second.did) == (1, 2, "ivo://jive.eu/~?crate/N14C3-0001/v2")
    assert [d.version for d in repository.versions("N14C3", 1)] == [1, 2]
    with pytest.raises(UnknownCrate):  # to a stranger an unpublished crate is not there
        repository.receive(a_new_deposit(new_version_of=first.name, owner=STRANGER))
    with pytest.raises(UnknownCrate):
        repository.receive(a_new_deposit(new_version_of="N14C3-0009"))
    published(repository, second.id)
    with pytest.raises(NotOwner):
        repository.receive(a_new_deposit(new_version_of=first.name, owner=STRANGER))


def test_quotas_are_each_persons(repository: Repository) -> None:
    repository.receive(a_new_deposit(), quota_bytes=1500)
    with pytest.raises(QuotaExceeded, match="2000 bytes; your quota is 1500"):
        repository.receive(a_new_deposit(), quota_bytes=1500)
    with pytest.raises(QuotaExceeded, match="1 of your deposits"):
        repository.receive(a_new_deposit(), max_open=1)
    repository.receive(a_new_deposit(owner=STRANGER), quota_bytes=1500, max_open=1)


def published(repository: Repository, deposit_id: str) -> None:
    deposit = repository.by_id(deposit_id)
    assert deposit is not None
    for state in (State.CHECKING, State.PUBLISHED):
        deposit = repository.change(deposit, state, actor="worker", reason="")


@BOTH
def test_harvesters_see_each_published_deposit_once_and_its_withdrawal(repository: Repository) -> None:
    ids = [repository.receive(a_new_deposit())[0].id for _ in range(5)]
    for deposit_id in ids[:4]:
        published(repository, deposit_id)
    seen, after = [], None
    while page := repository.changed_since(after=after, limit=3):
        seen += [deposit.id for deposit in page]
        after = (page[-1].modified_at, page[-1].id)
    assert sorted(seen) == sorted(ids[:4])
    assert [d.id for d in repository.published()] == list(reversed(ids[:4]))
    assert repository.observations() == ("N14C3",)
    gone = repository.by_id(ids[0])
    assert gone is not None
    gone = repository.change(gone, State.WITHDRAWN, actor="ada", reason="wrong data")
    assert [d.id for d in repository.changed_since(since=gone.modified_at)] == [gone.id]
    assert repository.changed_since(since=gone.modified_at + timedelta(seconds=1)) == ()
    assert gone.published_at is not None


def test_lists_are_an_owners(repository: Repository) -> None:
    mine, _ = repository.receive(a_new_deposit())
    repository.receive(a_new_deposit(owner=STRANGER))
    other = Person(iss="https://other.example", sub=OWNER.sub)
    assert [d.id for d in repository.listed(owner=OWNER)] == [mine.id]
    assert repository.listed(owner=other) == ()
    assert len(repository.listed()) == 2
    assert repository.listed(owner=OWNER, state=State.HELD) == ()
