"""Queries about deposits: receiving one, reading them, changing their state.

Everything here is one short transaction, and safe from any thread or process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import cattrs
from sqlalchemy import Connection, Engine, Row, Select, and_, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from casaprov.archive.deposits import (
    Change,
    Deposit,
    Kind,
    NewDeposit,
    Person,
    State,
    Verdict,
    may_become,
)
from casaprov.archive.tables.engine import reading, writing
from casaprov.archive.tables.schema import changes, counters, deposits
from casaprov.errors import CasaprovError, Issue

__all__ = ["NotOwner", "QuotaExceeded", "Repository", "UnknownCrate", "WrongState"]


class WrongState(CasaprovError):
    """A deposit is not in the state that a change starts from."""


class QuotaExceeded(CasaprovError):
    """A person has deposited as much as one may."""


class UnknownCrate(CasaprovError):
    """There is no crate of this name that the person may see."""


class NotOwner(CasaprovError):
    """A new version was sent by somebody other than the owner."""


def now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


class Repository:
    """The deposits of an archive.

    Parameters
    ----------
    did_prefix
        Beginning of the identifiers that deposits are given.
    """

    def __init__(self, engine: Engine, did_prefix: str, clock: Callable[[], datetime] = now) -> None:
        self.engine = engine
        self.clock = clock
        self._did_prefix = did_prefix

    # Receiving

    def receive(
        self, new: NewDeposit, *, quota_bytes: int | None = None, max_open: int | None = None
    ) -> tuple[Deposit, bool]:
        """Insert a deposit, with the next number of its obs_id; return the one that is there if it came before.

        The second value is True if it is new.

        Raises
        ------
        QuotaExceeded, UnknownCrate, NotOwner
            If it cannot be taken.
        """
        try:
            return self._receive(new, quota_bytes, max_open)
        except IntegrityError:  # the same deposit was inserted by another request meanwhile
            return self._receive(new, quota_bytes, max_open)

    def _receive(self, new: NewDeposit, quota_bytes: int | None, max_open: int | None) -> tuple[Deposit, bool]:
        with writing(self.engine) as connection:
            d = deposits.c
            mine = and_(d.iss == new.owner.iss, d.sub == new.owner.sub)
            same = select(deposits).where(mine, d.obs_id == new.obs_id, d.sha256 == new.sha256)
            if row := connection.execute(same).first():
                return deposit_of(row), False
            self._check_quota(connection, new, mine, quota_bytes, max_open)
            number, version = self._numbers(connection, new)
            at = self.clock()
            name = f"{new.obs_id}-{number:04d}"
            values: dict[str, Any] = {
                "id": new.id,
                "kind": new.kind.value,
                "state": State.RECEIVED.value,
                "attempt": 0,
                "tries": 0,
                "iss": new.owner.iss,
                "sub": new.owner.sub,
                "owner_name": new.owner.name,
                "obs_id": new.obs_id,
                "number": number,
                "version": version,
                "did": f"{self._did_prefix}{name}/v{version}",
                "filename": new.filename,
                "sha256": new.sha256,
                "size_bytes": new.size_bytes,
                "description": new.description,
                "license": new.license,
                "title": "",
                "creators": [],
                "about": {},
                "issues": [],
                "verdicts": [],
                "doi": "",
                "reason": "",
                "received_at": at,
                "modified_at": at,
                "public_from": new.public_from,
            }
            connection.execute(insert(deposits).values(values))
            self.log(connection, new.id, "", State.RECEIVED, 0, actor_of(new.owner), "deposited")
            row = connection.execute(select(deposits).where(d.id == new.id)).one()
            return deposit_of(row), True

    @staticmethod
    def _check_quota(
        connection: Connection, new: NewDeposit, mine: Any, quota_bytes: int | None, max_open: int | None
    ) -> None:
        d = deposits.c
        if quota_bytes is not None:
            query = select(func.coalesce(func.sum(d.size_bytes), 0)).where(mine, d.state != State.REJECTED.value)
            used = connection.execute(query).scalar_one()
            if used + new.size_bytes > quota_bytes:
                raise QuotaExceeded(
                    f"With this deposit you would have deposited {used + new.size_bytes} bytes; your quota is"
                    f" {quota_bytes} bytes.",
                    hint="Ask the archive for more.",
                )
        if max_open is not None:
            open_states = [s.value for s in (State.RECEIVED, State.CHECKING, State.WAITING, State.REPLAYING)]
            query = select(func.count()).select_from(deposits).where(mine, d.state.in_(open_states))
            if connection.execute(query).scalar_one() >= max_open:
                raise QuotaExceeded(
                    f"{max_open} of your deposits are still being worked on; no more are taken meanwhile.",
                    hint="Try again later.",
                )

    def _numbers(self, connection: Connection, new: NewDeposit) -> tuple[int, int]:
        """Return number and version of a new deposit."""
        if not new.new_version_of:
            number = self._next(connection, f"number {new.obs_id}")
            return number, self._next(connection, f"version {new.obs_id}-{number:04d}")
        d = deposits.c
        obs_id, _, digits = new.new_version_of.rpartition("-")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0
        newest = select(deposits).where(d.obs_id == obs_id, d.number == number).order_by(d.version.desc()).limit(1)
        row = connection.execute(newest).first()
        before = deposit_of(row) if row else None
        if before is None or obs_id != new.obs_id:
            raise UnknownCrate(
                f"There is no crate {new.new_version_of} of {new.obs_id}.", hint="Check its name on its page."
            )
        if not new.owner.is_same(before.owner):
            if before.published_at is None:  # to others it is not there
                raise UnknownCrate(
                    f"There is no crate {new.new_version_of} of {new.obs_id}.", hint="Check its name on its page."
                )
            raise NotOwner(
                f"{new.new_version_of} was deposited by somebody else.", hint="Deposit yours as a new crate."
            )
        return number, self._next(connection, f"version {before.name}")

    @staticmethod
    def _next(connection: Connection, name: str) -> int:
        """Count up the row of a counter; others who count it wait until this transaction ends."""
        make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        counting = make(counters).values(name=name, last=1)
        counting = counting.on_conflict_do_update(index_elements=["name"], set_={"last": counters.c.last + 1})
        return int(connection.execute(counting.returning(counters.c.last)).scalar_one())

    # Reading

    def by_id(self, deposit_id: str) -> Deposit | None:
        """Return a deposit, or None."""
        found = self._select(select(deposits).where(deposits.c.id == deposit_id))
        return found[0] if found else None

    def by_did(self, did: str) -> Deposit | None:
        """Return the deposit that was given an identifier, or None; published or not."""
        found = self._select(select(deposits).where(deposits.c.did == did))
        return found[0] if found else None

    def same_as(self, owner: Person, obs_id: str, sha256: str) -> Deposit | None:
        """Return the deposit of the same bytes by the same owner for the same obs_id, or None."""
        d = deposits.c
        found = self._select(
            select(deposits).where(d.iss == owner.iss, d.sub == owner.sub, d.obs_id == obs_id, d.sha256 == sha256)
        )
        return found[0] if found else None

    def versions(self, obs_id: str, number: int) -> tuple[Deposit, ...]:
        """Return all versions of a crate in order, published or not."""
        d = deposits.c
        return self._select(select(deposits).where(d.obs_id == obs_id, d.number == number).order_by(d.version))

    def listed(
        self,
        *,
        owner: Person | None = None,
        state: State | None = None,
        obs_id: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> tuple[Deposit, ...]:
        """Return deposits, the newest first: those of an owner, or all."""
        d = deposits.c
        query = select(deposits).order_by(d.received_at.desc(), d.id).limit(limit).offset(offset)
        if owner is not None:
            query = query.where(d.iss == owner.iss, d.sub == owner.sub)
        if state is not None:
            query = query.where(d.state == state.value)
        if obs_id is not None:
            query = query.where(d.obs_id == obs_id)
        return self._select(query)

    def published(self, *, obs_id: str | None = None, limit: int = 1000, offset: int = 0) -> tuple[Deposit, ...]:
        """Return published deposits, the newest first."""
        d = deposits.c
        query = select(deposits).where(d.state == State.PUBLISHED.value)
        if obs_id is not None:
            query = query.where(d.obs_id == obs_id)
        return self._select(
            query.order_by(d.published_at.desc(), d.obs_id, d.number, d.version).limit(limit).offset(offset)
        )

    def observations(self) -> tuple[str, ...]:
        """Return the obs_id of all published deposits."""
        d = deposits.c
        query = select(d.obs_id).where(d.state == State.PUBLISHED.value).distinct().order_by(d.obs_id)
        with reading(self.engine) as connection:
            return tuple(connection.execute(query).scalars())

    def changed_since(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        after: tuple[datetime, str] | None = None,
        limit: int = 100,
    ) -> tuple[Deposit, ...]:
        """Return deposits that are or were public, in order of (modified_at, id), for harvesters.

        Parameters
        ----------
        since, until
            Bounds of `modified_at`, both included.
        after
            modified_at and id of the last one of the page before.
        """
        d = deposits.c
        query = select(deposits).where(
            d.published_at.is_not(None), d.state.in_([State.PUBLISHED.value, State.WITHDRAWN.value])
        )
        if since is not None:
            query = query.where(d.modified_at >= since)
        if until is not None:
            query = query.where(d.modified_at <= until)
        if after is not None:
            query = query.where(or_(d.modified_at > after[0], and_(d.modified_at == after[0], d.id > after[1])))
        return self._select(query.order_by(d.modified_at, d.id).limit(limit))

    def changes_of(self, deposit_id: str) -> tuple[Change, ...]:
        """Return the log of a deposit, in order."""
        c = changes.c
        with reading(self.engine) as connection:
            rows = connection.execute(select(changes).where(c.deposit == deposit_id).order_by(c.number))
            return tuple(Change(**row._mapping) for row in rows)  # noqa: SLF001  # public, in spite of its name

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return the number of deposits by kind and state."""
        d = deposits.c
        with reading(self.engine) as connection:
            rows = connection.execute(select(d.kind, d.state, func.count()).group_by(d.kind, d.state))
            return {(kind, state): count for kind, state, count in rows}

    def verdict_counts(self) -> tuple[list[str], int]:
        """Return the newest verdict of each published crate, and the number of those whose verdict has changed."""
        d = deposits.c
        query = select(d.verdicts).where(d.state == State.PUBLISHED.value)
        with reading(self.engine) as connection:
            histories = [verdicts for verdicts in connection.execute(query).scalars() if verdicts]
        changed = sum(len(h) > 1 and h[-1]["summary"] != h[-2]["summary"] for h in histories)
        return [history[-1]["summary"] for history in histories], changed

    def oldest_wait(self) -> float:
        """Return the seconds that the oldest deposit has waited for a worker."""
        d = deposits.c
        query = select(func.min(d.modified_at)).where(d.state.in_([State.RECEIVED.value, State.WAITING.value]))
        with reading(self.engine) as connection:
            oldest = connection.execute(query).scalar_one_or_none()
        return 0.0 if oldest is None else max(0.0, (self.clock() - oldest).total_seconds())

    def make_due(self, casa: str) -> int:
        """Let published crates that another CASA replayed be replayed now; return their number."""
        d = deposits.c
        due = []
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(d.id, d.verdicts).where(d.state == State.PUBLISHED.value, d.kind == Kind.CRATE.value)
            )
            due = [row.id for row in rows if row.verdicts and row.verdicts[-1].get("casa", "") not in ("", casa)]
        with writing(self.engine) as connection:
            for deposit_id in due:
                connection.execute(update(deposits).where(d.id == deposit_id).values(replay_due=self.clock()))
        return len(due)

    def ids(self) -> frozenset[str]:
        """Return the ids of all deposits that still need their file in the spool."""
        d = deposits.c
        unchecked = (State.RECEIVED, State.CHECKING, State.HELD)
        with reading(self.engine) as connection:
            rows = connection.execute(select(d.id, d.state, d.about).where(d.state.in_([s.value for s in unchecked])))
            # A check that was given up after several attempts can be asked for again.
            return frozenset(row.id for row in rows if row.state != State.HELD.value or not row.about)

    # Changing

    def change(
        self,
        deposit: Deposit,
        after: State,
        *,
        actor: str,
        reason: str,
        also: Iterable[Callable[[Connection, Deposit], None]] = (),
        **columns: Any,
    ) -> Deposit:
        """Move a deposit to another state, if it is still in the state and attempt that the caller saw.

        Parameters
        ----------
        also
            Functions to be called in the same transaction, with the deposit as it will be.
        columns
            Other columns to set: title, creators, about, issues, verdicts, doi, public_from, replay_due.

        Raises
        ------
        WrongState
            If somebody else changed it, or it cannot go there.
        """
        if not may_become(deposit.state, after):
            raise WrongState(f"A deposit that is {deposit.state} cannot become {after}.")
        at = self.clock()
        values: dict[str, Any] = {
            "state": after.value,
            "attempt": deposit.attempt + 1,
            "tries": 0,
            "worker": None,
            "lease_until": None,
            "modified_at": at,
            **{name: plain(value) for name, value in columns.items()},
        }
        if after in (State.REJECTED, State.HELD, State.WITHDRAWN):
            values["reason"] = reason
        if after is State.PUBLISHED and deposit.published_at is None:
            values["published_at"] = at
        with writing(self.engine) as connection:
            changed = self._update(connection, deposit, values)
            self.log(connection, deposit.id, deposit.state, after, deposit.attempt + 1, actor, reason)
            for act in also:
                act(connection, changed)
        return changed

    def amend(
        self, deposit: Deposit, *, also: Iterable[Callable[[Connection, Deposit], None]] = (), **columns: Any
    ) -> Deposit:
        """Set columns of a deposit and leave its state; harvesters see it as changed. See :meth:`change` for `also`.

        Raises
        ------
        WrongState
            If somebody else changed it meanwhile.
        """
        values = {name: plain(value) for name, value in columns.items()}
        values |= {"attempt": deposit.attempt + 1, "modified_at": self.clock(), "worker": None, "lease_until": None}
        with writing(self.engine) as connection:
            changed = self._update(connection, deposit, {**values, "tries": 0})
            for act in also:
                act(connection, changed)
        return changed

    @staticmethod
    def _update(connection: Connection, deposit: Deposit, values: Mapping[str, Any]) -> Deposit:
        d = deposits.c
        seen = and_(d.id == deposit.id, d.state == deposit.state.value, d.attempt == deposit.attempt)
        row = connection.execute(update(deposits).where(seen).values(values).returning(*deposits.c)).first()
        if row is None:
            raise WrongState(f"Deposit {deposit.id} was changed meanwhile.", hint="Look at its state, and try again.")
        return deposit_of(row)

    def log(
        self, connection: Connection, deposit_id: str, before: str, after: str, attempt: int, actor: str, reason: str
    ) -> None:
        """Write a change of state into the log, in the transaction that makes it."""
        values = {"before": str(before), "after": str(after), "actor": actor, "reason": reason}
        connection.execute(insert(changes).values(deposit=deposit_id, at=self.clock(), attempt=attempt, **values))

    def _select(self, query: Select[Any]) -> tuple[Deposit, ...]:
        with reading(self.engine) as connection:
            return tuple(deposit_of(row) for row in connection.execute(query))


def actor_of(person: Person) -> str:
    """Return a person as the log names it."""
    return f"{person.sub} at {person.iss}"


_CONVERTER = cattrs.Converter()
_CONVERTER.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)


def plain(value: Any) -> Any:
    """Return a value as its column takes it: frozen dataclasses in tuples as JSON."""
    if isinstance(value, datetime):
        return value
    return _CONVERTER.unstructure(list(value) if isinstance(value, tuple) else value)


def deposit_of(row: Row[Any]) -> Deposit:
    """Return the deposit of a row."""
    r = row._mapping  # noqa: SLF001  # public, in spite of its name
    same = (
        "id attempt obs_id number version did filename sha256 size_bytes description license title about doi reason"
        " received_at modified_at published_at public_from replay_due"
    )
    return Deposit(
        **{name: r[name] for name in same.split()},
        kind=Kind(r["kind"]),
        state=State(r["state"]),
        owner=Person(iss=r["iss"], sub=r["sub"], name=r["owner_name"]),
        creators=tuple(r["creators"]),
        issues=_CONVERTER.structure(r["issues"], tuple[Issue, ...]),
        verdicts=_CONVERTER.structure(r["verdicts"], tuple[Verdict, ...]),
    )
