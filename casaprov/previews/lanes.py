"""The lineage as lanes: a column for each path, a row for each call, and marks where the two meet.

It grows with the number of calls and stays readable with hundreds, where a drawn graph does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Document

__all__ = ["MOST_CALLS", "lanes_svg"]

MOST_CALLS = 400
"""Calls up to which the drawing helps."""

_MOST_LANES = 40
_ROW, _LANE, _LEFT, _HEAD, _RADIUS = 24, 26, 190, 130, 5
_LABEL = 22  # characters


@dataclass(frozen=True)
class _Lane:
    path: str
    x: int
    rows: tuple[int, ...]
    is_input: bool
    is_product: bool


def lanes_svg(document: Document) -> str:
    """Return the drawing; empty if there are too many calls, or no paths."""
    if len(document.activities) > MOST_CALLS:
        return ""
    lanes = _lanes(document)
    if not lanes:
        return ""
    width, height = _LEFT + _LANE * len(lanes) + 100, _HEAD + _ROW * len(document.activities) + 16
    parts = [
        (
            f'<svg class="lanes" role="img" aria-labelledby="lanes-title" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" xmlns="http://www.w3.org/2000/svg">'
        ),
        (
            f'<title id="lanes-title">Lineage of {len(lanes)} paths through {len(document.activities)} calls; '
            "the table of steps says the same in words</title>"
        ),
    ]
    for lane in lanes:
        parts += _lane(lane)
    by_path = {lane.path: lane for lane in lanes}
    entities = {entity.id: entity.path for entity in document.entities}
    numbers = document.call_numbers
    for row, activity in enumerate(document.activities):
        used = [by_path[p] for u in activity.used if (p := entities.get(u.entity, "")) in by_path]
        made = [by_path[p] for u in activity.generated if (p := entities.get(u.entity, "")) in by_path]
        parts += _call(row, numbers[activity.id], activity, used, made)
    return "\n".join([*parts, "</svg>"])


def _lanes(document: Document) -> list[_Lane]:
    rows: dict[str, list[int]] = {}
    entities = {entity.id: entity.path for entity in document.entities}
    for row, activity in enumerate(document.activities):
        for usage in (*activity.used, *activity.generated):
            if path := entities.get(usage.entity):
                rows.setdefault(path, []).append(row)
    lineage = Lineage(document)
    inputs, products = ({e.path for e in found} for found in (lineage.inputs(), lineage.products()))
    # The paths that tie calls together come first in the choice; the order of the lanes is that of time.
    chosen = set(sorted(rows, key=lambda path: (-len(set(rows[path])), rows[path][0], path))[:_MOST_LANES])
    return [
        _Lane(path, _LEFT + _LANE * n + _LANE // 2, tuple(rows[path]), path in inputs, path in products)
        for n, path in enumerate(path for path in rows if path in chosen)
    ]


def _lane(lane: _Lane) -> list[str]:
    kind = "input" if lane.is_input else "product" if lane.is_product else "between"
    name = lane.path.rstrip("/").rpartition("/")[2]
    shown = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
    top, bottom = (_HEAD + _ROW * row + _ROW // 2 for row in (lane.rows[0], lane.rows[-1]))
    return [
        (
            f'<g class="{kind}"><text x="{lane.x}" y="{_HEAD - 8}" transform="rotate(-55 {lane.x} {_HEAD - 8})">'
            f"{_plain(shown)}<title>{_plain(lane.path)} ({kind})</title></text>"
        ),
        f'<line x1="{lane.x}" y1="{_HEAD}" x2="{lane.x}" y2="{bottom}" class="before"/>',
        f'<line x1="{lane.x}" y1="{top}" x2="{lane.x}" y2="{bottom}"/></g>',
    ]


def _call(row: int, number: int, activity: Activity, used: list[_Lane], made: list[_Lane]) -> list[str]:
    y = _HEAD + _ROW * row + _ROW // 2
    failed = "" if activity.outcome == "completed" else " failed"
    label = f"{number} {activity.task}" + (f" ({activity.outcome})" if failed else "")
    parts = [f'<g class="call{failed}"><text x="4" y="{y + 4}">{_plain(label)}</text>']
    touched = [lane.x for lane in (*used, *made)]
    if touched:
        parts.append(f'<line x1="{_LEFT - 6}" y1="{y}" x2="{max(touched)}" y2="{y}"/>')
    changed = {lane.path for lane in used} & {lane.path for lane in made}
    for lane in {lane.path: lane for lane in (*used, *made)}.values():
        is_made = any(one.path == lane.path for one in made)
        what = "changed" if lane.path in changed else "made" if is_made else "read"
        mark = f'<circle cx="{lane.x}" cy="{y}" r="{_RADIUS}" class="{what}">'
        parts.append(f"{mark}<title>{_plain(activity.task)} {what} {_plain(lane.path)}</title></circle>")
    return [*parts, "</g>"]


def _plain(text: str) -> str:
    return escape("".join(c if c.isprintable() else " " for c in text).encode("utf-8", "replace").decode())
