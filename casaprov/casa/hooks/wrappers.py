"""All wrappers of one kernel: around tasks and tools, put in when their packages are imported."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

import wrapt

from casaprov.casa.hooks.tasks import FunctionExecutor, Headless, TaskHook, hooked_modules
from casaprov.casa.hooks.tool_lifetimes import ToolLifetimes
from casaprov.casa.hooks.tools import TOOL_PACKAGE, ToolHook
from casaprov.casa.hooks.tools import Recording as ToolRecording
from casaprov.tasks.calls import TaskCall, TaskResult

__all__ = ["Recording", "Wrappers"]


class Recording(ToolRecording, Protocol):
    """Records the calls of tasks and tools."""

    @property
    def closed(self) -> bool:
        """True if nothing is recorded any more."""
        ...

    def run(self, call: TaskCall, executor: FunctionExecutor) -> TaskResult:
        """Run a task call under recording."""
        ...


class Wrappers:
    """The wrappers around the tasks and tools of CASA.

    Parameters
    ----------
    around, gui
        As for :class:`casaprov.casa.hooks.tasks.TaskHook`.
    on_failure
        Called with a sentence if a package cannot be wrapped.
    """

    def __init__(
        self,
        recording: Recording,
        around: Callable[[], AbstractContextManager[None]],
        gui: Headless,
        on_failure: Callable[[str], None],
    ) -> None:
        self._recording = recording
        self._on_failure = on_failure
        self._tasks = TaskHook(recording.run, around, gui)
        self._tools = ToolHook(recording)
        self._lifetimes = ToolLifetimes()

    def install(self) -> None:
        """Wrap all tasks and tools, now or when they are imported."""
        for module in hooked_modules():
            wrapt.when_imported(module)(partial(self._install, self._tasks))
        for hook in (self._tools, self._lifetimes):
            wrapt.when_imported(TOOL_PACKAGE)(partial(self._install, hook))

    def remove(self) -> None:
        """Take all wrappers out; packages that are imported later are left as they are."""
        for hook in (self._tools, self._lifetimes, self._tasks):
            hook.remove()

    def settle_tools(self) -> None:
        """End the record of every tool that wrote something."""
        self._tools.settle()

    def release_tools(self) -> None:
        """Let tools end that became garbage in other threads, if this is a thread that makes tools."""
        self._lifetimes.release()

    def _install(self, hook: TaskHook | ToolHook | ToolLifetimes, package: Any) -> None:
        if self._recording.closed:
            return
        try:
            hook.install(package)
        except Exception as error:  # noqa: BLE001 - a recorder failure never breaks an import
            reason = f"{type(error).__name__}: {error}"
            self._on_failure(f"casaprov: calls of {package.__name__} cannot be recorded ({reason}).")
