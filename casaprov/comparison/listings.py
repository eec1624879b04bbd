"""Listings and logs of tasks: texts that state where and when they were written.

``listobs`` names its MeasurementSet by absolute path and pads its columns to
fit, ``imfit`` notes the time of the fit. Two such texts have the same content
if they agree once folders have one name and the time of writing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from casaprov.errors import DigestError
from casaprov.files.regular import open_regular

__all__ = ["same_listing"]

_MAX_BYTES = 10 * 2**20  # larger texts are compared as they are
_WRITTEN_WITHIN = timedelta(days=1)

# 2026-11-22 01:02:03 or 2026/11/22/01:02:03, and Sun Nov 22 01:02:03 2026
_NUMERIC = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[ T/](\d\d):(\d\d):(\d\d)(?:\.\d+)?")
_VERBAL = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}")


def same_listing(
    recorded: Path, recorded_at: datetime, present: Path, present_at: datetime, moved: Mapping[str, str]
) -> bool:
    """Return True if two texts agree but for folder names, padding and the time of writing.

    Parameters
    ----------
    recorded_at, present_at
        Times at which the calls that wrote them began; times within a day of
        that are taken for times of writing, all others count.
    moved
        Recorded path to present path, for folders and files that lie elsewhere now.
    """
    try:
        before, after = _text(recorded), _text(present)
    except (DigestError, OSError, ValueError):
        return False
    # The longest path first: a folder's path begins those of what lies in it.
    for old, new in sorted(moved.items(), key=lambda pair: -len(pair[1])):
        after = after.replace(new, old)
    return _without_times(before, recorded_at).split() == _without_times(after, present_at).split()


def _text(path: Path) -> str:
    with open_regular(path) as stream:
        found = stream.read(_MAX_BYTES + 1)
    if len(found) > _MAX_BYTES:
        raise ValueError("too large")
    return found.decode("utf-8")


def _without_times(text: str, written_at: datetime) -> str:
    def mask(found: re.Match[str]) -> str:
        time = _time(found)
        # Tasks write local time without a zone; zones are at most 14 hours from UTC, so a day covers all.
        near = time is not None and abs(time - written_at.replace(tzinfo=None)) <= _WRITTEN_WITHIN
        return "<time of writing>" if near else found.group()

    return _VERBAL.sub(mask, _NUMERIC.sub(mask, text))


def _time(found: re.Match[str]) -> datetime | None:
    try:
        if found.re is _NUMERIC:
            return datetime(*map(int, found.groups()))  # type: ignore[arg-type] # noqa: DTZ001
        return datetime.strptime(found.group(), "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007
    except ValueError:
        return None
