"""Call between its beginning and its final record: fixed facts, progress, changes on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from casaprov.digests.measurement import Measurement
from casaprov.files.disk_names import as_listed
from casaprov.files.folder_view import Change, Look
from casaprov.files.other_names import OtherNames
from casaprov.files.stamps import Stamps, stamp
from casaprov.processes.resource_use import ResourceMeter
from casaprov.records.model import Activity, Entity, LookUp, ResourceUsage, Tier
from casaprov.tasks.calls import FileTable, TaskCall
from casaprov.tasks.specs import FileUse

__all__ = ["Author", "CallProgress", "Changes", "EndedCall", "OpenCall", "Written", "as_listed_uses", "find_changes"]

Author = Literal["call", "other", "unknown"]
"""Maker of a change while a call ran: the call, something that is known to be no part of it, or one cannot tell."""


_MOST_OBSERVED = 100  # paths that a record names
_LOST = "More files changed while it ran than the system reports at once: changes that it does not declare are not recorded."


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
    overlaps
        Whether another call ran at the same time that is no part of it, nor it of that.
    left_by_others
        Paths that such calls left.
    meter
        Measures the resources that it uses; None if another process does its work.
    resources
        Resources that it used, when it has ended.
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
    overlaps: bool = False
    left_by_others: set[Path] = field(default_factory=set)
    meter: ResourceMeter | None = None
    resources: ResourceUsage | None = None


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
    names
        Other names of the session's folder.
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
    before: Look
    names: OtherNames
    progress: CallProgress = field(default_factory=CallProgress)

    def with_parameters(self, parameters: dict[str, Any]) -> OpenCall:
        """Return the same call with parameters that became known while it ran; all of them count as given."""
        return replace(self, activity=replace(self.activity, parameters=parameters, given=tuple(parameters)))

    def had(self, path: Path) -> bool:
        """Return True if the call found something at `path`."""
        return bool(self.stamps.get(path)) or self.before.had(path)

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
        if before is not None:
            return stamp(path) != before
        return path.is_relative_to(self.before.folder) and self.before.has_changed(path)


class Written(NamedTuple):
    """A path whose stamps a call changed.

    Attributes
    ----------
    declared
        Whether the call is declared to write there.
    other_name
        Whether it is another name, known before, of something that the call wrote.
    """

    parameter: str | None
    path: Path
    declared: bool
    other_name: bool = False


class Changes(NamedTuple):
    """Changes on disk between the beginning and the end of a call.

    Attributes
    ----------
    written, gone
        Paths that are new or different, and paths that are not there any more.
    stamps
        Stamps at the end of the call, of all paths that it read or wrote.
    observed
        Paths that changed meanwhile, and of which one cannot tell whether the call changed them; of many in one folder,
        the folder.
    problems
        Sentences about changes that could not be seen.
    """

    written: tuple[Written, ...]
    gone: tuple[Path, ...]
    stamps: Mapping[Path, Stamps]
    observed: tuple[Path, ...]
    problems: tuple[str, ...] = ()


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


def find_changes(
    open_call: OpenCall,
    after: Look,
    stamp_of: Callable[[Path], Stamps],
    author: Callable[[Path, Change], Author],
    known: Callable[[], Iterable[str]] = tuple,
) -> Changes:
    """Find the paths that a call wrote and removed.

    Parameters
    ----------
    after
        The working directory at the end of the call.
    stamp_of
        Takes the present stamps of a path.
    author
        Tells whether the call made a change that it did not declare.
    known
        Returns the paths that the session knows: each may be a second name of what was written.
    """
    named = _named_paths(open_call)
    changes = open_call.before.changes_until(after)
    observed = _add_undeclared(named, changes, author, open_call.before.folder)
    before = open_call.stamps

    def is_its_own(path: Path, *, declared: bool) -> bool:
        return declared or author(path, _change_of(path, changes)) == "call"

    stamps = {path: stamp_of(path) for path in {**named, **open_call.measurements}}
    written = [
        Written(parameter, path, declared)
        for path, (parameter, declared) in named.items()
        # A restored product is a result of the call, even if the same files were there before.
        if path.exists()
        and (path not in before or stamps[path] != before[path] or path in open_call.progress.restored)
        and is_its_own(path, declared=declared)
    ]
    for path in _other_names({w.path: stamps[w.path] for w in written}, named, stamp_of, known):
        stamps[path] = stamp_of(path)
        written.append(Written(None, path, declared=False, other_name=True))
    # A path that changed may not exist all the same: a link that leads nowhere now.
    declared = {use.path for use in open_call.uses if use.role != "used"} | {path for path in named if named[path][1]}
    gone = [
        path
        for path in {**before, **named}
        if (before.get(path) or (path in changes and changes[path].had))
        and not path.exists()
        and is_its_own(path, declared=path in declared)
    ]
    problems = (_LOST,) if open_call.before.misses(after) else ()
    return Changes(tuple(written), tuple(gone), stamps, _bounded(observed, open_call.before.folder), problems)


def _add_undeclared(
    named: dict[Path, tuple[str | None, bool]],
    changes: Mapping[Path, Change],
    author: Callable[[Path, Change], Author],
    folder: Path,
) -> list[Path]:
    """Add the changed paths in a folder that a call did not name; return the paths with an unknown author."""
    observed: list[Path] = []
    met: set[Path] = set()
    for changed, change in sorted(changes.items(), key=lambda item: len(item[0].parts)):
        # A link is a name for what lies elsewhere.
        if _is_part(changed, named) or changed.is_symlink() or (by := author(changed, change)) == "other":
            continue
        path = as_listed(changed, folder)  # the system reports the names that programs use
        if _is_part(path, named):
            continue
        if by == "call":
            named[path] = (None, False)
        elif path.exists() and met.isdisjoint(path.parents):
            observed.append(path)
            met.add(path)
    return observed


def _is_part(path: Path, named: Mapping[Path, object]) -> bool:
    """Return True for a path that is named, or lies in a folder that is."""
    return path in named or not named.keys().isdisjoint(path.parents)


def _change_of(path: Path, changes: Mapping[Path, Change]) -> Change:
    """Return the change of a path: its own, that of a table which it is part of, or all of those below it."""
    for product in (path, *path.parents):
        if product in changes:
            return changes[product]
    below = [change for other, change in changes.items() if other.is_relative_to(path)]
    # Of what lies elsewhere, nothing is reported but the stamps.
    return Change(True, any(change.by_this for change in below), any(change.by_other for change in below))


def _bounded(observed: list[Path], folder: Path) -> tuple[Path, ...]:
    """Replace paths by the folders that they lie in, from below, until they are few."""
    found = dict.fromkeys(observed)
    while len(found) > _MOST_OBSERVED:
        deepest = max(len(path.parts) for path in found)
        if deepest == len(folder.parts) + 1:
            return tuple(found)[:_MOST_OBSERVED]
        found = dict.fromkeys(path.parent if len(path.parts) == deepest else path for path in found)
    return tuple(found)


def _other_names(
    written: Mapping[Path, Stamps],
    named: Container[Path],
    stamp_of: Callable[[Path], Stamps],
    known: Callable[[], Iterable[str]],
) -> Iterator[Path]:
    """Yield the known paths that lead to a written file under another name, by a link, symbolic or hard.

    Of a change by another name nothing is reported. Parts of what was written, and what it is part of, are no other
    names of it.
    """
    if not written:
        return
    places = {_place(path.as_posix()) for path in written}
    linked = [
        stamps for path, stamps in written.items() if stamps.linked or (path.is_file() and path.stat().st_nlink > 1)
    ]
    inodes = {facts.inode for stamps in linked for _, facts in stamps.files if facts.inode}
    for text in known():
        place = _place(text)
        if place is None or (place not in places and not inodes):
            continue
        path = Path(text)
        if path in named or any(path.is_relative_to(other) or other.is_relative_to(path) for other in written):
            continue
        if place in places or any(facts.inode in inodes for _, facts in stamp_of(path).files):
            yield path


def _place(path: str) -> tuple[int, int] | None:
    """Return device and inode of a path, links followed."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - for each path that the session knows, in each call that writes
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


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
        named.setdefault(open_call.names.below(use.path), (use.parameter, True))
    for use in open_call.uses:
        # What the call made did not exist when its use was noted: the disk may list it by another name.
        known = use.role == "used" or use.path in named
        path = use.path if known else as_listed(use.path, call.cwd)
        named.setdefault(path, (use.parameter, use.role == "changed" and files is not None))
    return named
