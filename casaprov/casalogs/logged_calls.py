"""The calls in a CASA log, of CASA 4.7 to 6.x.

A call begins with ``##### Begin Task: NAME #####``, then come its name and parameters as Python text, and it ends with
``##### End Task: NAME #####``. CASA 6 writes ``gaincal( vis='n.ms', solint='inf' )``, earlier versions
``gaincal(vis="n.ms",solint="inf")``. In these, a call that fails may have no end. Calls inside of other calls are parts
of these.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from casaprov.casalogs.log_lines import LogLine, log_lines
from casaprov.records.model import Failure, Outcome

__all__ = ["LoggedCall", "LoggedSession", "Unreadable", "read_sessions"]

_BEGIN = re.compile(r"\s*#+ Begin Task: (\S+)\s+#+\s*")
_END = re.compile(r"\s*#+ End Task: (\S+)\s+#+\s*")
_VERSION = re.compile(r"CASA Version\s+(?:[A-Z]+ )?(\d[\w.-]*)")
_PYTHON = re.compile(r"Python version\s+(\d[\w.]*)")
_RAISED = re.compile(r"Task (\S+) raised an exception of class (\S+) with the following message: ?(.*)", re.DOTALL)
_FAILED = re.compile(r"An error occurred running task (\S+?)\.?\s*")
_ERROR = re.compile(r"\*+ ?Error ?\*+ ?(.*)", re.DOTALL)

_LONG = re.compile(r"(?<![\w.'\"])(\d+)L\b")  # of Python 2
_NAME = re.compile(r"(?:^|,\s*)([A-Za-z_]\w*)\s*=")

_MOST_CHARACTERS = 2**20  # of the parameters of one call


@dataclass(frozen=True)
class Unreadable:
    """A value of which the log has only a text that is no Python, such as ``<function f at 0x7f>``."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass
class LoggedCall:
    """A call, as far as the log tells.

    Attributes
    ----------
    parameters
        Values by name; None if their text cannot be read.
    text
        The text of the call in the log.
    ended_at
        Time of its last line; None if the log ends before.
    parent
        Number of the call that it is part of, in its session.
    lines
        Lines of the log that belong to it.
    """

    task: str
    started_at: str
    parameters: dict[str, Any] | None = None
    text: str = ""
    outcome: Outcome = "unfinished"
    failure: Failure | None = None
    ended_at: str | None = None
    parent: int | None = None
    lines: list[LogLine] = field(default_factory=list)


@dataclass
class LoggedSession:
    """One run of CASA in a log; versions that the log does not name are empty."""

    casa: str = ""
    python: str = ""
    started_at: str = ""
    ended_at: str = ""
    calls: list[LoggedCall] = field(default_factory=list)


def read_sessions(text: Iterable[str]) -> tuple[LoggedSession, ...]:
    """Return the runs of CASA with calls in a log, in its order."""
    reader = _Reader()
    for line in log_lines(text):
        reader.take(line)
    return tuple(session for session in reader.finished() if session.calls)


class _Reader:
    def __init__(self) -> None:
        self._sessions = [LoggedSession()]
        self._open: list[int] = []  # numbers of the calls under way, the outermost first

    def take(self, line: LogLine) -> None:
        """Add a line."""
        session = self._sessions[-1]
        if (version := _VERSION.search(line.text)) and line.origin.startswith("::"):
            if session.calls:  # the log of another start was added to this one
                self._open.clear()
                session = LoggedSession()
                self._sessions.append(session)
            session.casa = version[1].rstrip(".-")
        if (python := _PYTHON.search(line.text)) and line.origin.startswith("::"):
            session.python = python[1]
        session.started_at = session.started_at or line.time
        session.ended_at = line.time
        if begun := _BEGIN.fullmatch(line.text):
            self._begin(begun[1], line)
        for number in self._open:
            session.calls[number].lines.append(line)
        if self._open:
            self._inside(session.calls[self._open[-1]], line)
        if ended := _END.fullmatch(line.text):
            self._end(ended[1], line)

    def finished(self) -> list[LoggedSession]:
        """Return all sessions after the last line."""
        for session in self._sessions:
            for call in session.calls:
                call.parameters = _parameters(call)
        return self._sessions

    def _begin(self, task: str, line: LogLine) -> None:
        calls = self._sessions[-1].calls
        # A failed call of CASA 5 has no end; its next call at the same place shows that it is over. A task that calls
        # itself does not exist.
        while self._open and (calls[self._open[-1]].outcome == "failed" or calls[self._open[-1]].task == task):
            self._open.pop()
        calls.append(LoggedCall(task, line.time, parent=self._open[-1] if self._open else None))
        self._open.append(len(calls) - 1)

    def _inside(self, call: LoggedCall, line: LogLine) -> None:
        if not call.text and line.text.lstrip().startswith(f"{call.task}("):
            call.text = line.text.strip()
            return
        if (raised := _RAISED.match(line.text)) and raised[1] == call.task:
            call.outcome, call.failure = "failed", Failure(type=raised[2], message=raised[3].strip())
        elif (failed := _FAILED.fullmatch(line.text)) and failed[1] == call.task:
            call.outcome, call.ended_at = "failed", line.time
            call.failure = call.failure or Failure(type="", message="The log does not hold the reason.")
        elif line.priority == "SEVERE" and line.task == call.task and (error := _ERROR.match(line.text)):
            call.outcome, call.failure = "failed", Failure(type="", message=error[1].strip() or line.text)
        elif line.priority == "INFO" and line.task == call.task and _is_cut(call.text) and line.text[:5] != "#####":
            call.text += f"\n{line.text.rstrip()}"  # a value with line breaks

    def _end(self, task: str, line: LogLine) -> None:
        calls = self._sessions[-1].calls
        if not any(calls[number].task == task for number in self._open):
            return
        while self._open:
            call = calls[self._open.pop()]
            if call.task == task:
                call.ended_at = line.time
                call.outcome = "failed" if call.outcome == "failed" else "completed"
                return


def _is_cut(text: str) -> bool:
    """Return True if the text of a call goes on in the next line."""
    return 0 < len(text) <= _MOST_CHARACTERS and not text.endswith(")")


def _parameters(call: LoggedCall) -> dict[str, Any] | None:
    """Return the parameters in the text of a call; None if it cannot be read."""
    if not call.text or len(call.text) > _MOST_CHARACTERS:
        return None
    text = call.text
    for candidate in (text, _LONG.sub(r"\1", text)):
        try:
            parsed = ast.parse(candidate, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        if isinstance(parsed, ast.Call) and not parsed.args:
            return {str(word.arg): _value(word.value) for word in parsed.keywords if word.arg}
    return _piecewise(text)


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return Unreadable(ast.unparse(node))


def _piecewise(text: str) -> dict[str, Any] | None:
    """Return the parameters of a text that is no Python as a whole, since a string in it has quotes of its own."""
    if not text.endswith(")"):  # the end of it is lost: parameters would be missing without a word
        return None
    inside = text[text.find("(") + 1 : -1].strip()
    names = list(_NAME.finditer(inside))
    found = {}
    for name, following in zip(names, [*names[1:], None], strict=True):
        value = inside[name.end() : following.start() if following is not None else len(inside)].strip()
        try:
            found[name[1]] = ast.literal_eval(_LONG.sub(r"\1", value))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            if value.startswith("<") and value.endswith(">"):
                found[name[1]] = Unreadable(value)
            elif len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
                found[name[1]] = value[1:-1]
            else:
                return None
    return found or None
