"""Digests on disk, kept for later sessions.

An entry belongs to a product, a sub-table or a column, by its path, and is valid
for one stamp: a digest of the stat stamps of all files that it was read from.
A path has one entry, that of its last known state. Many processes may use the
cache. It is bounded (the entries that were used longest ago go first), and made
anew when it is damaged: its loss costs time and nothing else. Where no file can
be used, entries are kept in memory until the session ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["DigestCache"]

_log = logging.getLogger(__name__)

_VERSION = 3
"""Version of the values in the entries; a file of another one is made anew."""

_BUSY_S = 1.0  # wait for a process that writes
_USED_S = 3600  # times of use are kept to an hour: each reading would be a write otherwise
_PART_DROPPED = 4  # one part in so many of the room is made free at once, since each time costs a look at all entries
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    name TEXT PRIMARY KEY, stamp TEXT NOT NULL, value BLOB NOT NULL, checksum BLOB NOT NULL, used_at REAL NOT NULL
) WITHOUT ROWID
"""


class DigestCache:
    """Values by name and stamp, in an SQLite file; safe for threads and processes.

    No error is raised: a value that cannot be read is not there, one that cannot be written is not kept.

    Parameters
    ----------
    path
        The file; None keeps the entries in memory.
    max_bytes
        Limit of the size of the file.
    """

    def __init__(self, path: Path | None, *, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def get(self, name: str, stamp: str) -> Any:
        """Return the value that a name has under a stamp; None if it has none."""
        key = _key(name)
        with self._lock:
            try:
                connection = self._open()
                found = connection.execute(
                    "SELECT value, checksum, used_at FROM entries WHERE name = ? AND stamp = ?", (key, stamp)
                ).fetchone()
                if found is None:
                    return None
                value, checksum, used_at = found
                if _checksum(key, stamp, value) != checksum:
                    raise sqlite3.DatabaseError("an entry does not have its checksum")
                if time.time() - used_at > _USED_S:
                    with connection:
                        connection.execute("UPDATE entries SET used_at = ? WHERE name = ?", (time.time(), key))
                return json.loads(zlib.decompress(value))
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
                return None

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Keep values: (name, stamp, value as JSON values); each replaces the one that its name had."""
        rows = []
        for name, stamp, value in entries:
            packed = zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)
            key = _key(name)
            rows.append((key, stamp, packed, _checksum(key, stamp, packed), time.time()))
        if not rows:
            return
        with self._lock:
            try:
                with self._open() as connection:
                    connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", rows)
                self._make_room()
            except (sqlite3.Error, OSError) as error:
                self._failed(error)

    def size_bytes(self) -> int:
        """Return how many bytes the entries take."""
        with self._lock:
            try:
                return self._taken()
            except (sqlite3.Error, OSError) as error:
                self._failed(error)
                return 0

    def rest(self) -> None:
        """Close the file until the next use."""
        if self._path is not None:  # what is in memory would be gone
            with self._lock:
                self._disconnect()

    def close(self) -> None:
        """Close the file; later calls find and keep nothing."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("the cache is closed")
        if self._connection is None:
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path or ":memory:", timeout=_BUSY_S, check_same_thread=False)
            try:
                # Without waiting for the disk: a crash of the machine may damage entries. Their checksums show that, and
                # the file is made anew.
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA auto_vacuum = FULL")
                if connection.execute("PRAGMA user_version").fetchone()[0] not in (0, _VERSION):
                    raise sqlite3.DatabaseError("another version wrote the cache")
                with connection:
                    connection.execute(_SCHEMA)
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _taken(self) -> int:
        connection = self._open()
        pages = connection.execute("PRAGMA page_count").fetchone()[0] - self._free()
        return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])

    def _free(self) -> int:
        return int(self._open().execute("PRAGMA freelist_count").fetchone()[0])

    def _make_room(self) -> None:
        """Drop the entries that were used longest ago once the file is full, a good part of them at once."""
        taken = self._taken()
        if taken <= self._max_bytes:
            return
        connection = self._open()
        sizes = connection.execute("SELECT name, length(value) FROM entries ORDER BY used_at").fetchall()
        kept = self._max_bytes * (1 - 1 / _PART_DROPPED) / taken
        surplus = sum(size for _, size in sizes) * (1 - kept)
        dropped = []
        for name, size in sizes:
            if surplus <= 0:
                break
            surplus -= size
            dropped.append((name,))
        with connection:
            connection.executemany("DELETE FROM entries WHERE name = ?", dropped)

    def _failed(self, error: Exception) -> None:
        """Go on after a failure: with a new file in the place of a damaged one, in memory where there can be none."""
        if self._closed:
            return
        _log.info("The cache of digests %s: %s", self._path, error)
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if damaged and self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        else:  # another process holds it, or it cannot be written: it may be whole, and is not waited for twice
            self._path = None


def _key(name: str) -> str:
    """Return the key of a name: a digest, which exists for paths of any bytes and does not show them."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:32]


def _checksum(key: str, stamp: str, value: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((key.encode(), stamp.encode(), value))).digest()[:16]
