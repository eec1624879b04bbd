"""Folders that look like casacore tables to whoever does not open them."""

from __future__ import annotations

from pathlib import Path


def table_folder(path: Path, kind: bytes = b"PlainTable") -> Path:
    """Make the folder of a table of some kind, with a description, a file of values and a lock."""
    path.mkdir(parents=True)
    (path / "table.dat").write_bytes(b"\xbe\xbe\xbe\xbe" + kind)
    (path / "table.f0").write_bytes(b"values")
    (path / "table.lock").write_bytes(b"lock")
    return path
