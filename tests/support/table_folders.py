"""Folders that look like casacore tables to whoever does not open them."""

from __future__ import annotations

import struct
from pathlib import Path


def lock_with(rows: int, requests: bytes = b"") -> bytes:
    """The content of a ``table.lock``, as casacore writes it, of a table with so many rows."""
    sync = struct.pack(">4sII4sIIIII", b"\xbe" * 4, 57, 4, b"sync", 1, rows, 8, 2, 2)
    return requests.ljust(260, b"\0") + struct.pack(">I", 61) + sync


def table_folder(path: Path, kind: bytes = b"PlainTable") -> Path:
    """Make the folder of a table of some kind, with a description, a file of values and a lock."""
    path.mkdir(parents=True)
    (path / "table.dat").write_bytes(b"\xbe\xbe\xbe\xbe" + kind)
    (path / "table.f0").write_bytes(b"values")
    (path / "table.lock").write_bytes(b"lock")
    return path
