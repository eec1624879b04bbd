"""DaCHS: rows in its tables, written in the publishing transaction where both share a database.

``deploy/dachs/q.rd`` makes the tables and serves them by TAP and DataLink, in which a row is seen at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, column, create_engine, delete, func, insert, make_url, select, table, update
from sqlalchemy.exc import SQLAlchemyError

from casaprov.archive.deposits import Deposit
from casaprov.archive.publication.vo.tables import CRATE_COLUMNS, INPUT_COLUMNS, crate_row, input_rows
from casaprov.archive.settings import Settings
from casaprov.errors import CasaprovError, UsageError

__all__ = ["Dachs", "DachsFailed"]

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class DachsFailed(CasaprovError):
    """The tables of DaCHS cannot be written; the publication is tried again later."""


class Dachs:
    """The tables ``crates`` and ``crate_inputs`` of a DaCHS."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        schema = settings.vo.schema
        if not _SCHEMA.fullmatch(schema):
            raise UsageError(f"[vo] schema cannot be {schema!r}.", hint="Write the schema of deploy/dachs/q.rd.")
        self._crates = table("crates", *map(column, CRATE_COLUMNS), schema=schema)
        self._inputs = table("crate_inputs", *map(column, INPUT_COLUMNS), schema=schema)
        url = settings.vo.database or settings.database_url
        self._shared = make_url(url) == make_url(settings.database_url)
        if make_url(url).get_backend_name() == "sqlite":
            hint = "Name the database of DaCHS in 'database' of [vo]: it is PostgreSQL."
            raise UsageError("The rows for DaCHS have no database to go to.", hint=hint)
        # It connects when it is first used; PostgreSQL is asked whether it is still there.
        self._engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_pre_ping=True)

    def prepare(self, deposit: Deposit, content: Path) -> None:
        """Prepare nothing: a row that is written earlier would be seen earlier."""

    def record(self, connection: Connection, deposit: Deposit) -> None:
        """Write the rows of a crate: with the archive's own, or in a transaction beside it."""
        with self._writing(connection) as c:
            self._remove(c, deposit)
            row = crate_row(self._settings, deposit)
            for values in (row, *input_rows(deposit)):
                c.execute(insert(self._crates if values is row else self._inputs), values)
            self._mark_latest(c, str(row["concept_did"]))

    def withdraw(self, deposit: Deposit) -> None:
        """Remove the rows of a crate."""
        with self._writing(None) as c:
            self._remove(c, deposit)
            self._mark_latest(c, deposit.did.removesuffix(f"/v{deposit.version}"))

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    @contextmanager
    def _writing(self, connection: Connection | None) -> Iterator[Connection]:
        try:
            if self._shared and connection is not None:
                yield connection
            else:
                with self._engine.begin() as own:
                    yield own
        except SQLAlchemyError as error:
            raise self._failed(error) from error

    def _remove(self, connection: Connection, deposit: Deposit) -> None:
        for where in (self._inputs, self._crates):
            connection.execute(delete(where).where(where.c.crate_did == deposit.did))

    def _mark_latest(self, connection: Connection, concept: str) -> None:
        """Mark the newest version that is public; DaCHS shows it first."""
        c = self._crates.c
        mine = c.concept_did == concept
        newest = select(func.max(c.version)).where(mine).scalar_subquery()
        connection.execute(update(self._crates).where(mine).values(is_latest=0))
        connection.execute(update(self._crates).where(mine, c.version == newest).values(is_latest=1))

    @staticmethod
    def _failed(error: SQLAlchemyError) -> DachsFailed:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        hint = "See deploy/dachs/README.md: the tables must be there, and the archive's role may write them."
        return DachsFailed(f"The tables of DaCHS cannot be written: {reason}", hint=hint)
