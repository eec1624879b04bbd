"""Tables of the archive, for SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

__all__ = ["METADATA", "UtcTime", "changes", "counters", "deposits", "uploads"]


class UtcTime(TypeDecorator[datetime]):
    """Time in UTC; SQLite keeps it without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone, and hand the database one in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC) if dialect.name != "sqlite" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Numbers of crates by obs_id, and numbers of versions by crate: a row that is locked while it counts.
counters = Table(
    "counters",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("last", Integer, nullable=False),
)

deposits = Table(
    "deposits",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    # Grows with each change: a worker changes only the row that it took.
    Column("attempt", Integer, nullable=False),
    # Times that workers took the deposit in its present state.
    Column("tries", Integer, nullable=False),
    Column("worker", String(200)),
    Column("lease_until", UtcTime),
    Column("iss", String(500), nullable=False),
    Column("sub", String(500), nullable=False),
    Column("owner_name", String(500), nullable=False),
    Column("obs_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("did", String(500), nullable=False, unique=True),
    Column("filename", String(500), nullable=False),
    Column("sha256", String(80), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("description", Text, nullable=False),
    Column("license", String(100), nullable=False),
    Column("title", Text, nullable=False),
    Column("creators", JSON, nullable=False),
    Column("about", JSON, nullable=False),
    Column("issues", JSON, nullable=False),
    Column("verdicts", JSON, nullable=False),
    Column("doi", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("modified_at", UtcTime, nullable=False),
    Column("published_at", UtcTime),
    Column("public_from", UtcTime),
    Column("replay_due", UtcTime),
    UniqueConstraint("obs_id", "number", "version"),
    UniqueConstraint("iss", "sub", "obs_id", "sha256"),
    Index(None, "state", "lease_until"),
    Index(None, "published_at", "modified_at"),
)

changes = Table(
    "changes",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("deposit", String(64), ForeignKey(deposits.c.id), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("before", String(16), nullable=False),
    Column("after", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("actor", String(1100), nullable=False),
    Column("reason", Text, nullable=False),
)

# Uploads in pieces (tus); how much has arrived is the size of the file in the spool.
uploads = Table(
    "uploads",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("iss", String(500), nullable=False),
    Column("sub", String(500), nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
)
