"""In which order the cells of a notebook stand, as far as its kernel can know.

The kernel sees no notebook, only requests to run cells. The saved file tells
the order, if every cell that ran is in it; else cells count in the order in
which they ran for the first time, which is how a notebook is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from casaprov.errors import CasaprovError
from casaprov.lineage import Lineage
from casaprov.model import Activity, Document, Step
from casaprov.notebook.subject import cell_numbers

__all__ = ["CellOrder", "cell_order", "stale_notes", "used_stale"]


@dataclass(frozen=True)
class CellOrder:
    """Number of the cell of each call, and how cells are called.

    Attributes
    ----------
    numbers
        By id of the Activity.
    saved
        Whether the numbers are those of the saved notebook's code cells.
    """

    numbers: Mapping[str, int]
    saved: bool

    def named(self, activity: Activity) -> str:
        """Name of the cell that a call ran in: its number, its ``In [n]``, or both."""
        count = activity.step.execution_count if activity.step is not None else None
        prompt = f"In [{count}]" if count is not None else ""
        if not self.saved or activity.id not in self.numbers:
            return prompt or "a cell"
        return f"cell {self.numbers[activity.id]}" + (f", {prompt}" if prompt else "")


def cell_order(document: Document, notebook: Path) -> CellOrder:
    """Return the order of the cells that the calls of a Document ran in."""
    try:
        saved = cell_numbers(notebook.read_bytes(), document) if notebook.is_file() else {}
    except (OSError, CasaprovError):
        saved = {}
    in_cells = [activity for activity in document.activities if activity.step is not None]
    if saved and all(activity.id in saved for activity in in_cells):
        return CellOrder(saved, saved=True)
    positions: dict[str, int] = {}
    numbers = {}
    for activity in in_cells:
        assert activity.step is not None
        numbers[activity.id] = positions.setdefault(_cell(activity.step), len(positions) + 1)
    return CellOrder(numbers, saved=False)


def _cell(step: Step) -> str:
    return step.cell_id or step.source_digest


def stale_notes(lineage: Lineage, order: CellOrder) -> list[tuple[str, str]]:
    """Return products that are stale, and why."""
    return [
        (
            found.product.path,
            (
                f"{found.call.task} ({order.named(found.call)}) used {found.used.path} as it was before "
                f"{found.changer.task} ({order.named(found.changer)}) ran again"
            ),
        )
        for found in lineage.stale(order.numbers)
    ]


def used_stale(lineage: Lineage, order: CellOrder, calls: Iterable[str]) -> list[str]:
    """Say which of these calls used something stale, and what to run again.

    Parameters
    ----------
    calls
        Ids of Activities.
    """
    used = {call: [u.entity for u in lineage.activities[call].used] for call in calls}
    states = {state: lineage.entities[state] for used_states in used.values() for state in used_states}
    found = {stale.product.id: stale for stale in lineage.stale(order.numbers, states.values())}
    notes = []
    for call, used_states in used.items():
        for stale in (found[state] for state in used_states if state in found):
            maker = order.named(stale.call)
            notes.append(
                f"{lineage.activities[call].task} used {stale.product.path}, which is stale: {stale.call.task} "
                f"({maker}) used {stale.used.path} as it was before {stale.changer.task} "
                f"({order.named(stale.changer)}) ran again. Run {maker} again, then this cell."
            )
    return list(dict.fromkeys(notes))
