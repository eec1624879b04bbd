"""The rows and lines of a record as DOT text, for Graphviz: calls are boxes, and files the arrows between them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from casaprov.drawings.rows import Row, Rows, edges, fold
from casaprov.records.model import Document

__all__ = ["to_dot"]

_LINE_CHARACTERS = 34
_MOST_RESULTS = 8

# Dark, and apart for most kinds of colour blindness.
_COLOURS = ("#0b5394", "#8a3b00", "#38761d", "#6a329f", "#0b6e6e", "#a61c5d", "#3d4451", "#7a5c00")
_CALL = {"shape": "box", "style": "filled,rounded", "fillcolor": "#eef3f8", "color": "#33475b"}
_FAILED = {"color": "#c00000", "fontcolor": "#c00000", "fillcolor": "#fdeaea", "penwidth": "1.6"}
_OUTSIDE = {
    "shape": "box",
    "style": "filled,dashed",
    "fillcolor": "#ffffff",
    "color": "#c00000",
    "fontcolor": "#c00000",
}
_INPUT = {"shape": "ellipse", "fillcolor": "#fff2b3", "color": "#b38600", "penwidth": "1.6"}
_RESULT = {"shape": "note", "fillcolor": "#c9ebc4", "color": "#1b7837"}


def to_dot(document: Document, numbers: Mapping[str, int] | None = None) -> str:
    """Return the graph as DOT text, the same for the same Document.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.
    """
    folded = fold(document, numbers)
    lines = [
        f"digraph {_quoted(folded.title)} {{",
        f"  graph [label={_quoted(folded.title)}, labelloc=t, fontname=Helvetica, fontsize=20];",
        "  graph [rankdir=TB, nodesep=0.25, ranksep=0.3];",
        '  node [fontname="Helvetica", fontsize=11, style=filled, margin="0.09,0.05"];',
        '  edge [color="#555555", arrowsize=0.6, fontname="Helvetica", fontsize=9];',
        *_legend(),
        *_nodes(folded),
        *_edges(folded),
    ]
    return "\n".join([*lines, "}", ""])


def _legend() -> Iterator[str]:
    yield '  subgraph cluster_legend { label="Legend"; fontname="Helvetica"; fontsize=11; color="#aaaaaa";'
    for name, label, looks in (
        ("legend1", "input", _INPUT),
        ("legend2", "call, with its parameters", _CALL),
        ("legend3", "results, used by no other call", _RESULT),
        ("legend4", "changed outside of tasks", _OUTSIDE),
    ):
        yield "  " + _node(name, label, "", looks)
    yield "  }"


def _nodes(folded: Rows) -> Iterator[str]:
    for number, lane in enumerate(folded.lanes):
        if lane.kind == "input":
            yield _node(f"input{number}", _wrapped(lane.name), lane.path, _INPUT)
    for number, row in enumerate(folded.rows):
        looks = _CALL if row.is_call else _OUTSIDE
        if row.outcome != "completed":
            looks = {**_CALL, **_FAILED}
        yield _node(f"call{number}", _label(row), " ".join(row.ids), looks)
        if results := _results(row):
            yield _node(f"call{number}left", results, "", _RESULT)
            yield f"  call{number} -> call{number}left [arrowhead=none];"


def _label(row: Row) -> str:
    lines = [f"{row.number}  {row.title}" if row.is_call else row.title]
    if row.outcome != "completed":
        lines.append(row.outcome)
    if row.parameters:
        lines += textwrap.wrap(row.parameters, _LINE_CHARACTERS)
    if row.pictures:
        lines.append(f"{row.pictures} plot{'' if row.pictures == 1 else 's'}")
    return "\n".join(lines)


def _results(row: Row) -> str:
    """Return the names of the products of a row that nothing used."""
    names = [_wrapped(name) for name in row.results]
    more = [f"and {len(names) - _MOST_RESULTS} more"] if len(names) > _MOST_RESULTS else []
    return "\n".join([*names[:_MOST_RESULTS], *more])


def _edges(folded: Rows) -> Iterator[str]:
    """Yield the arrows; a state is named at its first one."""
    named = set()
    for edge in edges(folded):
        lane = folded.lanes[edge.lane]
        if edge.source is None and lane.kind != "input":
            continue  # what was there before the part that is drawn
        source = f"input{edge.lane}" if edge.source is None else f"call{edge.source}"
        looks = {"color": _COLOURS[edge.lane % len(_COLOURS)], "fontcolor": _COLOURS[edge.lane % len(_COLOURS)]}
        if edge.strong:
            looks |= {"penwidth": "2.5", "weight": "8"}
        if (edge.lane, edge.state) not in named and edge.source is not None:
            named.add((edge.lane, edge.state))
            looks["label"] = lane.name + (f" ·{edge.state}" if lane.states > 1 else "")
        listed = ", ".join(f"{key}={_quoted(value)}" for key, value in looks.items())
        yield f"  {source} -> call{edge.target} [{listed}];"


def _node(name: str, label: str, ids: str, looks: Mapping[str, str]) -> str:
    attributes = {"label": label, "tooltip": ids, **looks}
    listed = ", ".join(f"{key}={_quoted(value)}" for key, value in attributes.items())
    return f"  {name} [{listed}];"


def _wrapped(name: str) -> str:
    """Break a long name, after a full stop, dash or underscore where there is one."""
    if len(name) <= _LINE_CHARACTERS:
        return name
    spaced = name
    for mark in "._-/":
        spaced = spaced.replace(mark, f"{mark} ")
    lines: list[str] = [""]
    for piece in (part for word in spaced.split(" ") for part in textwrap.wrap(word, _LINE_CHARACTERS)):
        if len(lines[-1]) + len(piece) > _LINE_CHARACTERS:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return a text as a DOT string, free of escapes and HTML entities, with a mark for each control character."""
    shown = "".join(c if c == "\n" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else "�" for c in text)
    for character, written in (("&", "&amp;"), ("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        shown = shown.replace(character, written)
    return f'"{shown}"'
