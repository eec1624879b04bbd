"""The display bundle of one cell: published at its end, and again when the records of its calls are finished."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from casaprov.kernel.page import Line, bundle_of, has_front_end
from casaprov.notebook.bundle import call_summary, display_data
from casaprov.records.model import Activity, Entity

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellBundle"]


class CellBundle:
    """Short forms of the calls that ended in a cell, for its output; true if there are any."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._publisher = shell.display_pub  # a later cell may put another in its place: %%capture
        self._session = ""
        self._calls: dict[str, dict[str, Any]] = {}
        self._unfinished: set[str] = set()
        self._id = f"casaprov-{secrets.token_hex(8)}"

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def is_whole(self) -> bool:
        """True if the records of all calls are finished."""
        return not self._unfinished

    def add_unfinished(self, activity: Activity) -> None:
        """Add a call that has ended; its inputs and products are not known yet."""
        self._session = activity.session
        self._calls[activity.id] = call_summary(activity, ())
        self._unfinished.add(activity.id)

    def add(self, activity: Activity, entities: Iterable[Entity]) -> None:
        """Add the finished record of a call."""
        self._session = activity.session
        self._calls[activity.id] = call_summary(activity, entities)
        self._unfinished.discard(activity.id)

    def publish(self, lines: Sequence[Line] = (), *, update: bool = False) -> None:
        """Put the bundle into the cell's output, or update the bundle there.

        Parameters
        ----------
        lines
            Sentences to show with the bundle, which is invisible itself.
        """
        in_notebook = has_front_end(self._shell)
        if update and not in_notebook:  # a terminal has no output to update
            return
        data = display_data(self._session, list(self._calls.values()), with_text=in_notebook)
        data |= bundle_of(lines) if lines else {}
        self._publisher.publish(data, transient={"display_id": self._id}, update=update)
