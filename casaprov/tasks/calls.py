"""A task call that is about to happen, how it ended, and what runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from casaprov.records.model import Failure, Outcome, Step
from casaprov.tasks.specs import FileUse

__all__ = ["Executor", "FileTable", "TaskCall", "TaskFailed", "TaskResult", "error_text"]


@dataclass(frozen=True, kw_only=True)
class TaskCall:
    """A task call as it is about to happen.

    Attributes
    ----------
    parameters
        Final, coerced Python values.
    given
        Names of those that the user gave.
    replaced
        What the user asked for, by parameter, where the call is run with something else.
    """

    task: str
    package: str
    parameters: Mapping[str, Any]
    given: tuple[str, ...]
    cwd: Path
    step: Step | None = None
    replaced: Mapping[str, Any] = field(default_factory=dict)


class TaskFailed(Exception):
    """An exception of which only the name and the message are kept: a task raised it in another process.

    Attributes
    ----------
    type
        Name of the exception's class.
    """

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """How a task call ended: with a value or with an error, and what the log said.

    Whoever is between the task and its caller must not keep it when that is over: the traceback of the error leads to the
    task's frame, and from there to that of everybody who called it. In such a circle, what the task had open stays open.
    """

    returned: Any = None
    error: BaseException | None = None
    log: str = ""

    @property
    def outcome(self) -> Outcome:
        """The outcome as records name it."""
        if self.error is None:
            return "completed"
        return "interrupted" if isinstance(self.error, KeyboardInterrupt) else "failed"

    @property
    def failure(self) -> Failure | None:
        """The error as records name it."""
        if self.error is None:
            return None
        name = self.error.type if isinstance(self.error, TaskFailed) else type(self.error).__name__
        return Failure(type=name, message=error_text(self.error))


def error_text(error: BaseException) -> str:
    """Return what an exception says; nothing if it cannot be made to."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's exception may raise another from its __str__
        return ""


class FileTable(Protocol):
    """What a call does to files: the TaskSpec of its task, or what its user declares."""

    def inputs(self, parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that the call will read, change in place or delete."""
        ...

    def outputs(self, parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that the call can have made, after it ran."""
        ...


class Executor(Protocol):
    """What runs a task: in this process (the notebook) or in another (the replay)."""

    def run(self, call: TaskCall) -> TaskResult:
        """Run the call; an exception of the task is returned, not raised."""
        ...
