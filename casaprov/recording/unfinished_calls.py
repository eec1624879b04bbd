"""What calls that never ended may have left: their kernel was killed, and nobody looked at what they had written by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from casaprov.files.stamps import stamp
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.records.model import Activity, Document, Entity
from casaprov.records.values import from_json, is_exact
from casaprov.records.wording import clock, seconds
from casaprov.tasks.specs import TaskSpec, spec_of

__all__ = ["UnfinishedCalls"]


class UnfinishedCalls:
    """The calls of a Document that have a beginning and no end.

    Parameters
    ----------
    folders
        Where relative paths of the records start, by session id.
    specs
        TaskSpec by task name; of other calls it is not known where they write.
    """

    def __init__(self, document: Document, folders: Mapping[str, Path], specs: Mapping[str, TaskSpec]) -> None:
        self._document = document
        self._folders = folders
        self._calls = [
            (activity, spec)
            for activity in document.activities
            if activity.outcome == "unfinished" and (spec := spec_of(specs, activity.package, activity.task))
        ]

    def describe(self, path: Path, known: Entity | None = None) -> str:
        """Say which call may have left what lies at `path`: the last that writes there, and began before it was written.

        Nothing, if there is none.

        Parameters
        ----------
        known
            The last known state of the path: a call that began before another one left or found it so is not meant.
        """
        if not self._calls:
            return ""
        since = max(self._seen(known), default="") if known is not None else ""
        for activity, spec in reversed(self._calls):
            if activity.started_at < since:
                break
            with suppress(ValueError, OSError):  # a time that is none, a folder that may not be looked into
                if self._writes(activity, spec, path):
                    began = clock(activity.started_at)
                    return f"{activity.task}, which began at {began} and had not ended, writes there."
        return ""

    def _seen(self, known: Entity) -> Iterator[str]:
        """Yield when calls began that left or found a state, and have ended."""
        for activity in self._document.activities:
            if activity.outcome != "unfinished" and any(
                usage.entity == known.id for usage in (*activity.used, *activity.generated)
            ):
                yield activity.started_at

    def _writes(self, activity: Activity, spec: TaskSpec, path: Path) -> bool:
        parameters = {name: from_json(value) for name, value in activity.parameters.items() if is_exact(value)}
        folder = self._folders[activity.session] / activity.cwd
        uses = (*spec.inputs(parameters, folder), *spec.outputs(parameters, folder))
        began_ns = int(seconds(activity.started_at) * 1e9) - LONGEST_NS
        return any(use.path == path and use.role != "used" for use in uses) and stamp(path).newest_ns >= began_ns
