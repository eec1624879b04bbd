"""Rows of uploads in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, and_, delete, insert, select, update

from casaprov.archive.deposits import Person
from casaprov.archive.tables.engine import reading, writing
from casaprov.archive.tables.schema import uploads

__all__ = ["Upload", "Uploads"]


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An upload in pieces; the size of its file in the spool says how much has arrived."""

    id: str
    iss: str
    sub: str
    length: int
    metadata: str
    expires_at: datetime


class Uploads:
    """The uploads that are not part of a deposit yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, upload: Upload) -> None:
        """Insert an upload."""
        with writing(self._engine) as connection:
            connection.execute(insert(uploads).values(**vars(upload)))

    def of(self, upload_id: str, owner: Person) -> Upload | None:
        """Return an upload of a person, or None."""
        u = uploads.c
        mine = and_(u.id == upload_id, u.iss == owner.iss, u.sub == owner.sub)
        with reading(self._engine) as connection:
            row = connection.execute(select(uploads).where(mine)).first()
        return None if row is None else Upload(**row._mapping)  # noqa: SLF001  # public, in spite of its name

    def prolong(self, upload_id: str, until: datetime) -> None:
        """Let an upload live longer."""
        with writing(self._engine) as connection:
            connection.execute(update(uploads).where(uploads.c.id == upload_id).values(expires_at=until))

    def remove(self, upload_id: str) -> None:
        """Remove an upload."""
        with writing(self._engine) as connection:
            connection.execute(delete(uploads).where(uploads.c.id == upload_id))

    def bytes_of(self, owner: Person) -> int:
        """Return the bytes that the uploads of a person will take."""
        u = uploads.c
        with reading(self._engine) as connection:
            return sum(connection.execute(select(u.length).where(u.iss == owner.iss, u.sub == owner.sub)).scalars())

    def expired(self, at: datetime) -> tuple[str, ...]:
        """Return the ids of expired uploads."""
        with reading(self._engine) as connection:
            return tuple(connection.execute(select(uploads.c.id).where(uploads.c.expires_at < at)).scalars())

    def ids(self) -> frozenset[str]:
        """Return the ids of all uploads."""
        with reading(self._engine) as connection:
            return frozenset(connection.execute(select(uploads.c.id)).scalars())
