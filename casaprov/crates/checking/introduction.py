"""The README of a crate against its records: the facts in its tables, not its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from casaprov.crates.checking.wording import short
from casaprov.crates.layout import README, Manifest
from casaprov.crates.readme import Statement, statements
from casaprov.errors import DigestError, Issue
from casaprov.files.regular import open_regular
from casaprov.lineage.saved_cells import MAX_NOTEBOOK_BYTES
from casaprov.records.model import Document

__all__ = ["introduction_issues"]

_MAX_README_BYTES = 64 * 2**20
_BETWEEN_CELLS = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\|?\s*:?-+:?\s*(\||$)")


def introduction_issues(folder: Path, document: Document, manifest: Manifest) -> Iterator[Issue]:
    """Yield an issue for each fact about a call or a file that the README states otherwise, or leaves out."""
    if not (folder / README).is_file() or not (folder / manifest.notebook).is_file():
        return  # reported as removed
    try:
        with open_regular(folder / manifest.notebook) as file:
            notebook = file.read(MAX_NOTEBOOK_BYTES + 1)
        with open_regular(folder / README) as file:
            text = file.read(_MAX_README_BYTES).decode(errors="replace")
    except DigestError as error:
        yield Issue(README, error.message)
        return
    stated = list(_facts(text))
    for expected in statements(document, manifest, notebook):
        yield from _compared(expected, stated, text)


def _facts(text: str) -> Iterator[tuple[tuple[str, ...], list[dict[str, str]]]]:
    """Yield the tables of a Markdown text: the names of their columns, and their rows by these names."""
    header: tuple[str, ...] = ()
    rows: list[dict[str, str]] = []
    lines = [*text.splitlines(), ""]
    for number, line in enumerate(lines):
        if not line.startswith("|"):
            if header:
                yield header, rows
            header, rows = (), []
        elif not header:
            if number + 1 < len(lines) and _RULE.match(lines[number + 1]):
                header = tuple(_cells(line))
        elif not _RULE.match(line) or rows:
            rows.append(dict(zip(header, _cells(line), strict=False)))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _BETWEEN_CELLS.split(line.strip().removeprefix("|").removesuffix("|"))]


def _compared(
    expected: Statement, stated: Iterable[tuple[tuple[str, ...], list[dict[str, str]]]], text: str
) -> Iterator[Issue]:
    if expected.sentence:
        # The list of numbers and tasks is the fact; the sentence around it may have other words.
        if expected.sentence not in text:
            yield Issue(README, f"It does not say: {expected.subject}.", "", short(expected.sentence))
        return
    if not expected.rows:
        return
    columns = expected.rows[0].keys()
    tables = [rows for header, rows in stated if columns <= set(header)]
    if len(tables) != 1:
        yield Issue(
            README, f"It has no table of {expected.subject}." if not tables else f"It lists {expected.subject} twice."
        )
        return
    (found,) = tables
    for number, row in enumerate(expected.rows, start=1):
        other = found[number - 1] if number <= len(found) else {}
        for column, accepted in row.items():
            if other.get(column) not in accepted:
                where = f"{column or 'number'} of {expected.subject} {number}"
                message = f"Its {where} is not what the records and the notebook say."
                yield Issue(README, message, short(other.get(column, "")), short(accepted[0]))
                break
    if len(found) > len(expected.rows):
        yield Issue(
            README, f"It lists more {expected.subject} than the records: {len(found)}.", "", str(len(expected.rows))
        )
