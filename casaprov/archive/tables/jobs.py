"""The queue: rows of deposits that a worker may take, with leases.

There is no second truth beside the state. A worker takes a deposit by an UPDATE that names the state and the attempt
that it saw, so that one of many succeeds; it renews its lease while it lives. A lease that ran out is that of a dead
worker, and the deposit is taken again; after :data:`MAX_TRIES` it is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, or_, select, update

from casaprov.archive.deposits import Deposit, State
from casaprov.archive.tables.engine import reading, writing
from casaprov.archive.tables.repository import Repository, deposit_of
from casaprov.archive.tables.schema import deposits

__all__ = ["MAX_TRIES", "Job", "Jobs", "Queue", "Work"]

MAX_TRIES = 3
_RETRY = timedelta(days=1)


class Queue(StrEnum):
    """Queues, with workers of their own: a check does not wait behind a replay."""

    CHECKS = "checks"
    REPLAYS = "replays"


class Work(StrEnum):
    """Work to be done on a deposit."""

    CHECK = "check"
    PUBLISH = "publish"
    REPLAY = "replay"
    REPEAT = "repeat"
    RETRACT = "retract"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A deposit that a worker has taken, as its row is now."""

    work: Work
    deposit: Deposit


class Jobs:
    """Takes deposits from their rows."""

    def __init__(self, repository: Repository, *, lease_s: float = 60.0) -> None:
        self._repository = repository
        self.lease = timedelta(seconds=lease_s)

    def take(self, queue: Queue, worker: str) -> Job | None:
        """Take the oldest deposit that waits in a queue, or None."""
        while True:
            at = self._repository.clock()
            with reading(self._repository.engine) as connection:
                row = connection.execute(_waiting(queue, at)).first()
            if row is None:
                return None
            if (job := self._taken(row, queue, worker, at)) is not None:
                return job

    def _taken(self, row: Row[Any], queue: Queue, worker: str, at: datetime) -> Job | None:
        """Take one row; None if another worker was faster, or it was taken too often."""
        r = row._mapping  # noqa: SLF001  # public, in spite of its name
        before = State(r["state"])
        work = _WORK[queue, before]
        after = {Work.CHECK: State.CHECKING, Work.REPLAY: State.REPLAYING}.get(work, before)
        tries = r["tries"] + 1 if before is after else 1
        values: dict[str, Any] = {
            "state": after.value,
            "attempt": r["attempt"] + 1,
            "tries": tries,
            "worker": worker,
            "lease_until": at + self.lease,
        }
        reason = "taken" if tries == 1 else "taken again: its worker died"
        if tries > MAX_TRIES:
            reason = f"given up after {MAX_TRIES} attempts"
            values |= {"worker": None, "lease_until": None, "tries": 0}
            match work:
                case Work.CHECK | Work.REPLAY:
                    # A worker may have died between a place that shows the deposit and the row: it is taken back there.
                    after = State.HELD
                    values |= {"state": after.value, "modified_at": at, "reason": reason, "lease_until": at}
                case Work.PUBLISH | Work.RETRACT:
                    values |= {"lease_until": at + _RETRY}
                case Work.REPEAT:
                    values |= {"replay_due": at + _RETRY}
        with writing(self._repository.engine) as connection:
            changed = connection.execute(
                update(deposits).where(_seen(r["id"], before, r["attempt"])).values(values).returning(*deposits.c)
            ).first()
            if changed is None:
                return None
            self._repository.log(connection, r["id"], before, after, r["attempt"] + 1, worker, reason)
        return None if tries > MAX_TRIES else Job(work=work, deposit=deposit_of(changed))

    def renew(self, job: Job) -> bool:
        """Prolong the lease of a job; False if it is not this worker's any longer."""
        deposit = job.deposit
        with writing(self._repository.engine) as connection:
            return self._set_lease(connection, deposit, self._repository.clock() + self.lease)

    def put_back(self, job: Job, delay: timedelta) -> bool:
        """Give a job back that failed for a reason of the archive's own; it is taken again after `delay`."""
        with writing(self._repository.engine) as connection:
            return self._set_lease(connection, job.deposit, self._repository.clock() + delay)

    def done(self, job: Job) -> bool:
        """End a job that left the state as it was."""
        with writing(self._repository.engine) as connection:
            return self._set_lease(connection, job.deposit, None)

    @staticmethod
    def _set_lease(connection: Connection, deposit: Deposit, until: datetime | None) -> bool:
        seen = _seen(deposit.id, deposit.state, deposit.attempt)
        return connection.execute(update(deposits).where(seen).values(lease_until=until)).rowcount == 1


_WORK = {
    (Queue.CHECKS, State.RECEIVED): Work.CHECK,
    (Queue.CHECKS, State.CHECKING): Work.CHECK,
    (Queue.CHECKS, State.EMBARGOED): Work.PUBLISH,
    (Queue.CHECKS, State.HELD): Work.RETRACT,
    (Queue.CHECKS, State.WITHDRAWN): Work.RETRACT,
    (Queue.REPLAYS, State.WAITING): Work.REPLAY,
    (Queue.REPLAYS, State.REPLAYING): Work.REPLAY,
    (Queue.REPLAYS, State.PUBLISHED): Work.REPEAT,
}


def _seen(deposit_id: str, state: State, attempt: int) -> Any:
    d = deposits.c
    return and_(d.id == deposit_id, d.state == state.value, d.attempt == attempt)


def _waiting(queue: Queue, at: datetime) -> Any:
    """Return the query for the next deposit of a queue."""
    d = deposits.c
    free = or_(d.lease_until.is_(None), d.lease_until < at)
    if queue is Queue.CHECKS:
        due = or_(
            d.state == State.RECEIVED.value,
            and_(d.state == State.CHECKING.value, d.lease_until < at),
            and_(d.state == State.EMBARGOED.value, d.public_from <= at, free),
            and_(d.state.in_([State.HELD.value, State.WITHDRAWN.value]), d.lease_until < at),
        )
        return select(deposits).where(due).order_by(d.received_at, d.id).limit(1)
    due = or_(
        d.state == State.WAITING.value,
        and_(d.state == State.REPLAYING.value, d.lease_until < at),
        and_(d.state == State.PUBLISHED.value, d.replay_due <= at, free),
    )
    # What is new comes before what is replayed again.
    return select(deposits).where(due).order_by(d.published_at.is_not(None), d.received_at, d.id).limit(1)
