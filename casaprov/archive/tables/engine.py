"""Opening the database, SQLite or PostgreSQL, with its tables up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from casaprov.errors import UsageError

__all__ = ["open_engine", "reading", "upgrade", "writing"]

_READS = "casaprov_reads"
_BUSY_S = 60


def open_engine(url: str) -> Engine:
    """Open a database and bring its tables up to date.

    Raises
    ------
    UsageError
        If it cannot be opened.
    """
    engine = _engine(url)
    try:
        upgrade(engine)
    except SQLAlchemyError as error:
        where = make_url(url).render_as_string(hide_password=True)
        hint = "Check 'database' in archive.toml, and that the server runs."
        raise UsageError(f"The database {where} cannot be opened: {error}.", hint=hint) from error
    return engine


def upgrade(engine: Engine) -> None:
    """Apply the migrations that the database lacks."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # servers that start together wait for each other
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236482)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _engine(url: str) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy begins the transactions, not the driver.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # A receipt that was given is on the disk, also after a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails when another wrote in between: take the lock at once.
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads."""
    with engine.connect().execution_options(**{_READS: True}) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may write; it is committed at the end."""
    with engine.begin() as connection:
        yield connection
