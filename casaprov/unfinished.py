"""What calls that never ended may have left: their kernel was killed, and nobody looked at what they had written by then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from casaprov.lineage import Lineage
from casaprov.model import Activity, Document, Entity
from casaprov.stamps import stamp
from casaprov.taskspec import TaskSpec
from casaprov.time_steps import LONGEST_NS
from casaprov.values import from_json, is_exact

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
        self._lineage = Lineage(document)
        self._folders = folders
        self._calls = [
            (activity, spec)
            for activity in document.activities
            if activity.outcome == "unfinished"
            and (spec := specs.get(activity.task)) is not None
            and spec.package == activity.package
        ]

    def describe(self, path: Path, known: Entity | None = None) -> str:
        """Say which call may have left what lies at `path`: the last that writes there, and began before it was written.

        Nothing, if there is none.

        Parameters
        ----------
        known
            The last known state of the path: only calls after that which left it are looked at.
        """
        maker = self._lineage.generator(known) if known is not None else None
        since = (maker.ended_at or maker.started_at) if maker is not None else ""
        for activity, spec in reversed(self._calls):
            if activity.started_at < since:
                break
            if self._writes(activity, spec, path):
                at = f"{activity.started_at.partition('.')[0].replace('T', ' ')} UTC"
                return f"{activity.task}, which began at {at} and never ended, writes there."
        return ""

    def _writes(self, activity: Activity, spec: TaskSpec, path: Path) -> bool:
        parameters = {name: from_json(value) for name, value in activity.parameters.items() if is_exact(value)}
        named = {use.path for use in spec.outputs(parameters, self._folders[activity.session] / activity.cwd)}
        began_ns = int(datetime.fromisoformat(activity.started_at).timestamp() * 1e9) - LONGEST_NS
        return path in named and stamp(path).newest_ns >= began_ns
