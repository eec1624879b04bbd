"""The error of a task below its cell: one line with task, parameter and reason, and the whole traceback, folded.

The traceback of a task runs through pages of CASA's own source. The exception itself is the same as without casaprov, and
so is the traceback of any other error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from casaprov.kernel.page import Preformatted, bundle_of, has_front_end
from casaprov.tasks.failures import failed_call, failure_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["TaskErrors"]

_log = logging.getLogger(__name__)

_HOOK = "_showtraceback"
"""The method of a shell that shows a traceback in its own way; front ends get it from there."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class TaskErrors:
    """Shows the errors of tasks in the notebook of a kernel; a terminal shows them as without casaprov."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._show_whole: Callable[..., None] | None = None

    def install(self) -> None:
        """Show errors of tasks from now on."""
        if has_front_end(self._shell) and self._show_whole is None:
            self._show_whole = getattr(self._shell, _HOOK)
            setattr(self._shell, _HOOK, self._show)

    def remove(self) -> None:
        """Leave all errors to the shell again."""
        if self._show_whole is not None:
            self._show_whole = None
            delattr(self._shell, _HOOK)

    def _show(self, kind: type[BaseException], error: BaseException, lines: list[str], *rest: Any) -> None:
        show = self._show_whole or getattr(type(self._shell), _HOOK).__get__(self._shell)
        line = self._line(error)
        if not line:
            show(kind, error, lines, *rest)
            return
        show(kind, error, [line], *rest)
        text = _ANSI.sub("", "\n".join(lines))
        self._shell.display_pub.publish(bundle_of([Preformatted(text, title="Traceback", folded=True)]))

    @staticmethod
    def _line(error: BaseException) -> str:
        """Return the line about an error; empty if it is not that of a task."""
        try:
            call = failed_call(error)
            return failure_line(call, error) if call is not None else ""
        except Exception:  # noqa: BLE001 - a failing display never breaks a cell
            _log.info("an error is shown whole", exc_info=True)
            return ""
