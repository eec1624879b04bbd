"""Wording of findings: places in the description, and values cut to a readable length."""

from __future__ import annotations

from typing import Any

from casaprov.crates.layout import METADATA

__all__ = ["at", "short"]

_MAX_VALUE = 200  # characters


def at(identifier: str) -> str:
    """Return the place of an entity of the description."""
    return f"{METADATA} {identifier}"


def short(member: Any) -> str:
    """Return a JSON value as text, cut if it is long."""
    text = repr(member)
    return text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…"
