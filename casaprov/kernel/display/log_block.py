"""The log of task calls below their cell: a line for each call, with the log folded away behind it.

The result is plain HTML (``details``, ``pre``, ``b``), which front ends keep in notebooks that they do not trust, with a
short plain text beside it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from casaprov.kernel.page import preformatted
from casaprov.records.wording import counted, duration
from casaprov.tasks.calls import Restored

__all__ = ["MAX_LINES", "CallLog", "Running", "call_log", "log_block", "messages", "progress"]

MAX_LINES = 200
"""Lines of a log that are shown whole in the notebook; of a longer one its beginning and its end. The journal has all."""

_HEAD = 120  # lines of the beginning of a log that is not shown whole
_MAX_LINE = 500
_MAX_SINGLE = 3  # calls of a cell that have a fold of their own
_MAX_LISTED = 30  # calls of a cell that are listed one by one
_MAX_TROUBLES = 3
_MAX_TROUBLE_CHARACTERS = 300
_CYCLES = ("tclean", "sdintimaging")
_LEVELS = {"WARN": "warning", "SEVERE": "error"}
_RULE = re.compile(r"[#\-=*~ ]{4,}")
# The meters of CASA's C++ print 0%....10....20, its log says [progress: 20%].
_METER = re.compile(r"0%[.\d \n]*")
_PERCENT = re.compile(r"\b(\d{1,3})(?:\.\d+)? ?%")


@dataclass(frozen=True, kw_only=True)
class CallLog:
    """The log of one call, as it is shown.

    Attributes
    ----------
    reference
        Short name of the call, the same in all sessions; empty if it is not recorded.
    troubles
        Warnings and errors with CASA's word for their level, each once.
    warnings, errors
        Numbers of warnings and errors.
    excerpt
        The log, or its beginning and end.
    path
        File with the whole log; empty if there is none.
    restored
        Origin of the result; None if the call ran.
    """

    task: str
    outcome: str = "completed"
    seconds: float = 0.0
    reference: str = ""
    lines: int = 0
    warnings: int = 0
    errors: int = 0
    troubles: tuple[tuple[str, str], ...] = ()
    excerpt: str = ""
    cut: bool = False
    path: str = ""
    recorded: bool = True
    restored: Restored | None = None

    @property
    def badge(self) -> str:
        """Words about the time of a restored result; empty if the call ran."""
        if self.restored is None:
            return ""
        return f"restored in {self.restored.took_s:.2f} s, saved {duration(self.restored.saved_s)}"

    @property
    def summary(self) -> str:
        """One line about the call."""
        parts = [self.badge] if self.restored is not None else []
        parts += [counted(self.lines, "log line")] if self.lines else []
        if self.warnings:
            parts.append(counted(self.warnings, "warning"))
        if self.errors:
            parts.append(counted(self.errors, "error"))
        if self.seconds >= 0.05 and self.restored is None:
            parts.append(duration(self.seconds))
        if not self.recorded:
            parts.append("not recorded: casaprov is paused")
        how = "" if self.outcome == "completed" else f" {self.outcome}"
        return f"{self.task}{how}: {', '.join(parts)}" if parts else f"{self.task}{how}"


@dataclass(frozen=True, kw_only=True)
class Running:
    """A call that has not ended yet: its time so far, its progress, its last message, a requested interrupt."""

    task: str
    seconds: float
    percent: int | None = None
    message: str = ""
    interrupted: bool = False

    @property
    def line(self) -> str:
        """One line about the call."""
        parts = [duration(self.seconds)]
        if self.interrupted:
            # Python learns of an interrupt when C++ returns to it, as tclean does between its cycles.
            stops_at = "cycle" if self.task in _CYCLES else "step"
            parts.append(f"interrupt requested; {self.task} stops at its next {stops_at}")
            return f"{self.task} is running: {', '.join(parts)}"
        if self.percent is not None:
            parts.append(f"{self.percent} %")
        if self.message:
            parts.append(self.message)
        return f"{self.task} is running: {', '.join(parts)}"


def call_log(
    task: str,
    log: str,
    *,
    outcome: str = "completed",
    seconds: float = 0.0,
    reference: str = "",
    path: str = "",
    recorded: bool = True,
    restored: Restored | None = None,
) -> CallLog:
    """Read the log segment of a call."""
    lines = log.splitlines()
    entries = [_entry(line) for line in lines]
    troubles: list[list[str]] = []
    for level, message, continues in entries:
        if level in _LEVELS and continues and troubles:
            troubles[-1][1] += f" {message.strip()}"
        elif level in _LEVELS:
            troubles.append([level, message.strip()])
    excerpt, cut = _cut([_short_line(*entry) for entry in entries if _is_content(*entry)])
    return CallLog(
        task=task,
        outcome=outcome,
        seconds=seconds,
        reference=reference,
        lines=len(lines),
        warnings=sum(level == "WARN" for level, _ in troubles),
        errors=sum(level == "SEVERE" for level, _ in troubles),
        # The log has the place in CASA's source that a message comes from.
        troubles=tuple(dict.fromkeys((level, message.partition(" ... thrown by ")[0]) for level, message in troubles)),
        excerpt=excerpt,
        cut=cut,
        path=path,
        recorded=recorded,
        restored=restored,
    )


def log_block(calls: Sequence[CallLog], running: Running | None = None) -> tuple[str, str]:
    """Return the block below a cell, as HTML and as plain text."""
    single = calls if len(calls) <= _MAX_SINGLE + 1 else calls[:_MAX_SINGLE]
    several = calls[len(single) :]
    parts = [_folded(call) for call in single]
    plain = [call.summary for call in single]
    if several:
        listed = [f"{_numbered(call)}{call.summary}" for call in several[:_MAX_LISTED]]
        if len(several) > _MAX_LISTED:
            listed.append(f"... and {counted(len(several) - _MAX_LISTED, 'call')} more; '%casaprov log' lists them")
        title = _together(several)
        parts.append(_details(title, "\n".join(listed)))
        plain.append(title)
    troubles = _troubles(calls)
    parts += [f"<div>{_marked(level)}: {html.escape(text)}</div>" for level, text in troubles]
    plain += [f"  {_LEVELS[level]}: {text}" for level, text in troubles]
    if running is not None:
        parts.append(f"<div><i>{html.escape(running.line)}</i></div>")
        plain.append(running.line)
    return "".join(parts), "\n".join(plain)


def progress(log: str, printed: str) -> tuple[int | None, str]:
    """Return the progress of a call in percent, None if it reports none, and its last message.

    Parameters
    ----------
    log, printed
        The newest parts of the CASA log and of the printed text.
    """
    percent: int | None = None
    for meter in _METER.findall(printed):
        numbers = re.findall(r"\d+", meter)
        percent = int(numbers[-1]) if int(numbers[-1]) <= 100 else percent
    entries = [_entry(line) for line in log.splitlines()]
    messages = [_RULE.sub(" ", message).strip() for _, message, _ in entries]
    last = next((message for message in reversed(messages) if message), "")
    for message in reversed(messages):
        if "progress" in message.lower() and (found := _PERCENT.findall(message)):
            percent = int(found[0])
            break
    return percent, _clipped(last, 80)


def messages(log: str) -> list[str]:
    """Return the messages of a log without their times and origins, and without the frame around a call."""
    return [entry[1].rstrip() for entry in map(_entry, log.splitlines()) if _is_content(*entry)]


def _entry(line: str) -> tuple[str, str, bool]:
    """Return level, message, and True if it continues the line before; a line of no log has no level."""
    parts = line.split("\t", 3)
    if len(parts) < 4:
        return "", line, False
    return parts[1].strip(), parts[3], parts[2].rstrip().endswith("+")


def _is_content(level: str, message: str, _continues: bool) -> bool:
    """Return False for frames of hashes, and for the call that the log repeats with all its defaults."""
    text = message.strip()
    framed = text.startswith("#####") and (text.endswith("#####"))
    repeated = re.fullmatch(r"\w+\( .*\)", text) is not None
    return level in _LEVELS or bool(text and not framed and not repeated and not text.startswith("Task "))


def _short_line(level: str, message: str, _continues: bool) -> str:
    text = _clipped(message.rstrip(), _MAX_LINE)
    return f"{level} {text.lstrip()}" if level in _LEVELS else text


def _cut(lines: list[str]) -> tuple[str, bool]:
    """Keep the beginning and the end of a log that is too long."""
    if len(lines) <= MAX_LINES:
        return "\n".join(lines), False
    left_out = f"... {counted(len(lines) - MAX_LINES, 'line')} left out here ..."
    return "\n".join([*lines[:_HEAD], left_out, *lines[_HEAD - MAX_LINES :]]), True


def _folded(call: CallLog) -> str:
    if not call.lines and call.restored is None:
        return f"<div>{html.escape(call.summary, quote=False)}</div>"
    notes = []
    if call.restored is not None:
        by = call.restored.computed_by
        notes.append(
            f"Its results were computed by call {by} (%casaprov show {by}). The log is that of the computation."
        )
    if call.path:
        asked = f"%casaprov log {call.reference}" if call.reference else ""
        notes.append(f"The whole log{f' ({asked})' if asked else ''} is in {call.path}")
    elif call.cut:
        notes.append("The whole log is in CASA's log file.")
    return _details(call.summary, "\n".join([call.excerpt, *notes]).strip("\n"))


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{html.escape(summary, quote=False)}</summary>{preformatted(text)}</details>"


def _troubles(calls: Sequence[CallLog]) -> list[tuple[str, str]]:
    """Return the first errors and warnings of a cell, each once."""
    found = list(dict.fromkeys(trouble for call in calls for trouble in call.troubles))
    found.sort(key=lambda trouble: trouble[0] != "SEVERE")
    shown = [(level, _clipped(text, _MAX_TROUBLE_CHARACTERS)) for level, text in found[:_MAX_TROUBLES]]
    if len(found) > _MAX_TROUBLES:
        level = min((level for level, _ in found[_MAX_TROUBLES:]), key=("SEVERE", "WARN").index)
        shown.append((level, f"{len(found) - _MAX_TROUBLES} more in the log"))
    return shown


def _marked(level: str) -> str:
    return f"⚠️ <b>{'Error' if level == 'SEVERE' else 'Warning'}</b>"


def _together(calls: Sequence[CallLog]) -> str:
    """Return one line for many calls."""
    tasks = {task: sum(call.task == task for call in calls) for task in dict.fromkeys(call.task for call in calls)}
    named = ", ".join(f"{count} × {task}" for task, count in list(tasks.items())[:5])
    more = ", ..." if len(tasks) > 5 else ""
    parts = [f"{len(calls)} more calls: {named}{more}"]
    for count, word in (
        (sum(call.warnings for call in calls), "warning"),
        (sum(call.errors for call in calls), "error"),
    ):
        if count:
            parts.append(counted(count, word))
    return f"{', '.join(parts)}, {duration(sum(call.seconds for call in calls))}"


def _numbered(call: CallLog) -> str:
    return f"{call.reference.rpartition('/')[2]:>4}  " if call.reference else ""


def _clipped(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 3]}..."
