"""``%casahelp``: the parameters of a task and their meaning, and the list of all tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from IPython.core.error import UsageError

from casaprov.errors import CasaprovError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from casaprov.casa.task_help import TaskHelp, TaskSummary

__all__ = ["HELP_MAGIC", "TaskHelpSource", "register_help", "unregister_help"]

HELP_MAGIC = "casahelp"

_COMPLETE = "complete_command"


class TaskHelpSource(Protocol):
    """Descriptions of tasks: :mod:`casaprov.casa.task_help`."""

    def read_task_help(self, name: str) -> TaskHelp:
        """Return the description of a task."""
        ...

    def tasks_by_category(self) -> Mapping[str, tuple[TaskSummary, ...]]:
        """Return all tasks by category."""
        ...


def register_help(shell: InteractiveShell, source: Callable[[], TaskHelpSource]) -> None:
    """Add the magic and the completion of its argument.

    Parameters
    ----------
    source
        Returns the descriptions of tasks; called when the user asks.
    """

    def casahelp(line: str) -> None:
        """Show the parameters of CASA tasks, or without a name all tasks by category.

        Usage: ``%casahelp [TASK ...]``
        """
        try:
            for data in _pages(line.split(), source()):
                shell.display_pub.publish(data)
        except CasaprovError as error:
            raise UsageError(str(error)) from error

    def complete(_shell: InteractiveShell, _event: Any) -> list[str]:
        try:
            return sorted({task.name for tasks in source().tasks_by_category().values() for task in tasks})
        except CasaprovError:  # the magic itself gives the reason
            return []

    shell.register_magic_function(casahelp, "line", HELP_MAGIC)
    shell.set_hook(_COMPLETE, complete, str_key=f"%{HELP_MAGIC}")


def unregister_help(shell: InteractiveShell) -> None:
    """Take the magic and its completion out again."""
    shell.magics_manager.magics["line"].pop(HELP_MAGIC, None)
    shell.strdispatchers[_COMPLETE].strs.pop(f"%{HELP_MAGIC}", None)


def _pages(names: list[str], source: TaskHelpSource) -> list[dict[str, str]]:
    from casaprov.kernel.magics.help_view import list_html, list_text, task_html, task_text  # rarely needed

    if not names:
        categories = source.tasks_by_category()
        return [_bundle(list_html(categories), list_text(categories))]
    tasks = [source.read_task_help(name.removesuffix("?").removesuffix("()")) for name in names]
    return [_bundle(task_html(task), task_text(task)) for task in tasks]


def _bundle(html: str, text: str) -> dict[str, str]:
    return {"text/html": html, "text/plain": text}
