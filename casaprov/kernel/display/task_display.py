"""The display of tasks in a kernel: their output, their return values and their errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from casaprov.config import Config
from casaprov.kernel.display.task_errors import TaskErrors
from casaprov.kernel.display.task_output import CasaLog, TaskOutput
from casaprov.kernel.display.task_values import TaskValues

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["TaskDisplay"]


class TaskDisplay:
    """Shows tasks in the notebook of a kernel.

    Parameters
    ----------
    casa_log
        The log file of CASA.
    journal
        Returns the journal folder.
    config
        Returns the settings.

    Attributes
    ----------
    output
        Shows calls below their cell.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        casa_log: CasaLog,
        *,
        journal: Callable[[], Path],
        config: Callable[[], Config],
    ) -> None:
        self._errors = TaskErrors(shell)
        self._values = TaskValues(shell)
        self.output = TaskOutput(
            shell,
            casa_log,
            journal=journal,
            wanted=lambda: config().show_log == "yes",
            keeps_figures=lambda: config().cache == "on",
            on_returned=self._values.note,
        )

    def install(self) -> None:
        """Show errors in a line, and fold long return values."""
        self._errors.install()
        self._values.install()

    def remove(self) -> None:
        """Show errors and return values as before, and end the output of the cell."""
        self.output.end_cell()
        self._errors.remove()
        self._values.remove()

    def begin_cell(self) -> None:
        """Forget the return values of the cell before."""
        self._values.forget()
