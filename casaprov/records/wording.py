"""Times and sentences of records, and how people read them."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["clock", "counted", "duration", "now", "seconds", "sentences"]


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


def counted(count: int, noun: str, many: str = "") -> str:
    """Return a number of things: ``1 call``, ``2 calls``; `many` is the plural of a noun without an s."""
    return f"{count} {noun if count == 1 else many or noun + 's'}"


def duration(seconds: float) -> str:
    """Return a duration as people read it: ``1.2 s``, ``1 min 15 s``, ``2 h 1 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def sentences(*parts: str) -> str:
    """Join sentences into one text; empty ones are left out."""
    return " ".join(filter(None, parts))
