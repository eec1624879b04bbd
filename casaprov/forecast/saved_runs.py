"""Runs of the cells of a saved notebook, as its record has them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from casaprov.hashing import Digest
from casaprov.lineage.graph import Lineage
from casaprov.lineage.saved_cells import code_cells, source_digest
from casaprov.records.model import Activity, Entity, Step, Usage
from casaprov.tasks.pathnames import strings
from casaprov.tasks.specs import TaskSpec, load_specs, spec_of

__all__ = ["CallRun", "CellRun", "SavedCell", "saved_cells"]


@dataclass(frozen=True, kw_only=True)
class CallRun:
    """A call that no other call made, with the calls that it made.

    Attributes
    ----------
    used
        States that it found.
    left
        Its last state of each path that it wrote.
    named
        Paths that its parameters may name as inputs, and where nothing was.
    goes_on
        Paths that it made, and would have read and changed if there had been something.
    """

    activity: Activity
    used: tuple[Entity, ...]
    left: tuple[Entity, ...]
    deleted: tuple[str, ...]
    named: frozenset[str]
    goes_on: frozenset[str]

    @property
    def paths(self) -> frozenset[str]:
        """Paths that it used or left."""
        return frozenset(entity.path for entity in (*self.used, *self.left))

    def removes(self, path: str) -> bool:
        """Return True if it removed a path, or a folder above it."""
        return any(path == gone or PurePosixPath(gone) in PurePosixPath(path).parents for gone in self.deleted)


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """One run of a cell: its calls, in the order in which they began."""

    step: Step
    calls: tuple[CallRun, ...]

    def is_like(self, other: CellRun) -> bool:
        """Return True if two runs made the same calls with the same parameters."""
        return self._signature == other._signature

    @cached_property
    def _signature(self) -> list[Any]:
        return [(call.activity.task, call.activity.package, call.activity.parameters) for call in self.calls]


@dataclass(frozen=True, kw_only=True)
class SavedCell:
    """A code cell of a saved notebook.

    Attributes
    ----------
    number
        Its number among the code cells, from 1.
    runs
        Its runs with the present text, in the order in which they happened.
    former
        Its runs with another text.
    has_run
        False if the notebook was saved before it ran.
    """

    number: int
    source: str
    digest: Digest
    id: str
    runs: tuple[CellRun, ...]
    former: tuple[CellRun, ...]
    has_run: bool


def saved_cells(lineage: Lineage, notebook: bytes) -> tuple[SavedCell, ...]:
    """Return the code cells of a notebook with their runs.

    Parameters
    ----------
    notebook
        Content of the .ipynb file.
    """
    runs = tuple(_runs(lineage))
    cells = code_cells(notebook)
    ids = frozenset(str(cell["id"]) for cell in cells if cell.get("id"))
    was_executed = any(isinstance(cell.get("execution_count"), int) for cell in cells)
    return tuple(_saved_cell(number, cell, runs, ids, was_executed) for number, cell in enumerate(cells, start=1))


def _saved_cell(
    number: int, cell: Mapping[str, Any], runs: Sequence[CellRun], ids: frozenset[str], was_executed: bool
) -> SavedCell:
    digest, cell_id = source_digest(dict(cell)), str(cell.get("id") or "")
    source = cell.get("source", "")
    own = [run for run in runs if run.step.cell_id and run.step.cell_id == cell_id]
    # A front end that sends no ids, and a cell that was copied into another notebook, are known by the text.
    same = [run for run in runs if run.step.source_digest == digest and (run in own or run.step.cell_id not in ids)]
    return SavedCell(
        number=number,
        source="".join(line for line in source if isinstance(line, str)) if isinstance(source, list) else str(source),
        digest=digest,
        id=cell_id,
        runs=tuple(same),
        former=tuple(run for run in own if run not in same),
        # All outputs may have been cleared: then no cell has a number.
        has_run=isinstance(cell.get("execution_count"), int) or not was_executed,
    )


def _runs(lineage: Lineage) -> Iterator[CellRun]:
    inner: dict[str, list[Activity]] = {}
    outermost: dict[tuple[str, str, int | None], list[Activity]] = {}
    for activity in lineage.document.activities:
        if activity.parent in lineage.activities:
            inner.setdefault(str(activity.parent), []).append(activity)
        elif activity.step is not None:
            step = activity.step
            key = (activity.session, step.cell_id or step.source_digest, step.execution_count)
            outermost.setdefault(key, []).append(activity)
    for activities in outermost.values():
        if (first := activities[0].step) is not None:
            yield CellRun(step=first, calls=tuple(_call_run(lineage, call, inner) for call in activities))


def _call_run(lineage: Lineage, call: Activity, inner: Mapping[str, Sequence[Activity]]) -> CallRun:
    family = [call]
    for member in family:  # grows
        family += inner.get(member.id, ())
    ids = frozenset(member.id for member in family)
    used = {
        usage.entity: lineage.entities[usage.entity]
        for member in family
        for usage in member.used
        if lineage.entities[usage.entity].generated_by not in ids
    }
    left: dict[str, Entity] = {}
    for member in (one for one in lineage.history.calls if one.id in ids):  # in the order of ends
        for usage in member.generated:
            state = lineage.entities[usage.entity]
            if state.id not in _before(lineage, left.get(state.path)):
                left[state.path] = state
    deleted = tuple(path for member in family for path in member.deleted if path not in left)
    spec = spec_of(load_specs(), call.package, call.task)
    made = {lineage.entities[usage.entity].path for usage in call.generated if spec and _may_go_on(spec, call, usage)}
    return CallRun(
        activity=call,
        used=tuple(used.values()),
        left=tuple(left.values()),
        deleted=deleted,
        named=_named(spec, call) - {state.path for state in (*used.values(), *(left.values() if spec is None else ()))},
        goes_on=frozenset(made - {state.path for state in used.values()}),
    )


def _may_go_on(spec: TaskSpec, call: Activity, usage: Usage) -> bool:
    return any(
        entry.verb == "updated" and entry.parameter == usage.parameter and entry.active(call.parameters)
        for entry in spec.entries
    )


def _named(spec: TaskSpec | None, call: Activity) -> frozenset[str]:
    names: set[str | None] = set(call.parameters)
    if spec is not None:
        names = {
            entry.parameter for entry in spec.entries if entry.verb != "generated" and entry.active(call.parameters)
        }
    texts = (text for name in names for text in strings(call.parameters.get(name or ""), everywhere=True))
    return frozenset(os.path.normpath(PurePosixPath(call.cwd, text)) for text in texts if text)


def _before(lineage: Lineage, state: Entity | None) -> Iterable[str]:
    """Yield the ids of the states that a state was changed from: inner calls go on with those of the outer one."""
    while state is not None:
        yield state.id
        state = lineage.entities.get(state.revision_of or "")
