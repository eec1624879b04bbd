"""Call between its beginning and its final record: fixed facts, progress, changes on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from casaprov.digests.measurement import Measurement
from casaprov.files.disk_names import as_listed
from casaprov.files.snapshot import Snapshot
from casaprov.files.stamps import Stamps, stamp
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.records.model import Activity, Entity, LookUp, Tier
from casaprov.tasks.calls import FileTable, TaskCall
from casaprov.tasks.specs import FileUse

__all__ = ["CallProgress", "Changes", "EndedCall", "OpenCall", "Written", "as_listed_uses", "find_changes"]


@dataclass
class CallProgress:
    """Facts about a call that are learnt between its beginning and its final record.

    Attributes
    ----------
    found
        States that the call found, by path.
    children
        Ids of the calls that it made, and of theirs.
    between
        States that the call itself left between two of these calls, by id.
    waited_s
        Seconds that the user waited for casaprov.
    problems
        Sentences about what could not be recorded.
    look_up
        Answer of the store of results; None where the cache is off.
    restored
        Products that were restored, instead of the call being run.
    keeps
        Whether the products are to be kept by the store: nobody may change them before.
    ended
        The call when it has ended, until its results are kept.
    """

    found: dict[Path, Entity] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)
    between: dict[str, Entity] = field(default_factory=dict)
    waited_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    look_up: LookUp | None = None
    restored: tuple[Path, ...] = ()
    keeps: bool = False
    ended: EndedCall | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenCall:
    """A call that has begun: facts that its end needs.

    Attributes
    ----------
    activity
        The Activity as it was when the call began.
    files
        What is declared about its files; None if nothing is.
    uses
        Files that it reads, changes or deletes.
    outputs
        Files that it makes, as far as they existed at its beginning.
    stamps
        Stamps at its beginning, of these files and of its outputs.
    tiers
        How much is read of each path that it reads or changes.
    measurements
        Measurements of these paths, begun before the call runs.
    before
        The working directory at its beginning.
    progress
        What is learnt about the call from then on.
    """

    call: TaskCall
    activity: Activity
    files: FileTable | None
    uses: tuple[FileUse, ...]
    outputs: tuple[FileUse, ...]
    stamps: Mapping[Path, Stamps]
    tiers: Mapping[Path, Tier]
    measurements: Mapping[Path, Future[Measurement]]
    before: Snapshot
    progress: CallProgress = field(default_factory=CallProgress)

    def with_parameters(self, parameters: dict[str, Any]) -> OpenCall:
        """Return the same call with parameters that became known while it ran; all of them count as given."""
        return replace(self, activity=replace(self.activity, parameters=parameters, given=tuple(parameters)))

    def had(self, path: Path) -> bool:
        """Return True if the call found something at `path`."""
        return bool(self.stamps.get(path) or self.before.saw(path))

    def has_changed(self, path: Path, current: Entity | None) -> bool:
        """Return True if a path changed after the call began.

        Parameters
        ----------
        current
            The last known state of the path.
        """
        if current is not None and current.generated_by in {self.activity.id, *self.progress.children}:
            return True
        before = self.stamps.get(path)
        if before is None and path.is_relative_to(self.before.folder):
            before = self.before.saw(path)
            if before is None:
                # Either it is new, or the snapshot ignores its name: only the time of the file tells. File times lag
                # behind the clock by up to one step of the file system.
                began_ns = self.before.taken_ns - LONGEST_NS
                return self.before.complete and stamp(path).newest_ns >= began_ns
        return before is not None and stamp(path) != before


class Written(NamedTuple):
    """A path whose stamps a call changed, and whether the call is declared to write there."""

    parameter: str | None
    path: Path
    declared: bool


class Changes(NamedTuple):
    """Changes on disk between the beginning and the end of a call.

    Attributes
    ----------
    written, gone
        Paths that are new or different, and paths that are not there any more.
    stamps
        Stamps at the end of the call, of all paths that it read or wrote.
    problems
        Sentences about what the snapshot at the end did not see.
    """

    written: tuple[Written, ...]
    gone: tuple[Path, ...]
    stamps: Mapping[Path, Stamps]
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class EndedCall:
    """A call that has ended and is still being measured.

    Attributes
    ----------
    activity
        The Activity, without the states that are not known yet.
    parents
        The calls that it is part of, the outermost first.
    changes
        What it wrote and removed.
    measurements
        Measurements of what it wrote.
    awaited
        Stamps of the paths that are measured while other code runs. If they move before, the measurement is not of
        what the call left.
    """

    open_call: OpenCall
    activity: Activity
    parents: tuple[OpenCall, ...]
    changes: Changes
    measurements: Mapping[Path, Future[Measurement]]
    awaited: Mapping[Path, Stamps]


def find_changes(open_call: OpenCall, after: Snapshot) -> Changes:
    """Find the paths that a call wrote and removed.

    Parameters
    ----------
    after
        The working directory at the end of the call.
    """
    named = _named_paths(open_call)
    changed = after.changed_since(open_call.before)
    for path in changed:
        if named.keys().isdisjoint(path.parents):  # a file in a folder that is named is part of the folder
            named.setdefault(path, (None, False))
    before = open_call.stamps
    stamps = {path: after.at(path) for path in {**named, **open_call.measurements}}
    written = tuple(
        Written(parameter, path, declared)
        for path, (parameter, declared) in named.items()
        # A restored product is a result of the call, even if the same files were there before.
        if path.exists() and (path not in before or stamps[path] != before[path] or path in open_call.progress.restored)
    )
    gone = [path for path in before if before[path] and not path.exists()]
    missed = (open_call.before.folder / name for name in open_call.before.products if name not in after.products)
    # A path that changed may not exist all the same: a link that leads nowhere now.
    gone += [path for path in (*missed, *changed) if not path.exists() and path not in gone]
    return Changes(written, tuple(gone), stamps, after.problems)


def as_listed_uses(uses: Iterable[FileUse], cwd: Path) -> tuple[FileUse, ...]:
    """Return uses of files with the names that the disk lists: the snapshots of the folder have these too."""
    found: dict[Path, FileUse] = {}
    for use in uses:
        path = as_listed(use.path, cwd)
        found.setdefault(path, use if path == use.path else replace(use, path=path))
    return tuple(found.values())


def _named_paths(open_call: OpenCall) -> dict[Path, tuple[str | None, bool]]:
    """Return the paths that a call names, with the parameter, and whether it is declared to write there."""
    call, files = open_call.call, open_call.files
    named: dict[Path, tuple[str | None, bool]] = {}
    for use in as_listed_uses(files.outputs(call.parameters, call.cwd), call.cwd) if files else ():
        named.setdefault(use.path, (use.parameter, True))
    for use in open_call.uses:
        named.setdefault(use.path, (use.parameter, use.role == "changed" and files is not None))
    return named
