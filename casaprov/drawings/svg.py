"""The drawing itself, as SVG: calls go down, files are lines beside them. No other program is needed.

Its width does not grow with the number of calls, and every text has the size of a notebook's, so that 300 calls can be
read as 5 can. A picture that Graphviz lays out has neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from casaprov.drawings.rows import Lane, Mark, Row, Rows, fold
from casaprov.records.model import Document

__all__ = ["to_svg"]

_ROW, _HEAD, _COLUMN, _MARGIN, _RADIUS = 38, 96, 18, 16, 5
_TEXT_WIDTH = 840
_LINE_CHARACTERS = 110  # of the names below a call
_MOST_CHARACTERS = 46  # of one name

# Dark enough for names on white, and apart for most kinds of colour blindness.
_COLOURS = ("#0b5394", "#8a3b00", "#38761d", "#6a329f", "#0b6e6e", "#a61c5d", "#3d4451", "#7a5c00")
_INPUT, _RESULT, _TROUBLE, _SOFT = "#b38600", "#1b7837", "#c00000", "#57606a"


def to_svg(document: Document, numbers: Mapping[str, int] | None = None) -> str:
    """Return the drawing, the same for the same Document.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.
    """
    return _svg(fold(document, numbers))


def _svg(folded: Rows) -> str:
    columns = max((lane.column for lane in folded.lanes), default=-1) + 1
    text = _MARGIN + _COLUMN * columns + 8
    width, height = text + _TEXT_WIDTH, _HEAD + _ROW * len(folded.rows) + 2 * _MARGIN
    calls = f"{folded.calls} call{'' if folded.calls == 1 else 's'}"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" font-family="system-ui, Helvetica, Arial, sans-serif" font-size="12">'
        ),
        f"<title>{_plain(folded.title)}: {calls}, from top to bottom</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        (
            f'<text x="{_MARGIN}" y="24" font-size="16" font-weight="600" fill="#1b1f24">{_plain(folded.title)}'
            f'<tspan font-size="12" font-weight="400" fill="{_SOFT}">  {calls}</tspan></text>'
        ),
        *_legend(),
    ]
    parts += [part for number, lane in enumerate(folded.lanes) for part in _line(number, lane)]
    for place, row in enumerate(folded.rows):
        parts += _row(place, row, folded.lanes, text)
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> Iterator[str]:
    """Yield the meaning of lines and marks, in two rows."""
    line = _COLOURS[0]
    marks = [
        ("read", _mark("read", 0, line, 0, 0), 42),
        ("made", _mark("made", 0, line, 0, 0), 46),
        ("changed in place", _mark("changed", 0, line, 0, 0), 108),
        ("changed outside of tasks", _mark("outside", 0, line, 0, 0), 150),
        ("input", _mark("read", 0, _INPUT, 0, 0), 48),
        ("result", f'<circle r="{_RADIUS}" fill="{_RESULT}" stroke="{_RESULT}"/>', 50),
        ("failed or interrupted", f'<path d="M-5-5 5 5M5-5-5 5" stroke="{_TROUBLE}" stroke-width="2"/>', 130),
    ]
    x = _MARGIN + 6
    for name, mark, width in marks:
        yield f'<g transform="translate({x} 48)">{mark}<text x="10" y="4" fill="{_SOFT}">{name}</text></g>'
        x += width + 20
    yield (
        f'<text x="{_MARGIN}" y="72" fill="{_SOFT}">A line is a file or table, ·2 its second state. Below a call: '
        f'what it read → what it left; <tspan fill="{_RESULT}" font-weight="600">green</tspan> is used by no other call.'
        "</text>"
    )


def _line(number: int, lane: Lane) -> Iterator[str]:
    """Yield the line of a path, with a dot at its end if it is a result."""
    x, top, bottom = _x(lane), _y(lane.first), _y(lane.last)
    colour = _colour(number, lane)
    start = top - 12 if lane.kind == "input" else top
    end = bottom + 12 if lane.kind == "result" else bottom
    yield f'<path d="M{x} {start}V{end}" stroke="{colour}" stroke-width="2.5" fill="none"><title>{_plain(lane.path)}</title></path>'
    if lane.kind == "result":
        yield (
            f'<circle cx="{x}" cy="{end}" r="{_RADIUS}" fill="{_RESULT}" stroke="{_RESULT}">'
            f"<title>result: {_plain(lane.path)}</title></circle>"
        )


def _row(place: int, row: Row, lanes: Sequence[Lane], text: int) -> Iterator[str]:
    y = _y(place)
    bad = row.outcome != "completed" or not row.is_call
    marked = [_x(lanes[mark.lane]) for mark in row.marks]
    if marked:
        yield f'<path d="M{min(marked)} {y}H{text - 6}" stroke="#d0d7de"/>'
    if row.is_call and row.outcome != "completed":
        yield f'<path d="M{text - 11} {y - 5}l8 10m0-10l-8 10" stroke="{_TROUBLE}" stroke-width="2"/>'
    changed = {mark.lane for mark in row.marks if mark.how != "read"}
    for mark in row.marks:
        if mark.how != "read" or mark.lane not in changed:
            lane = lanes[mark.lane]
            yield _mark(mark.how, mark.state, _colour(mark.lane, lane), _x(lane), y, lane)
    title = f'<tspan font-weight="600" fill="{_TROUBLE if bad else "#1b1f24"}">{_plain(row.title)}</tspan>'
    outcome = f' <tspan fill="{_TROUBLE}">{row.outcome}</tspan>' if row.outcome != "completed" else ""
    number = f'<tspan fill="{_SOFT}">{row.number}</tspan> ' if row.number else ""
    parameters = f'  <tspan fill="#3d4451">{_plain(row.parameters)}</tspan>' if row.parameters else ""
    yield f'<text x="{text}" y="{y + 1}">{number}{title}{outcome}{parameters}</text>'
    if below := _names(row, lanes):
        yield f'<text x="{text + 14}" y="{y + 15}" font-size="11">{below}</text>'


def _names(row: Row, lanes: Sequence[Lane]) -> str:
    """Return the names of the states that a row read and left, in the colours of their lines."""
    left = [_named(mark, lanes) for mark in row.marks if mark.how != "read"]
    left += [(_cut(name), f'fill="{_RESULT}" font-weight="600"') for name in row.results]
    if row.pictures:
        left.append((f"{row.pictures} plot{'' if row.pictures == 1 else 's'}", f'fill="{_SOFT}"'))
    if row.removed:
        left.append((f"{len(row.removed)} removed", f'fill="{_SOFT}"'))
    read = [_named(mark, lanes) for mark in row.marks if mark.how == "read"]
    arrow = f'<tspan fill="{_SOFT}"> → </tspan>' if left else ""
    room = _LINE_CHARACTERS if not left else _LINE_CHARACTERS // 2
    begin, length = _listed(read, room)
    return f"{begin}{arrow}{_listed(left, _LINE_CHARACTERS - length)[0]}"


def _named(mark: Mark, lanes: Sequence[Lane]) -> tuple[str, str]:
    """Return the name of a state, and its looks."""
    lane = lanes[mark.lane]
    number = f" ·{mark.state}" if lane.states > 1 else ""
    return f"{_cut(lane.name)}{number}", f'fill="{_colour(mark.lane, lane)}"'


def _listed(names: Iterable[tuple[str, str]], most: int) -> tuple[str, int]:
    """Return as many names as there is room for, and the number of their characters."""
    found = list(dict.fromkeys(names))
    shown, length = list[str](), 0
    for name, looks in found:
        if shown and length + len(name) > most:
            break
        shown.append(f"<tspan {looks}>{_plain(name)}</tspan>")
        length += len(name) + 2
    more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    return ", ".join(shown) + more, length + len(more)


def _mark(how: str, state: int, colour: str, x: int, y: int, lane: Lane | None = None) -> str:
    """Return the mark of a row on a line."""
    name = ""
    if lane is not None:
        number = f", state {state} of {lane.states}" if lane.states > 1 else ""
        name = f"<title>{how}: {_plain(lane.path)}{number}</title>"
    at = f"M{x} {y}" if lane is not None else ""
    if how == "changed":
        return f'<path d="{at or "M0 0"}m0-6.5 6.5 6.5-6.5 6.5-6.5-6.5z" fill="{colour}" stroke="#ffffff">{name}</path>'
    if how == "outside":
        looks = f'fill="#ffffff" stroke="{_TROUBLE}" stroke-width="2" stroke-dasharray="3 2"'
    elif how == "read":
        looks = f'fill="#ffffff" stroke="{colour}" stroke-width="2"'
    else:
        looks = f'fill="{colour}" stroke="{colour}"'
    return f'<circle cx="{x}" cy="{y}" r="{_RADIUS}" {looks}>{name}</circle>'


def _colour(number: int, lane: Lane) -> str:
    return _INPUT if lane.kind == "input" else _COLOURS[number % len(_COLOURS)]


def _x(lane: Lane) -> int:
    return _MARGIN + _COLUMN * lane.column + _COLUMN // 2


def _y(row: int) -> int:
    return _HEAD + _ROW * row + _ROW // 2


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"…{text[1 - _MOST_CHARACTERS :]}"


def _plain(text: str) -> str:
    """Return foreign text for an element: no markup, nothing that cannot be encoded or seen."""
    return escape("".join(c if c.isprintable() else "�" for c in text).encode("utf-8", "replace").decode())
