"""Everything casaprov raises, in one tree.

::

    CasaprovError
    ├── UsageError              the request makes no sense as it stands
    ├── DigestError             a file or table cannot be read for its digest
    ├── RecordError             a provenance record is missing, damaged or untrue
    │   ├── SchemaError           ... does not fit its JSON Schema
    │   └── JournalError          ... cannot be written or read
    ├── CrateError              a crate is damaged, hostile or incomplete
    ├── ReplayError             a replay cannot go on
    │   ├── InputMissing          ... no locator leads to an input
    │   ├── NoSpace               ... the work folder is full
    │   └── WorkerDied            ... a child process ended before it answered
    └── MissingDependency       an optional world is not installed
        ├── ConfinementMissing    ... the kernel cannot confine CASA
        ├── CasaMissing           ... casatasks or casatools
        ├── CasaDataMissing       ... the data CASA needs at run time
        └── TaskMissing           ... one task: its package, or CASA has it no more

A message says what happened, to which thing; ``hint`` says what to do next.
Exit codes are mapped from these classes in one place, :mod:`casaprov.cli.commands`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CasaDataMissing",
    "CasaMissing",
    "CasaprovError",
    "ConfinementMissing",
    "CrateError",
    "DigestError",
    "InputMissing",
    "Issue",
    "JournalError",
    "MissingDependency",
    "NoSpace",
    "RecordError",
    "ReplayError",
    "SchemaError",
    "TaskMissing",
    "UsageError",
    "WorkerDied",
    "first_issues",
]


class CasaprovError(Exception):
    """Base of everything casaprov raises on purpose.

    Parameters
    ----------
    message
        What happened, to which file, parameter or call.
    hint
        What the user can do about it, as a full sentence; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(CasaprovError):
    """The request makes no sense as it stands: a missing file, a bad option."""


class DigestError(CasaprovError):
    """A file or table cannot be read for its digest."""


class RecordError(CasaprovError):
    """A provenance record is missing, damaged or contradicts itself."""


@dataclass(frozen=True)
class Issue:
    """One thing wrong with a record or a crate.

    Attributes
    ----------
    path
        Where: a JSON pointer, or a path inside the crate.
    message
        What is wrong, as a sentence.
    found, expected
        The offending and the right value where both can be said.
    """

    path: str
    message: str
    found: str = ""
    expected: str = ""

    def __str__(self) -> str:
        told = f"{self.path}: {self.message}" if self.path else self.message
        if self.found or self.expected:
            told += f" (found {self.found or 'nothing'}, expected {self.expected or 'nothing'})"
        return told


def first_issues(issues: tuple[Issue, ...]) -> str:
    """Tell up to ten issues, and how many more there are."""
    shown = "; ".join(str(issue).rstrip(".") for issue in issues[:10])
    return f"{shown}; and {len(issues) - 10} more." if len(issues) > 10 else f"{shown}."


class SchemaError(RecordError):
    """A record does not fit its JSON Schema; ``issues`` lists every misfit."""

    issues: tuple[Issue, ...] = ()

    def __init__(self, message: str, issues: tuple[Issue, ...], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.issues = issues


class JournalError(RecordError):
    """The journal of a session cannot be written or read."""


class CrateError(CasaprovError):
    """A crate is damaged, hostile or incomplete; ``issues`` lists what is wrong with it, ``message`` up to ten of them."""

    issues: tuple[Issue, ...] = ()

    def __init__(self, message: str, issues: tuple[Issue, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.issues = issues


class ReplayError(CasaprovError):
    """A replay cannot start or cannot go on."""


class InputMissing(ReplayError):
    """No locator leads to an input that the replay needs."""


class NoSpace(ReplayError):
    """The file system of the work folder is full."""


class WorkerDied(ReplayError):
    """A child process ended before it answered."""


class MissingDependency(CasaprovError):
    """An optional package or program is not installed."""


class ConfinementMissing(MissingDependency):
    """The system cannot confine the CASA that runs a stranger's crate."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        told = "A crate that you trust can be replayed without that: --unconfined lets it do whatever you may do."
        super().__init__(message, hint=hint or told)


class CasaMissing(MissingDependency):
    """``casatasks`` or ``casatools`` cannot be imported."""


class CasaDataMissing(MissingDependency):
    """CASA is installed, but the data it needs at run time are not."""


class TaskMissing(MissingDependency):
    """A task that this CASA does not have."""

    def _render_traceback_(self) -> list[str]:
        """Say it without a traceback, in IPython."""
        return [str(self)]
