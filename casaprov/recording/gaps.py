"""What is known of a change that no recorded call made: in which file, to what, between which calls, in which pause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement
from casaprov.files.stamps import stamp
from casaprov.hashing import Digest
from casaprov.records.model import Entity
from casaprov.records.wording import clock, seconds

__all__ = ["CallElsewhere", "Pauses", "UnfinishedCall", "describe_gap"]

UnfinishedCall = Callable[[Path, Entity | None], str]
"""Says which call of an earlier session may have left what lies at a path, after a state; nothing if none."""

CallElsewhere = Callable[[Digest | None, str], str]
"""Says which call of another notebook left a content, in something of a name; nothing if none."""

_MAX_NAMED = 8


@dataclass(frozen=True)
class _Pause:
    since: str
    until: str
    calls: int  # of the session, before it

    def __str__(self) -> str:
        return f"from {clock(self.since)} to {clock(self.until)}"


class Pauses:
    """The times in which the user had recording switched off."""

    def __init__(self) -> None:
        self._all: list[_Pause] = []

    def add(self, since: str, until: str, calls: int) -> None:
        """Take note of a pause, after so many calls of the session."""
        self._all.append(_Pause(since, until, calls))

    def describe(self, *, after_call: int) -> str:
        """Say which pauses there were since a call of the session; nothing if none."""
        named = [str(pause) for pause in self._all if pause.calls >= after_call]
        return f"Recording was paused {' and '.join(named)}." if named else ""

    def describe_new(self, path: Path) -> str:
        """Say whether a file that no call made was last changed during a pause; nothing if not."""
        changed = stamp(path).newest_ns / 1e9 if self._all else 0
        for pause in self._all:
            if seconds(pause.since) <= changed <= seconds(pause.until):
                return f"It was made or changed while recording was paused, {pause}."
        return ""


def describe_gap(before: Entity, tree: Mapping[str, Any] | None, now: Measurement, *, after: str, until: str) -> str:
    """Say what something that is no recorded call changed, and when.

    Parameters
    ----------
    before
        The last known state.
    tree
        Its digest tree, if it was kept.
    now
        What was found instead.
    after, until
        The last call that knew `before`, and what found the change; as words.
    """
    from casaprov.comparison.verdict import Tolerance
    from casaprov.comparison.with_record import compare_trees  # rarely needed, and a kernel has no time to load it

    compared = compare_trees(tree, before.content_digest, before.byte_digest, now, Tolerance())
    names = [name for name in dict.fromkeys(difference.path for difference in compared.differences) if name]
    shown = ", ".join(names[:_MAX_NAMED]) or "its content"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"Something that is no recorded call changed {shown}{more} between {after} and {until}."
