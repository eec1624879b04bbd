"""A call between its beginning and its record: what it found, and what lies there after it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from casaprov.digests.measurement import Measurement
from casaprov.files.snapshot import Snapshot
from casaprov.files.stamps import Stamps, stamp
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.records.model import Activity, Entity, Tier
from casaprov.tasks.calls import FileTable, TaskCall
from casaprov.tasks.specs import FileUse

__all__ = ["Changes", "OpenCall", "Written", "changed_within", "remains"]


@dataclass
class OpenCall:
    """A call that has begun: what its end needs to know about its beginning.

    Attributes
    ----------
    tiers
        How much is read of each path that it reads or changes.
    between
        States that the call itself left between the calls that it made.
    """

    call: TaskCall
    activity: Activity
    files: FileTable | None
    uses: tuple[FileUse, ...]
    stamps: dict[Path, Stamps]
    tiers: dict[Path, Tier]
    pending: dict[Path, Future[Measurement]]
    walked: Snapshot
    found: dict[Path, Entity] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)
    between: dict[str, Entity] = field(default_factory=dict)
    waited_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def had(self, path: Path) -> bool:
        """Tell whether the call found something at `path`."""
        return bool(self.stamps.get(path) or self.walked.saw(path))


class Written(NamedTuple):
    """A path whose stamps a call changed, and whether something says that it writes there."""

    parameter: str | None
    path: Path
    declared: bool


class Changes(NamedTuple):
    """What lies on disk when a call has ended.

    Attributes
    ----------
    stamps
        Of all that it read and wrote.
    """

    written: tuple[Written, ...]
    gone: tuple[Path, ...]
    stamps: dict[Path, Stamps]


def remains(opened: OpenCall, after: Snapshot) -> Changes:
    """Find out what a call wrote and deleted; what the walk after it could not do joins its problems."""
    outputs = opened.files.outputs(opened.call.parameters, opened.call.cwd) if opened.files else ()
    named: dict[Path, tuple[str | None, bool]] = {}
    for use in outputs:
        named.setdefault(use.path, (use.parameter, True))
    for use in opened.uses:
        named.setdefault(use.path, (use.parameter, use.role == "changed" and opened.files is not None))
    opened.problems.extend(problem for problem in after.problems if problem not in opened.problems)
    changed = after.changed_since(opened.walked)
    for path in changed:
        if named.keys().isdisjoint(path.parents):  # a file of a folder that is named is part of it
            named.setdefault(path, (None, False))
    stamps = {path: after.at(path) for path in {**named, **opened.pending}}
    written = tuple(
        Written(parameter, path, declared)
        for path, (parameter, declared) in named.items()
        if path.exists() and (path not in opened.stamps or stamps[path] != opened.stamps[path])
    )
    gone = [path for path in opened.stamps if opened.stamps[path] and not path.exists()]
    missed = (opened.walked.folder / name for name in opened.walked.products if name not in after.products)
    # What changed may be a link that leads nowhere now.
    gone += [path for path in (*missed, *changed) if not path.exists() and path not in gone]
    return Changes(written, tuple(gone), stamps)


def changed_within(opened: OpenCall, path: Path, current: Entity | None) -> bool:
    """Tell whether something changed `path` after a call began."""
    if current is not None and current.generated_by in {opened.activity.id, *opened.children}:
        return True
    before = opened.stamps.get(path)
    if before is None and path.is_relative_to(opened.walked.folder):
        before = opened.walked.saw(path)
        if before is None:  # it is new, or not looked at
            began_ns = opened.walked.taken_ns - LONGEST_NS
            return opened.walked.complete and stamp(path).newest_ns >= began_ns
    return before is not None and stamp(path) != before
