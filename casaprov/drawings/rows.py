"""A record folded for a drawing: a row for each call, and a line for each path that calls used.

Hundreds of states and pictures would hide the reduction:

- a path is one line, however often calls changed it in place; its states are marks on the line;
- products that nothing used have no line; their names stand in the row of their call, pictures are counted there;
- three calls or more of one task in a row that only read are one row;
- inner calls belong to their outer call, flag versions to their table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from casaprov.lineage.graph import Lineage
from casaprov.lineage.whole_calls import WholeCall, whole_calls
from casaprov.records.model import Document, Entity
from casaprov.records.values import value_text

__all__ = ["Edge", "Lane", "Mark", "Row", "Rows", "edges", "fold"]

_PICTURES = (".png", ".jpg", ".jpeg", ".pdf", ".ps", ".eps", ".svg", ".gif")
_FEWEST_FOLDED = 3
_MOST_PARAMETER = 40  # characters of one value
_MOST_PARAMETERS = 110  # characters of all


@dataclass(frozen=True)
class Mark:
    """The place where a row meets a line.

    Attributes
    ----------
    lane
        Place of the line in :attr:`Rows.lanes`.
    how
        ``read``; ``made`` anew or ``changed`` in place by the call; ``outside``: changed by something other than a call;
        ``copied``: made as a copy of the line that the same row reads.
    state
        Number of the state that was read, or that was left, from 1.
    """

    lane: int
    how: Literal["read", "made", "changed", "outside", "copied"]
    state: int


@dataclass(frozen=True)
class Row:
    """A call, several calls of one task, or something that happened between calls.

    Attributes
    ----------
    ids
        Ids of the calls, or of the state that something outside of calls left.
    number
        Number of the call, or ``3–14``; empty for what was no call.
    title
        The task, or what happened.
    parameters
        What was given, but for names of files that are drawn.
    results
        Products that nothing used, pictures aside.
    pictures
        Number of the pictures that were left.
    """

    ids: tuple[str, ...]
    number: str
    title: str
    parameters: str = ""
    outcome: str = "completed"
    marks: tuple[Mark, ...] = ()
    results: tuple[str, ...] = ()
    pictures: int = 0
    removed: tuple[str, ...] = ()

    @property
    def is_call(self) -> bool:
        """Return True unless something other than calls did it."""
        return bool(self.number)


@dataclass(frozen=True)
class Lane:
    """The line of one path.

    Attributes
    ----------
    kind
        ``input``: no recorded call made it. ``result``: nothing was made from its last state.
    first, last
        Rows in which the line begins and ends, from 0.
    column
        Its place beside the others, from 0; a column is used again when its line has ended.
    states
        Number of states that the path has.
    """

    path: str
    name: str
    kind: Literal["input", "between", "result"]
    first: int
    last: int
    column: int
    states: int


@dataclass(frozen=True)
class Rows:
    """A record, folded."""

    title: str
    calls: int
    rows: tuple[Row, ...]
    lanes: tuple[Lane, ...]


@dataclass(frozen=True)
class Edge:
    """The way of a state from a row, or from outside, to a row that uses it.

    Attributes
    ----------
    source
        Row that left the state; None for an input.
    strong
        True if the target changes it in place.
    """

    source: int | None
    target: int
    lane: int
    state: int
    strong: bool


def edges(folded: Rows) -> Iterator[Edge]:
    """Yield an edge for each use of a state, in the order of the rows."""
    last: dict[int, int] = {}
    for number, row in enumerate(folded.rows):
        left = {mark.lane: mark for mark in row.marks if mark.how != "read"}
        for mark in row.marks:
            if mark.how == "read":
                yield Edge(last.get(mark.lane), number, mark.lane, mark.state, strong=mark.lane in left)
        last |= dict.fromkeys(left, number)


def fold(document: Document, numbers: Mapping[str, int] | None = None) -> Rows:
    """Fold a record.

    Parameters
    ----------
    numbers
        Number of each call, by Activity id; by default its place in `document`.
    """
    folder = _Folder(Lineage(document), numbers or document.call_numbers)
    rows = _merged(folder.rows())
    return Rows(document.notebook, len(folder.calls), rows, folder.lanes(rows))


class _Folder:
    """Rows in the making: which paths have lines, and what was drawn already."""

    def __init__(self, lineage: Lineage, numbers: Mapping[str, int]) -> None:
        self._lineage = lineage
        self._numbers = numbers
        self.calls = whole_calls(lineage)
        used = [state.entity for call in self.calls for state in call.used]
        before = [state for entity in used for state in (entity, *lineage.origins(entity))]
        self._used = {entity.id for entity in before}
        self._paths = list(dict.fromkeys(entity.path for entity in before if not _accompanies(entity)))
        self._lanes = {path: lane for lane, path in enumerate(self._paths)}
        states = lineage.history.states
        self._states = {e.id: n for path in states for n, e in enumerate(states[path], start=1)}
        self._shown: set[str] = set()  # changes and copies outside of calls that have a row

    def rows(self) -> Iterator[Row]:
        """Yield the rows, one for each call, and those of what happened between calls."""
        for call in self.calls:
            for state in call.used:
                yield from self._outside(state.entity)
            yield self._call(call)

    def lanes(self, rows: Sequence[Row]) -> tuple[Lane, ...]:
        """Return the lines, each in a column of its own for as long as it goes."""
        reach: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            for mark in row.marks:
                reach.setdefault(mark.lane, []).append(number)
        ends: list[int] = []  # last row of the line that a column holds now
        columns: dict[int, int] = {}
        for lane in sorted(reach, key=lambda lane: (reach[lane][0], -reach[lane][-1], lane)):
            column = next((n for n, end in enumerate(ends) if end < reach[lane][0]), len(ends))
            ends[column : column + 1] = [reach[lane][-1]]
            columns[lane] = column
        last = {entity.id for entity in self._lineage.products()}
        made_from = {usage.entity for a in self._lineage.document.activities if a.generated for usage in a.used}
        results = {e.path for e in self._lineage.document.entities if e.id in last - made_from}
        inputs = {entity.path for entity in self._lineage.inputs() if not entity.gap and entity.revision_of is None}
        return tuple(
            Lane(
                path=path,
                name=_shown(self._lineage.history.states[PurePosixPath(path)][0]),
                kind="input" if path in inputs else "result" if path in results else "between",
                first=reach[lane][0] if lane in reach else 0,
                last=reach[lane][-1] if lane in reach else 0,
                column=columns.get(lane, 0),
                states=len(self._lineage.history.states[PurePosixPath(path)]),
            )
            for path, lane in self._lanes.items()
        )

    def _outside(self, entity: Entity) -> Iterator[Row]:
        """Yield a row for each change or copy that led to a state outside of calls."""
        before = self._lineage.before(entity)
        if before is None or entity.id in self._shown or _accompanies(entity):
            return
        self._shown.add(entity.id)
        yield from self._outside(before)
        copied = entity.copy_of is not None
        title = "copied outside of tasks" if copied else "changed outside of tasks"
        left = Mark(self._lanes[entity.path], "copied" if copied else "outside", self._states[entity.id])
        read = [Mark(self._lanes[before.path], "read", self._states[before.id])] if before.path in self._lanes else []
        yield Row((entity.id,), "", title, marks=(*read, left))

    def _call(self, call: WholeCall) -> Row:
        activity = call.activity
        used = [s.entity for s in call.used if not _accompanies(s.entity)]
        left = [s.entity for s in call.left if not _accompanies(s.entity)]
        before = {entity.path for entity in used}
        marks = [Mark(self._lanes[e.path], "read", self._states[e.id]) for e in used]
        marks += [
            Mark(self._lanes[e.path], "changed" if e.path in before else "made", self._states[e.id])
            for e in left
            if e.path in self._lanes
        ]
        others = [entity for entity in left if entity.path not in self._lanes]
        return Row(
            ids=(activity.id,),
            number=str(self._numbers[activity.id]),
            title=activity.task,
            parameters=_parameters(call),
            outcome=activity.outcome,
            marks=tuple(marks),
            results=tuple(_shown(entity) for entity in others if not _is_picture(entity)),
            pictures=sum(map(_is_picture, others)),
            removed=call.deleted,
        )


def _merged(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Make one row of three calls or more of a task that follow each other and only read."""
    found: list[list[Row]] = []
    for row in rows:
        if found and _only_reads(row) and _only_reads(found[-1][-1]) and found[-1][-1].title == row.title:
            found[-1].append(row)
        else:
            found.append([row])
    return tuple(row for alike in found for row in ([_merge(alike)] if len(alike) >= _FEWEST_FOLDED else alike))


def _only_reads(row: Row) -> bool:
    return (
        row.is_call and row.outcome == "completed" and not row.removed and all(mark.how == "read" for mark in row.marks)
    )


def _merge(rows: Sequence[Row]) -> Row:
    marks = {(mark.lane, mark.state): mark for row in rows for mark in row.marks}
    latest = {lane: mark for (lane, _), mark in marks.items()}
    common = set.intersection(*(set(row.parameters.split(", ")) for row in rows))
    parameters = ", ".join(text for text in rows[0].parameters.split(", ") if text in common)
    return replace(
        rows[0],
        ids=tuple(name for row in rows for name in row.ids),
        number=f"{rows[0].number}–{rows[-1].number}",
        title=f"{rows[0].title} × {len(rows)}",
        parameters=parameters,
        marks=tuple(latest.values()),
        results=tuple(dict.fromkeys(path for row in rows for path in row.results)),
        pictures=sum(row.pictures for row in rows),
    )


def _parameters(call: WholeCall) -> str:
    """Return the parameters that were given, but for those that name the files of the call."""
    named = {state.parameter for state in (*call.used, *call.left)}
    texts = []
    for name in call.activity.given:
        value = call.activity.parameters.get(name)
        if name not in named and value not in ("", None, []):
            texts.append(f"{name}={value_text(value, _MOST_PARAMETER)}")
    found = ""
    for text in texts:
        joined = f"{found}, {text}" if found else text
        if len(joined) > _MOST_PARAMETERS:
            return f"{found}, …"
        found = joined
    return found


def _accompanies(entity: Entity) -> bool:
    """Return True for flag versions, which belong to a table."""
    return entity.path.endswith(".flagversions")


def _is_picture(entity: Entity) -> bool:
    return entity.kind == "File" and entity.path.lower().endswith(_PICTURES)


def _shown(entity: Entity) -> str:
    """Return a path as people read it: the whole of it below the session's folder, else its last part."""
    return PurePosixPath(entity.path).name if entity.path.startswith("/") else entity.path
