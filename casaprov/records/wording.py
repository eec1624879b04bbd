"""Times and sentences of records, and how people read them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["clock", "now", "seconds", "sentences"]


def now() -> str:
    """Return the present time as records write it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def seconds(time: str) -> float:
    """Return a recorded time as seconds since 1970.

    Raises
    ------
    ValueError
        If `time` is malformed.
    """
    return datetime.fromisoformat(time).timestamp()


def clock(time: str) -> str:
    """Return a recorded time as people read it: ``2026-05-01 10:00:00 UTC``."""
    return f"{time.partition('.')[0].replace('T', ' ')} UTC"


def sentences(*parts: str) -> str:
    """Join sentences into one text; empty ones are left out."""
    return " ".join(filter(None, parts))
