"""The rows and lines of a record as Mermaid text, which JupyterLab, Notebook 7, GitHub and GitLab draw in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from casaprov.drawings.rows import Row, Rows, edges, fold
from casaprov.records.model import Document

__all__ = ["to_mermaid"]

_MOST_RESULTS = 6
_CLASSES = (
    "classDef call fill:#eef3f8,stroke:#33475b,color:#1b1f24",
    "classDef input fill:#fff2b3,stroke:#b38600,color:#1b1f24",
    "classDef result fill:#c9ebc4,stroke:#1b7837,color:#1b1f24",
    "classDef trouble fill:#fdeaea,stroke:#c00000,color:#c00000",
)


def to_mermaid(document: Document, numbers: Mapping[str, int] | None = None) -> str:
    """Return the graph as a Mermaid flowchart, the same for the same Document.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.
    """
    folded = fold(document, numbers)
    lines = ["flowchart TB", *(f"    {line}" for line in (*_CLASSES, *_nodes(folded), *_edges(folded)))]
    return "\n".join([*lines, ""])


def _nodes(folded: Rows) -> Iterator[str]:
    for number, lane in enumerate(folded.lanes):
        if lane.kind == "input":
            yield f"i{number}([{_quoted(lane.name)}]):::input"
    for number, row in enumerate(folded.rows):
        kind = "call" if row.is_call and row.outcome == "completed" else "trouble"
        yield f"c{number}[{_quoted(*_label(row))}]:::{kind}"
        if row.results:
            more = [f"and {len(row.results) - _MOST_RESULTS} more"] if len(row.results) > _MOST_RESULTS else []
            yield f"r{number}[/{_quoted(*row.results[:_MOST_RESULTS], *more)}/]:::result"
            yield f"c{number} --- r{number}"


def _label(row: Row) -> Iterator[str]:
    yield f"{row.number} {row.title}".strip()
    if row.outcome != "completed":
        yield row.outcome
    if row.parameters:
        yield row.parameters
    if row.pictures:
        yield f"{row.pictures} plot{'' if row.pictures == 1 else 's'}"


def _edges(folded: Rows) -> Iterator[str]:
    named = set()
    for edge in edges(folded):
        lane = folded.lanes[edge.lane]
        if edge.source is None and lane.kind != "input":
            continue  # what was there before the part that is drawn
        source = f"i{edge.lane}" if edge.source is None else f"c{edge.source}"
        arrow = "==>" if edge.strong else "-->"
        label = ""
        if (edge.lane, edge.state) not in named and edge.source is not None:
            named.add((edge.lane, edge.state))
            number = f" ·{edge.state}" if lane.states > 1 else ""
            label = f"|{_quoted(lane.name + number)}|"
        yield f"{source} {arrow}{label} c{edge.target}"


def _quoted(*lines: str) -> str:
    """Return lines as one string of Mermaid: whatever it could obey is written by its code."""
    return '"' + "<br/>".join(map(_plain, lines)) + '"'


def _plain(text: str) -> str:
    """Return a text in which all but letters, digits and harmless marks are codes: ``#34;``."""
    shown = "".join(c if c.isprintable() and not "\ud800" <= c <= "\udfff" else "�" for c in text)
    return "".join(c if c.isalnum() or c in " ._-,=/:+·–×…�" else f"#{ord(c)};" for c in shown)
