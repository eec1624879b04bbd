"""Lines of a CASA log: time, priority, origin and message, one on each line.

::

    2018-08-07 12:37:28	INFO	::casa	CASA Version 5.3.0-143
    2018-08-07 12:39:02	INFO	gaincal::::+	##### Begin Task: gaincal            #####

A message of several lines has a ``+`` behind the origin of all lines but the first. Logs that were copied from a
terminal have spaces in place of the tabs. A line without a time goes on with the message before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

__all__ = ["LogLine", "log_lines"]

_LINE = re.compile(
    r"\s*(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s+(?P<priority>[A-Z]+\d?)(?:\t| +)(?P<origin>[^\t]*?)(?:\t| {2,}|$)(?P<text>.*)"
)


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes
    ----------
    time
        In UTC, to a second: ``2018-08-07T12:37:28.000000+00:00``.
    origin
        Part of CASA that wrote it, as ``gaincal::::casa``, without the mark of a continuation.
    raw
        The line as it stands.
    """

    time: str
    priority: str
    origin: str
    text: str
    raw: str

    @property
    def task(self) -> str:
        """The task that wrote it; empty if the origin is no task."""
        name, colons, _ = self.origin.partition("::::")
        return name if colons else ""


def log_lines(text: Iterable[str]) -> Iterator[LogLine]:
    """Yield the lines of a log; those before the first line with a time are left out."""
    last: LogLine | None = None
    for raw in text:
        line = raw.rstrip("\r\n")
        found = _LINE.fullmatch(line)
        if found is None:
            if last is not None:
                last = replace(last, text=line, raw=line)
                yield last
            continue
        try:
            moment = datetime.strptime(found["time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            continue
        origin = found["origin"].strip()
        last = LogLine(
            time=moment.isoformat(timespec="microseconds"),
            priority=found["priority"],
            origin=origin.removesuffix("+"),
            text=found["text"].rstrip(),
            raw=line,
        )
        yield last
