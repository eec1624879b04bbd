"""A task call, its result, and the protocols of executors and file tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from casaprov.records.model import Failure, Outcome, Step
from casaprov.tasks.specs import FileUse

if TYPE_CHECKING:
    from casaprov.tasks.function_code import FunctionCode

__all__ = ["Executor", "FileTable", "Restored", "TaskCall", "TaskFailed", "TaskResult", "error_text"]


@dataclass(frozen=True, kw_only=True)
class TaskCall:
    """A task call as it is about to happen.

    Attributes
    ----------
    parameters
        Final, coerced Python values.
    given
        Names of the parameters that the user gave.
    replaced
        Values that the user gave, by parameter, where the call is run with another value.
    code
        Code of a user's function whose results may be restored; None for tasks and for all other functions.
    """

    task: str
    package: str
    parameters: Mapping[str, Any]
    given: tuple[str, ...]
    cwd: Path
    step: Step | None = None
    replaced: Mapping[str, Any] = field(default_factory=dict)
    code: FunctionCode | None = None


class TaskFailed(Exception):
    """An exception that a task raised in another process: only its name and message are kept.

    Attributes
    ----------
    type
        Name of the exception's class.
    """

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(message)
        self.type = type_


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The origin of a result that was restored instead of computed.

    Attributes
    ----------
    computed_by
        Id of the Activity that computed it.
    paths
        Its products.
    took_s, saved_s
        Seconds that restoring took, and that it took less than the computation.
    """

    computed_by: str
    paths: tuple[Path, ...]
    took_s: float
    saved_s: float


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The result of a task call: a value or an error, and the log.

    Code between the task and its caller must drop the result when the call is over. The traceback of the error
    refers to the task's frame, which refers to the frames of its callers: in such a circle, tables that the task
    had open stay open.

    Attributes
    ----------
    printed
        Text that Python code printed, in pieces: name of the stream, and text.
    figures
        Figures that the call left open, as MIME bundles.
    restored
        Origin of the result; None if the task ran.
    """

    returned: Any = None
    error: BaseException | None = None
    log: str = ""
    printed: tuple[tuple[str, str], ...] = ()
    figures: tuple[Mapping[str, Any], ...] = ()
    restored: Restored | None = None

    @property
    def outcome(self) -> Outcome:
        """Outcome in the words of records."""
        if self.error is None:
            return "completed"
        return "interrupted" if isinstance(self.error, KeyboardInterrupt) else "failed"

    @property
    def failure(self) -> Failure | None:
        """Error in the words of records."""
        if self.error is None:
            return None
        name = self.error.type if isinstance(self.error, TaskFailed) else type(self.error).__name__
        return Failure(type=name, message=error_text(self.error))


def error_text(error: BaseException) -> str:
    """Return the text of an exception; empty if its ``__str__`` fails."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's exception may raise another from its __str__
        return ""


class FileTable(Protocol):
    """Effects of a call on files: the TaskSpec of its task, or a declaration of its user."""

    def inputs(self, parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that the call will read, change in place or delete."""
        ...

    def outputs(self, parameters: Mapping[str, Any], cwd: Path) -> tuple[FileUse, ...]:
        """Return the existing files that the call can have made, after it ran."""
        ...


class Executor(Protocol):
    """Runner of tasks: in this process (the notebook) or in another (the replay)."""

    def run(self, call: TaskCall) -> TaskResult:
        """Run the call; an exception of the task is returned, not raised."""
        ...
