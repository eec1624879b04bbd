"""Sentences and times in records, as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["clock", "now", "seconds", "sentences"]


def sentences(*told: str) -> str:
    """Put sentences in a row; some may be empty."""
    return " ".join(filter(None, told))


def clock(time: str) -> str:
    """Tell a time of a record as users read it."""
    return f"{time.partition('.')[0].replace('T', ' ')} UTC"


def seconds(time: str) -> float:
    """Seconds since 1970 of a time of a record; ValueError if it is none."""
    return datetime.fromisoformat(time).timestamp()


def now() -> str:
    """Return the present time as records write it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
