"""Long return values of tasks in a cell's output: one line with what matters, and the begin of the value, folded.

gaincal and bandpass return dictionaries of several hundred lines. The value itself is the same as without casaprov, and so
is the text that a terminal shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from casaprov.kernel.page import Preformatted, has_front_end

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["TaskValues"]

_MOST_LINES = 20  # of a value that is shown as it is
_MOST_SHOWN = 4000  # characters of a value: the notebook has the whole text beside the HTML already
_MOST_NAMES = 6
_MOST_KEPT = 8  # of the calls of a cell, the last ones: values can be large


class TaskValues:
    """Folds the dictionaries that tasks returned in the cell that runs."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._returned: deque[tuple[str, dict[Any, Any]]] = deque(maxlen=_MOST_KEPT)

    def install(self) -> None:
        """Show return values from now on."""
        if has_front_end(self._shell):
            self._formatter.for_type(dict, self._html)

    def remove(self) -> None:
        """Leave all values to the shell again."""
        if has_front_end(self._shell):
            self._formatter.pop(dict, None)
        self.forget()

    def note(self, task: str, value: object) -> None:
        """Take in what a task returned."""
        if isinstance(value, dict):
            self._returned.append((task, value))

    def forget(self) -> None:
        """Keep nothing of what was returned: another cell begins."""
        self._returned.clear()

    @property
    def _formatter(self) -> Any:
        return self._shell.display_formatter.formatters["text/html"]

    def _html(self, value: dict[Any, Any]) -> str | None:
        """Return the HTML of a dictionary; None for those that are shown as text."""
        from IPython.lib.pretty import pretty

        # By identity: an equal value that the user made is shown as always.
        task = next((task for task, returned in reversed(self._returned) if returned is value), None)
        if task is None:
            return None
        text = pretty(value)
        if text.count("\n") < _MOST_LINES:
            return None
        if len(text) > _MOST_SHOWN:
            begin = text[:_MOST_SHOWN].rpartition("\n")[0]
            text = f"{begin}\n... {text.count(chr(10)) - begin.count(chr(10))} more lines; print the value to see them"
        return Preformatted(text, title=f"{task} returned {_summary(value)}", folded=True).html()


def _summary(value: Mapping[Any, Any]) -> str:
    """Return what matters in a value: solutions, a flagged fraction, or the names in it."""
    solutions = value.get("solvestats")
    if isinstance(solutions, Mapping) and (expected := _total(solutions.get("expected"))):
        good = _total(solutions.get("above_minsnr"))
        return f"a dictionary: {good:g} of {expected:g} solutions are above the minimum of signal to noise"
    flagged, total = value.get("flagged"), value.get("total")
    if isinstance(flagged, (int, float)) and isinstance(total, (int, float)) and total:
        return f"a dictionary: {flagged / total:.1%} of the data is flagged"
    names = [str(name) for name in value]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"a dictionary with {', '.join(names[:_MOST_NAMES])}{more}"


def _total(counts: Any) -> float:
    """Return the sum of counts by polarization; 0 if these are no counts."""
    try:
        return float(sum(counts))
    except (TypeError, ValueError):
        return 0.0
