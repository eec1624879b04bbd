"""Order of the cells of a notebook, as far as its kernel can know it.

The kernel sees no notebook, only requests to run cells; the saved file has the order. A cell that is not in the file
counts as standing below the cell that ran before it did for the first time, which is how a notebook is written.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from casaprov.errors import CasaprovError
from casaprov.lineage.cell_order import Stale, find_stale
from casaprov.lineage.continued import Relevant, all_matters, find_continued
from casaprov.lineage.graph import Lineage, only_removes
from casaprov.notebook.subject import cell_numbers
from casaprov.records.model import Activity, Document, Entity, Step

__all__ = ["CellOrder", "cell_order", "continued_notes", "stale_notes", "used_stale"]


@dataclass(frozen=True)
class CellOrder:
    """Places and names of the cells that calls ran in.

    Attributes
    ----------
    numbers
        Place of the cell by id of the Activity; larger further down.
    saved
        Number among the code cells of the saved notebook by id of the Activity, for cells that are in it.
    """

    numbers: Mapping[str, int]
    saved: Mapping[str, int]

    def named(self, activity: Activity) -> str:
        """Return the name of the cell that a call ran in: its number, its ``In [n]``, or both."""
        count = activity.step.execution_count if activity.step is not None else None
        names = [f"cell {self.saved[activity.id]}"] if activity.id in self.saved else []
        names += [f"In [{count}]"] if count is not None else []
        return ", ".join(names) or "a cell"


def cell_order(document: Document, notebook: Path) -> CellOrder:
    """Return the order of the cells that the calls of a Document ran in."""
    try:
        saved = cell_numbers(notebook.read_bytes(), document) if notebook.is_file() else {}
    except (OSError, CasaprovError):
        saved = {}
    places: dict[str, tuple[int, int]] = {}  # of each cell
    last = 0  # number of the last saved cell that ran
    in_cells = {a.id: _cell(a.step) for a in document.activities if a.step is not None}
    for activity, cell in in_cells.items():
        last = saved.get(activity, last)
        places.setdefault(cell, (last, 0 if activity in saved else len(places) + 1))
    dense = {place: number for number, place in enumerate(sorted(set(places.values())), start=1)}
    return CellOrder({activity: dense[places[cell]] for activity, cell in in_cells.items()}, saved)


def _cell(step: Step) -> str:
    return step.cell_id or step.source_digest


def stale_notes(
    lineage: Lineage, order: CellOrder, products: Iterable[Entity], relevant: Relevant = all_matters
) -> list[tuple[tuple[str, ...], str]]:
    """Return the reasons why some of these products are stale, each once, with the paths of the products."""
    paths: dict[str, list[str]] = {}
    for found in find_stale(lineage, order.numbers, products, relevant):
        paths.setdefault(_reason(found, order), []).append(found.product.path)
    return [(tuple(dict.fromkeys(same)), reason) for reason, same in paths.items()]


def _reason(found: Stale, order: CellOrder) -> str:
    call, changer = f"{found.call.task} ({order.named(found.call)})", order.named(found.changer)
    if found.continued is not None:
        return f"{call} continued from {found.continued.source}, which {found.changer.task} ({changer}) had left in an earlier run"
    return f"{call} used {found.source} as it was before {found.changer.task} ({changer}) ran again"


def continued_notes(lineage: Lineage, order: CellOrder, calls: Container[str], relevant: Relevant) -> list[str]:
    """Return a sentence for each of these calls that continued from states of an old run."""
    return [
        f"{one.call.task} continued from {one.source}, which {one.maker.task} ({order.named(one.maker)}) had left in an "
        "earlier run. Run from the top, the notebook begins without that and may give another result; "
        "to begin anew, remove what was left and run this cell again."
        for several in find_continued(lineage, order.numbers, relevant).values()
        for one in several
        if one.call.id in calls
    ]


def used_stale(lineage: Lineage, order: CellOrder, calls: Iterable[str], relevant: Relevant = all_matters) -> list[str]:
    """Return a sentence for each stale product that these calls used, with the cell to run again.

    Parameters
    ----------
    calls
        Ids of Activities.
    """
    used = {
        call: [usage.entity for usage in lineage.activities[call].used]
        for call in calls
        if not only_removes(lineage.activities[call])
    }
    states = {state: lineage.entities[state] for used_states in used.values() for state in used_states}
    stale_for: dict[int | None, dict[str, Stale]] = {}  # by cell
    # Many products can be stale for one reason, and many calls can use them: each reason is given once.
    causes: dict[str, tuple[list[str], list[str]]] = {}
    for call, used_states in used.items():
        own = order.numbers.get(call)
        if own not in stale_for:
            # A cell further down that changed a table makes nothing stale above: running it first would not help.
            above = {other: number for other, number in order.numbers.items() if own is None or number <= own}
            stale_for[own] = {
                stale.product.id: stale for stale in find_stale(lineage, above, states.values(), relevant)
            }
        for stale in (stale_for[own][state] for state in used_states if state in stale_for[own]):
            remedy = "" if stale.continued is not None else f" Run {order.named(stale.call)} again, then this cell."
            tasks, paths = causes.setdefault(f"{_reason(stale, order)}.{remedy}", ([], []))
            tasks.append(lineage.activities[call].task)
            paths.append(stale.product.path)
    return [
        f"{_listed(tasks)} used {_listed(paths)}, which {'is' if len(set(paths)) == 1 else 'are'} stale: {reason}"
        for reason, (tasks, paths) in causes.items()
    ]


def _listed(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
