"""Calls that continued from an old run: they used states of an earlier run of the same cell, or of a later cell.

Run from the top, the notebook begins without that: tclean finds no model to go on from, no mask and no flags of last
time. A state of a table need not matter as a whole. Whether it does is asked of a :data:`Relevant`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from casaprov.lineage.graph import Lineage, only_removes
from casaprov.records.model import Activity, Entity, Usage

__all__ = ["Continued", "Relevant", "all_matters", "execution", "find_continued", "is_superseded"]

Relevant = Callable[[Activity, Usage, Entity, Entity | None], tuple[str, ...]]
"""Returns the parts of a used state that matter to the call and that differ from another state of the path.

The other state is None if there was nothing. None of the parts: it makes no difference to the call. The part ``""``
stands for the whole.
"""

_MOST_NAMED = 5


def all_matters(_call: Activity, _usage: Usage, used: Entity, other: Entity | None) -> tuple[str, ...]:
    """Return the whole unless the contents are the same: the :data:`Relevant` of somebody who knows no more."""
    same = other is not None and used.content_digest is not None and used.content_digest == other.content_digest
    return () if same else ("",)


@dataclass(frozen=True)
class Continued:
    """A call that continued from states of an old run.

    Attributes
    ----------
    call, cell
        The call, and the number of its code cell, from 1 at the top.
    maker, made_in
        The call of an old run that left it, and the number of its code cell.
    used
        The states that it used, each with the parts that matter.
    """

    call: Activity
    cell: int
    maker: Activity
    made_in: int
    used: tuple[tuple[Entity, tuple[str, ...]], ...]

    @property
    def source(self) -> str:
        """The states that the call used, in words."""
        names = [_named(state, parts) for state, parts in self.used]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        return ", ".join(names[:_MOST_NAMED]) + more

    def __str__(self) -> str:
        return (
            f"Cell {self.cell} ({self.call.task}) continued from {self.source}, which an earlier run of cell "
            f"{self.made_in} ({self.maker.task}) had left; a run from the top begins without that"
        )


def find_continued(
    lineage: Lineage, cells: Mapping[str, int], relevant: Relevant = all_matters
) -> dict[str, tuple[Continued, ...]]:
    """Find the calls that continued from an old run, by id.

    Parameters
    ----------
    cells
        Number of the code cell, from 1 at the top, that each Activity ran in, by Activity id; Activities without a
        number are not judged.
    """
    found: dict[str, tuple[Continued, ...]] = {}
    for call in lineage.document.activities:
        if call.id in cells and not only_removes(call):
            makers: dict[str, list[tuple[Entity, tuple[str, ...]]]] = {}
            for usage in call.used:
                used = lineage.entities[usage.entity]
                maker = lineage.maker(used)
                if maker is None or not _is_old(maker, call, cells):
                    continue
                if parts := relevant(call, usage, used, _base(lineage, used, call, cells)):
                    makers.setdefault(maker.id, []).append((used, parts))
            if makers:
                found[call.id] = tuple(
                    Continued(call, cells[call.id], lineage.activities[maker], cells[maker], tuple(states))
                    for maker, states in makers.items()
                )
    return found


def is_superseded(call: Activity, lineage: Lineage, cells: Mapping[str, int]) -> bool:
    """Return True if the cell of a call ran again later."""
    later = False
    for other in lineage.document.activities:
        if other.id == call.id:
            later = True
        elif later and cells.get(other.id) == cells.get(call.id) and execution(other) != execution(call):
            return True
    return False


def execution(call: Activity) -> tuple[str, int | None]:
    """Return the identity of the run of a cell that a call belongs to."""
    return call.session, call.step.execution_count if call.step is not None else None


def _is_old(maker: Activity, call: Activity, cells: Mapping[str, int]) -> bool:
    """Return True if a run from the top would not have come to `maker` before `call`."""
    if maker.id not in cells:
        return False
    if cells[maker.id] == cells[call.id]:
        return execution(maker) != execution(call)
    return cells[maker.id] > cells[call.id]


def _base(lineage: Lineage, used: Entity, call: Activity, cells: Mapping[str, int]) -> Entity | None:
    """Return the state of the path that no old run had left, of those that `used` came from; None if there is none."""
    state: Entity | None = used
    while state is not None:
        maker = lineage.maker(state)
        if maker is None or not _is_old(maker, call, cells):
            return state
        state = lineage.entities.get(state.copy_of or state.revision_of or "")
    return None


def _named(state: Entity, parts: tuple[str, ...]) -> str:
    names = [part for part in parts if part]
    more = " and more" if len(names) > _MOST_NAMED else ""
    return f"{state.path} ({', '.join(names[:_MOST_NAMED])}{more})" if names else state.path
