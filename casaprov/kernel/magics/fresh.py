"""``%casaprov check`` and ``%casaprov rerun``: the notebook as "Restart & Run All" would leave it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import UsageError
from casaprov.forecast.fresh_run import fresh_run
from casaprov.forecast.presence import present_files
from casaprov.forecast.rerun import CellToRun, Check, check
from casaprov.hashing import Digest
from casaprov.journal.folder import journal_folder, present_folders
from casaprov.kernel.page import Line, Part, Table
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["FreshNotebook", "check_page"]

_ASIDE = Path(".casaprov", "aside")


@dataclass(frozen=True)
class FreshNotebook:
    """A saved notebook, its record, and the files as they are.

    Parameters
    ----------
    document
        Returns the record, when all digests are known.
    measure
        Measures a file or table.
    executed
        Returns the digests of the sources that were executed last, by the id of the cell.
    """

    notebook: Path
    document: Callable[[], Document]
    measure: Measure[Measurement]
    executed: Callable[[], Mapping[str, Digest]]

    def check(self) -> Check:
        """Compare the products with those of a run from the top."""
        document = self.document()
        lineage, presence = Lineage(document), present_files(self._folders(document), self.measure)
        run = fresh_run(lineage, self.notebook.read_bytes(), presence, self.executed())
        return check(lineage, run, presence)

    def run_again(self, shell: InteractiveShell, held_reason: Callable[[Sequence[Path]], str]) -> Check:
        """Run the cells that have to run, in their order, up to the first that fails; return the answer afterwards.

        What a run from the top would not find is moved aside before its cell runs.

        Parameters
        ----------
        held_reason
            Returns a sentence if one of these paths is open; an empty text otherwise.

        Raises
        ------
        UsageError
            If an input would have to be brought back first, or something to move aside is open.
        """
        found = self.check()
        if found.lost:
            raise UsageError(
                f"The cells need {', '.join(found.lost)} as it was at first, and calls have changed it since.",
                hint="Bring it back, for example from a copy, and ask again.",
            )
        before = {activity.id for activity in self.document().activities}
        place = self.notebook.parent / _ASIDE / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        for cell in found.cells:
            self._move_aside(cell, before, place, held_reason)
            done = shell.run_cell(cell.source, store_history=True, cell_id=cell.cell_id or None)
            if not done.success:
                break
        return self.check() if found.cells else found

    def _move_aside(
        self, cell: CellToRun, before: set[str], place: Path, held_reason: Callable[[Sequence[Path]], str]
    ) -> None:
        document = self.document()
        lineage, folders = Lineage(document), self._folders(document)
        # What a cell of this pass has left is no remainder of an earlier run.
        last = {path: state for path, state in lineage.history.last.items() if state.generated_by in before}
        old = {path: folders[last[path].session] / path for path in cell.aside if path in last}
        if reason := held_reason(tuple(old.values())):
            raise UsageError(f"Cell {cell.number} was not run. {reason}", hint="Close it, and ask again.")
        for path, found in old.items():
            target = place / (Path(path).name if Path(path).is_absolute() else path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                shutil.move(found, target)

    def _folders(self, document: Document) -> dict[str, Path]:
        return present_folders(journal_folder(self.notebook), document)


def check_page(found: Check) -> list[Part]:
    """Return the answer as a page."""
    page: list[Part] = [Line(found.answer)]
    if found.products:
        page.append(Table("", ("product", "why"), tuple((one.path, one.reason) for one in found.products)))
    if found.cells:
        rows = tuple((str(one.number), ", ".join(one.tasks), " ".join(one.reasons)) for one in found.cells)
        page.append(Table("Cells to run again", ("cell", "tasks", "why"), rows))
    page += map(Line, found.requests)
    page += [Line(note, "Note:") for note in found.notes]
    return page
