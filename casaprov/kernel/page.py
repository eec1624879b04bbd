"""Small pages for a cell's output: tables, texts and sentences, as HTML and as plain text.

The HTML has no scripts, and no styles that it needs: it looks the same in a notebook that is not trusted. A terminal,
which has no front end, gets the plain text.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Line", "Part", "Preformatted", "Table", "bundle_of", "has_front_end", "preformatted"]

_WIDTH = 110  # of plain text
_MAX_CELL = 60


class Part(Protocol):
    """Part of a page."""

    def html(self) -> str:
        """Return the part as HTML."""
        ...

    def plain(self) -> str:
        """Return the part as plain text."""
        ...


@dataclass(frozen=True)
class Line:
    """A sentence, with `title` in bold before it."""

    text: str
    title: str = ""

    def html(self) -> str:
        """Return the part as HTML."""
        title = f"<b>{_escaped(self.title)}</b> " if self.title else ""
        return f"<div>{title}{_escaped(self.text)}</div>"

    def plain(self) -> str:
        """Return the part as plain text."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class Preformatted:
    """Text with its own line breaks, folded away behind `title` or open."""

    text: str
    title: str = ""
    folded: bool = False

    def html(self) -> str:
        """Return the part as HTML."""
        text = preformatted(self.text)
        if not self.title:
            return text
        opened = "" if self.folded else " open"
        return f"<details{opened}><summary>{_escaped(self.title)}</summary>{text}</details>"

    def plain(self) -> str:
        """Return the part as plain text; of a folded text only the title."""
        if self.folded and self.title:
            return self.title
        return "\n".join(part for part in (self.title, self.text) if part)


@dataclass(frozen=True)
class Table:
    """A table with a title and notes below it; columns of numbers are aligned to the right.

    Attributes
    ----------
    head
        Names of the columns; none for a table of names and values.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def html(self) -> str:
        """Return the part as HTML."""
        right = self._numeric()
        head = "".join(_cell("th", *column) for column in zip(self.head, right, strict=False))
        rows = ("".join(_cell("td", *column) for column in zip(row, right, strict=False)) for row in self.rows)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        parts = [f"<div><b>{_escaped(self.title)}</b></div>"] if self.title else []
        if self.rows:
            parts.append(f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>")
        return "".join([*parts, *(f"<div>{_escaped(note)}</div>" for note in self.notes)])

    def plain(self) -> str:
        """Return the part as plain text."""
        lines = [self.title] if self.title else []
        rows = [_short(row) for row in (*([self.head] if self.head else []), *self.rows)]
        if self.rows:
            widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
            lines += [_aligned(row, widths, self._numeric()) for row in rows]
        return "\n".join([*lines, *(line for note in self.notes for line in textwrap.wrap(note, _WIDTH))])

    def _numeric(self) -> list[bool]:
        """Return True for each column that holds only numbers."""
        columns = len(self.rows[0]) if self.rows else 0
        return [all(_is_number(row[column]) for row in self.rows if column < len(row)) for column in range(columns)]


def preformatted(text: str) -> str:
    """Return text with its own line breaks as HTML, in a fixed-width font also in JupyterLab."""
    return f'<pre style="overflow-x: auto"><code style="white-space: pre">{_escaped(text)}</code></pre>'


def bundle_of(parts: Sequence[Part]) -> dict[str, str]:
    """Return a page by media type, ready to be published."""
    return {
        "text/html": "".join(part.html() for part in parts),
        "text/plain": "\n".join(part.plain() for part in parts),
    }


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _cell(tag: str, text: str, right: bool) -> str:
    # Front ends align all cells to the right. Without styles, as in a notebook that is not trusted, they stay there.
    style = "" if right else ' style="text-align: left"'
    return f"<{tag}{style}>{_escaped(text)}</{tag}>"


def _short(row: Sequence[str]) -> tuple[str, ...]:
    """Return the cells of a row as one line each, clipped but for the last."""
    lines = [" ".join(cell.split()) for cell in row]
    return (*(_clipped(line) for line in lines[:-1]), *lines[-1:])


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_CELL else f"{text[: _MAX_CELL - 3]}..."


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("% ") or "0")
    except ValueError:
        return False
    return True


def _aligned(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    cells = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(row, widths, numeric, strict=False)
    )
    return "  ".join(cells).rstrip()


def has_front_end(shell: InteractiveShell) -> bool:
    """Return True for the shell of a kernel; a terminal shows no HTML and has no outputs to update."""
    return getattr(shell, "kernel", None) is not None
