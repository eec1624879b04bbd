"""Exceptions of casaprov, in one tree.

::

    CasaprovError
    ├── UsageError              the request makes no sense as given
    ├── DigestError             a file or table cannot be read for its digest
    │   └── Superseded            ... since a later call changed it before that was done
    ├── RecordError             a provenance record is missing, damaged or contradicts itself
    │   ├── SchemaError           ... does not fit its JSON Schema
    │   └── JournalError          ... is in a journal that cannot be written or read
    ├── CrateError              a crate is damaged, hostile or incomplete
    ├── ReplayError             a replay cannot go on
    │   ├── InputMissing          ... no locator leads to an input
    │   ├── LimitReached          ... a process used more than it may
    │   ├── NoSpace               ... the work folder is full
    │   └── WorkerDied            ... a child process ended before it answered
    │       └── WorkerClosed        ... since this process had no more use for it
    ├── StoreError              the store of results cannot be read or written
    │   ├── HalfRestored          ... a failure left a part of a result restored
    │   ├── NotKept               ... the result of a call is not kept there
    │   └── NotRestored           ... a result is not restored, and every file is as it was
    ├── SecretFound             a token or password would be published
    ├── VoError                 an archive of the Virtual Observatory does not answer, or not as it should
    └── MissingDependency       an optional world is not installed
        ├── ConfinementMissing    ... means to confine CASA, in the kernel
        ├── CasaMissing           ... casatasks or casatools
        ├── CasaDataMissing       ... the data that CASA needs at run time
        └── TaskMissing           ... a task, or the package that it comes from

A message says what happened, and to which thing; ``hint`` says what to do next.
:mod:`casaprov.cli.commands` maps these classes to exit codes.
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
    "HalfRestored",
    "InputMissing",
    "Issue",
    "JournalError",
    "LimitReached",
    "MissingDependency",
    "NoSpace",
    "NotKept",
    "NotRestored",
    "Note",
    "RecordError",
    "ReplayError",
    "SchemaError",
    "SecretFound",
    "StoreError",
    "Superseded",
    "TaskMissing",
    "UsageError",
    "VoError",
    "WorkerClosed",
    "WorkerDied",
    "first_issues",
    "within",
]


class CasaprovError(Exception):
    """Base of all exceptions that casaprov raises on purpose.

    Parameters
    ----------
    message
        Sentence about what happened, to which file, parameter or call.
    hint
        Sentence about what the user can do next; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(CasaprovError):
    """The request makes no sense as given: a missing file, a bad option."""


class DigestError(CasaprovError):
    """A file or table cannot be read for its digest."""


class Superseded(DigestError):
    """A later call changed a state before its digest was done: stamps stand for it.

    Attributes
    ----------
    stamp
        Digest of its stamps.
    size_bytes
        Size of its files.
    """

    def __init__(self, stamp: str, size_bytes: int) -> None:
        super().__init__("The next call changed it before it was digested.")
        self.stamp = stamp
        self.size_bytes = size_bytes


class RecordError(CasaprovError):
    """A provenance record is missing, damaged or contradicts itself."""


@dataclass(frozen=True)
class Issue:
    """One fault of a record or a crate.

    Attributes
    ----------
    path
        Place of the fault: a JSON pointer, or a path inside the crate.
    message
        The fault, as a sentence.
    found, expected
        The wrong and the right value, if they are known.
    """

    path: str
    message: str
    found: str = ""
    expected: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        if self.found or self.expected:
            text += f" (found {self.found or 'nothing'}, expected {self.expected or 'nothing'})"
        return text


@dataclass(frozen=True)
class Note(Issue):
    """An addition to a crate by others, which makes nothing of it wrong."""


def within(message: str) -> str:
    """Return a message as the second half of a sentence."""
    return message[:1].lower() + message[1:]


def first_issues(issues: tuple[Issue, ...]) -> str:
    """Return up to ten issues as text, and the number of the others."""
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
    """A crate is damaged, hostile or incomplete; ``issues`` lists every fault, ``message`` up to ten of them."""

    issues: tuple[Issue, ...] = ()

    def __init__(self, message: str, issues: tuple[Issue, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.issues = issues


class ReplayError(CasaprovError):
    """A replay cannot start or cannot go on."""


class InputMissing(ReplayError):
    """No locator leads to an input that the replay needs."""


class LimitReached(ReplayError):
    """A process used more memory, time, disk or files than it may; the message names the limit."""


class NoSpace(ReplayError):
    """The file system of the work folder is full."""


class WorkerDied(ReplayError):
    """A child process ended before it answered."""


class WorkerClosed(WorkerDied):
    """A child process was closed, and answers no more."""


class StoreError(CasaprovError):
    """The store of results cannot be read or written."""


class HalfRestored(StoreError):
    """A failure left a part of a result restored, and no task may run on such a part."""


class NotKept(StoreError):
    """The result of a call is not kept in the store; the message is the reason."""


class NotRestored(StoreError):
    """The result of a call is not restored, and every file is as it was; the message is the reason."""


class SecretFound(CasaprovError):
    """A token or a password stands in the files to be packed; the message names the places, not the value."""


class VoError(CasaprovError):
    """An archive of the Virtual Observatory does not answer, or not as the standards have it."""


class MissingDependency(CasaprovError):
    """An optional package or program is not installed."""


class ConfinementMissing(MissingDependency):
    """The system cannot confine the CASA that runs the calls of a crate."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        usual = "A crate that you trust can be replayed without that: --unconfined lets it do whatever you may do."
        super().__init__(message, hint=hint or usual)


class CasaMissing(MissingDependency):
    """``casatasks`` or ``casatools`` cannot be imported."""


class CasaDataMissing(MissingDependency):
    """CASA is installed, but not the data that it needs at run time."""


class TaskMissing(MissingDependency):
    """A task that this CASA does not have."""

    def _render_traceback_(self) -> list[str]:
        """Return the message without a traceback, for IPython."""
        return [str(self)]
