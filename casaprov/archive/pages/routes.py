"""Addresses of the pages."""

from __future__ import annotations

from typing import Any

from casaprov.archive.web.archive import Archive

__all__ = ["routes"]


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them."""
    del archive
    return []
