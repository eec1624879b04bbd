"""Templates of the pages. Everything from a deposit is text: the templates escape it, and the pages allow no scripts."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["PAGE_POLICY", "render", "style_sheet"]

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of pages: their own style sheet and pictures, no scripts at all."""

_PACKAGE = "casaprov.archive.pages"


def render(template: str, **values: Any) -> bytes:
    """Return a page."""
    return _environment().get_template(f"{template}.html").render(values).encode()


@cache
def style_sheet() -> bytes:
    """Return the style sheet of all pages."""
    return (files(_PACKAGE) / "templates" / "archive.css").read_bytes()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(_PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"size": _size, "date": _date}
    return made


def _size(count: int) -> str:
    """Return a number of bytes as people write it."""
    if count < 1000:
        return f"{count} bytes"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def _date(at: datetime) -> str:
    return f"{at.day} {at:%B %Y}"
