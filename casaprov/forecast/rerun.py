"""Cells that have to run again, so that the products are those of a run from the top; and answers about the products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from casaprov.forecast.fresh_run import FreshCell, FreshRun, Presence, State, Unknown, is_same
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Entity

__all__ = ["CellToRun", "Check", "OtherProduct", "check"]

_JOURNAL = ".casaprov/"


@dataclass(frozen=True, kw_only=True)
class CellToRun:
    """A cell that has to run again.

    Attributes
    ----------
    number
        Its number among the code cells, from 1.
    tasks
        Tasks that it called when it ran last.
    aside
        Paths where a run from the top finds nothing, and something is now.
    """

    number: int
    source: str
    cell_id: str
    tasks: tuple[str, ...]
    reasons: tuple[str, ...]
    aside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OtherProduct:
    """A product that a run of the saved notebook would not give as it is."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """Comparison of the products with those that a run of the saved notebook from the top would give.

    Attributes
    ----------
    products
        Products that it would not give as they are.
    cells
        Cells that have to run again, in their order.
    lost
        Inputs that a cell of these needs, and that calls have changed in place: nothing recorded brings them back.
    notes
        What the record cannot tell.
    run
        Name of the run from the top, for the answer.
    """

    products: tuple[OtherProduct, ...]
    cells: tuple[CellToRun, ...]
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    run: str = "Restart & Run All"

    @property
    def holds(self) -> bool:
        """True if the run would give all products as they are, as far as the record can tell."""
        return not self.products and not self.cells

    @property
    def answer(self) -> str:
        """The answer as a sentence."""
        return f"{self.run} {'would' if self.holds else 'would not'} give these products."

    @property
    def requests(self) -> tuple[str, ...]:
        """Sentences about the inputs that the user has to bring back."""
        return tuple(f"{path} is an input that calls changed: bring it back before." for path in self.lost)


def check(lineage: Lineage, run: FreshRun, presence: Callable[[Entity], Presence]) -> Check:
    """Compare the states that a run from the top would leave with the files.

    Parameters
    ----------
    run
        The run, by :func:`casaprov.forecast.fresh_run.fresh_run`.
    presence
        Compares a state with what is at its path now.
    """
    return _Checked(lineage, run, presence).answer()


class _Checked:
    """The states on the disk, and the cells that have to run until they are those of the walk."""

    def __init__(self, lineage: Lineage, run: FreshRun, presence: Callable[[Entity], Presence]) -> None:
        self._lineage = lineage
        self._run = run
        self._cells = {cell.cell.number: cell for cell in run.cells}
        self._presence = {
            path: presence(state) for path, state in lineage.history.last.items() if not path.startswith(_JOURNAL)
        }
        self._disk = dict(self._on_disk())
        self._reasons: dict[int, list[str]] = {}
        self._aside: dict[int, tuple[str, ...]] = {}
        self._lost: dict[str, None] = {}

    def answer(self) -> Check:
        products = tuple(self._other_products())
        for number, cell in self._cells.items():
            if not cell.is_known:
                self._reasons[number] = [doubt.text for doubt in cell.all_doubts if doubt.concerns_run]
        while (needed := self._needed()) is not None:
            number, reason = needed
            self._reasons.setdefault(number, []).append(reason)
        cells = tuple(self._cell_to_run(self._cells[number]) for number in sorted(self._reasons))
        outside = (d.text for cell in self._run.cells for d in cell.all_doubts if not d.concerns_run)
        return Check(products=products, cells=cells, lost=tuple(self._lost), notes=tuple(dict.fromkeys(outside)))

    # -- the disk ------------------------------------------------------------

    def _on_disk(self) -> Iterator[tuple[str, State]]:
        """Yield the present state of each path that calls left."""
        for path, state in self._lineage.history.last.items():
            there = self._presence.get(path, "gone")
            last = self._lineage.history.states[PurePosixPath(path)][-1]
            if there == "same":
                yield path, state
            elif there == "other":
                yield path, last if last.gap else Unknown(path, -1)

    def _other_products(self) -> Iterator[OtherProduct]:
        for path, wanted in self._run.final.items():
            if path.startswith(_JOURNAL) or not self._run.made_in.get(path):
                continue
            there = self._disk.get(path)
            if is_same(there, wanted):
                continue
            yield OtherProduct(path=path, reason=self._why_other(path, wanted, there))
        for product in self._lineage.products():
            if product.path.startswith(_JOURNAL) or product.path in self._run.final or product.path not in self._disk:
                continue
            yield OtherProduct(path=product.path, reason="No cell of the saved notebook makes it.")

    def _why_other(self, path: str, wanted: State, there: State) -> str:
        if isinstance(wanted, Unknown):
            return " ".join(doubt.text for doubt in self._cells[wanted.cell].all_doubts[:1]) or "It is not known."
        if there is None:
            return f"It is not there; cell {self._run.made_in[path]} makes it."
        if isinstance(there, Entity) and (by := self._lineage.maker(there)) is not None and not there.gap:
            return f"{by.task} left it so, in a run of its cell that a run from the top does not repeat."
        return "Something that is not recorded changed it after the last call."

    # -- what has to run -----------------------------------------------------

    def _needed(self) -> tuple[int, str] | None:
        """Return a further cell that has to run, with the reason; None if these are enough."""
        disk = dict(self._disk)
        for number in sorted(self._reasons):
            cell = self._cells[number]
            self._aside[number] = tuple(
                path for path, wanted in cell.before.items() if wanted is None and disk.get(path) is not None
            )
            for path, wanted in cell.before.items():
                if wanted is None or is_same(disk.get(path), wanted):
                    continue
                if path not in disk and not cell.made_in.get(path):
                    continue  # an external input that no call changed
                maker = cell.made_in.get(path, 0)
                if maker and maker not in self._reasons:
                    return maker, f"Cell {number} needs {path} as this cell leaves it."
                if not maker:
                    self._lost[path] = None
            for path in cell.before:
                disk.pop(path, None)
            disk.update(cell.after)
        for path, wanted in self._run.final.items():
            maker = self._run.made_in.get(path, 0)
            if maker and maker not in self._reasons and not is_same(disk.get(path), wanted):
                return maker, f"{path} is not what this cell leaves."
        return None

    def _cell_to_run(self, cell: FreshCell) -> CellToRun:
        return CellToRun(
            number=cell.cell.number,
            source=cell.cell.source,
            cell_id=cell.cell.id,
            tasks=tuple(dict.fromkeys(call.activity.task for call in cell.calls)),
            reasons=tuple(dict.fromkeys(self._reasons[cell.cell.number])),
            aside=self._aside.get(cell.cell.number, ()),
        )
