"""Changes in a working folder while a call runs, at a cost that does not grow with the folder.

Where Linux reports changes (:mod:`casaprov.files.witness`), the folders below the working folder are marked once, a part
of them at each look, and a look costs as much as there were changes. Elsewhere the folder is stamped at each look, up to
a number of files. In both cases what lies beyond is not seen; files that a task declares are looked at by their names.
Links are not followed, and what belongs to another user is not looked at.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from casaprov.files.kinds import is_table
from casaprov.files.regular import entries_of
from casaprov.files.snapshot import Snapshot, holds_python, is_foreign, is_ignored, take_snapshot
from casaprov.files.stamps import Stamps, stamp, stamp_folder
from casaprov.files.time_resolution import LONGEST_NS
from casaprov.files.witness import FolderEvent, Handle, Witness
from casaprov.processes.exempt import ExemptLock

__all__ = ["Change", "FolderViews", "Look"]

_STEPS = 4000  # entries that one look lists on its way through the folders, some 5 ms
_MOST_FOLDERS = 20_000  # marks of one view
_MOST_STAMPED = 800  # files that one look stamps where changes are not reported, some 8 ms
_MOST_CHANGES = 100_000  # changes that are remembered
_MOST_VIEWS = 4  # working folders that are watched
_LOCK = "table.lock"
_NAMELESS = re.compile(
    r"#\d+"
)  # a file without a name (O_TMPFILE), such as casaprov itself writes to try a file system


class Change(NamedTuple):
    """A change of a product between two looks.

    Attributes
    ----------
    had
        True if there was something before.
    by_this, by_other
        True if a thread of this process changed it, and if another process did; both are False where that is not known.
    """

    had: bool
    by_this: bool
    by_other: bool


@dataclass(frozen=True)
class Look:
    """A working folder at one time.

    Attributes
    ----------
    taken_ns
        Time at which it began, in nanoseconds since 1970.
    view
        Where changes are reported: the view that noted them, and how many it had noted by then.
    snapshot
        Elsewhere: the stamps of the products.
    """

    folder: Path
    taken_ns: int
    view: FolderView | None = None
    place: int = 0
    snapshot: Snapshot | None = None

    def changes_until(self, later: Look) -> dict[Path, Change]:
        """Return the changes between this look and a later one of the same folder."""
        if self.snapshot is not None and later.snapshot is not None:
            before = self.snapshot
            changed = later.snapshot.changed_since(before)
            missed = [before.folder / name for name in before.products if name not in later.snapshot.products]
            gone = [path for path in missed if not os.path.lexists(path)]
            return {path: Change(bool(before.saw(path)), False, False) for path in (*changed, *gone)}
        if self.view is None or self.view is not later.view:
            return {}
        return self.view.changes(self.place, later.place)

    def had(self, path: Path) -> bool:
        """Return True if there was something at a path."""
        if self.view is None:
            return self.snapshot is not None and bool(self.snapshot.saw(path))
        change = self.view.changes(self.place, self.view.look().place).get(path)
        return change.had if change is not None else self.view.covers(path) and os.path.lexists(path)

    def has_changed(self, path: Path) -> bool:
        """Return True if a path is known to have changed since this look."""
        if self.view is not None:
            if path in self.view.changes(self.place, self.view.look().place):
                return True
            if self.view.covers(path):
                return False
        elif self.snapshot is not None and (before := self.snapshot.saw(path)) is not None:
            return stamp(path) != before
        elif self.snapshot is not None and not self.snapshot.complete:
            return False
        # Either it is new, or its name is ignored: only the time of the file tells. File times lag behind the clock by
        # up to one step of the file system.
        return stamp(path).newest_ns >= self.taken_ns - LONGEST_NS


class FolderViews:
    """Looks at working folders.

    Parameters
    ----------
    stamp_table
        Takes the stamps of tables, where changes are not reported.
    """

    def __init__(self, stamp_table: Callable[[str], Stamps] = stamp_folder) -> None:
        self._stamp_table = stamp_table
        self._views: dict[Path, FolderView | None] = {}
        self._lock = ExemptLock()

    def look(self, folder: Path, logs: Collection[str] = ()) -> Look:
        """Look at a folder; `logs` are paths of files that are no products."""
        with self._lock:
            view = self._views.pop(folder, None) if folder in self._views else _view_of(folder)
            if view is not None and view.is_lost:
                view = _view_of(folder)
            self._views[folder] = view
            for old in list(self._views)[:-_MOST_VIEWS]:
                del self._views[old]
        if view is not None:
            return view.look(logs)
        found = take_snapshot(folder, logs=logs, max_entries=_MOST_STAMPED, stamp_table=self._stamp_table)
        return Look(folder, found.taken_ns, snapshot=found)


def _view_of(folder: Path) -> FolderView | None:
    try:
        return FolderView(folder)
    except OSError:
        return None


class _Noted(NamedTuple):
    name: str
    had: bool
    by_this: bool
    vanished: bool = False


class FolderView:
    """A folder whose changes are reported; safe for threads.

    Raises
    ------
    OSError
        If changes in the folder cannot be reported.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_lost = False
        self._witness = Witness()
        self._lock = ExemptLock()
        self._logs: set[str] = set()
        self._noted: deque[_Noted] = deque(maxlen=_MOST_CHANGES)
        self._count = 0
        # Of each marked folder: its name from `folder`, with a slash at the end, and the table that it is part of.
        self._folders: dict[Handle, tuple[str, str]] = {self._witness.mark(folder): ("", "")}
        self._walk = self._steps([("", "")])

    def look(self, logs: Collection[str] = ()) -> Look:
        """Take in the reports since the last look, and mark some more folders."""
        taken_ns = time.time_ns()
        with self._lock:
            self._logs.update(logs)
            self._take()
            for _ in islice(self._walk, _STEPS):
                pass
            return Look(self.folder, taken_ns, view=self, place=self._count)

    def changes(self, since: int, until: int) -> dict[Path, Change]:
        """Return the changes from one count of changes to another, products inside of others left out."""
        with self._lock:
            first = self._count - len(self._noted)
            noted = list(islice(self._noted, max(0, since - first), max(0, until - first)))
        found: dict[str, Change] = {}
        for name, had, by_this, _ in noted:
            known = found.get(name) or Change(had, False, False)
            found[name] = known._replace(by_this=known.by_this or by_this, by_other=known.by_other or not by_this)
        return {self.folder / name: change for name, change in found.items()}

    def covers(self, path: Path) -> bool:
        """Return True if changes of a path are reported."""
        if not path.is_relative_to(self.folder):
            return False
        relative = path.relative_to(self.folder)
        with self._lock:
            marked = {name for name, _ in self._folders.values()}
        parent = "" if relative.parent == Path() else f"{relative.parent.as_posix()}/"
        return parent in marked and not any(map(is_ignored, relative.parts))

    # -- events --------------------------------------------------------------

    def _take(self) -> None:
        events = self._witness.read()
        if events is None:  # too many at once: from now on this view cannot say what changed
            self.is_lost = True
            return
        for event in events:
            if (place := self._folders.get(event.folder)) is not None:
                self._note_event(event, *place)

    def _note_event(self, event: FolderEvent, prefix: str, table: str) -> None:
        name = prefix + event.name
        if table:
            if event.is_folder and event.appeared:
                self._enter(name, table)
            if event.name != _LOCK:  # it changes when the table is read
                self._note(_Noted(table, True, event.by_this))
        elif _NAMELESS.fullmatch(event.name) or is_ignored(event.name) or f"{self.folder}/{name}" in self._logs:
            return
        elif event.is_folder:
            if event.vanished:
                self._leave(name)
                self._note(_Noted(name, True, event.by_this, vanished=True))
            if event.appeared:
                self._enter_new(name, event)
        elif event.name == "table.dat" and event.appeared and prefix:
            self._become_table(prefix, event)
        else:
            self._note(_Noted(name, not event.appeared, event.by_this, event.vanished))

    def _note(self, noted: _Noted) -> None:
        if not self._noted or self._noted[-1] != noted:
            self._noted.append(noted)
            self._count += 1

    def _enter_new(self, name: str, event: FolderEvent) -> None:
        """Mark a new folder, and note its files if this process made it."""
        path = f"{self.folder}/{name}"
        if _is_one_product(path):
            self._enter(name, name)
            self._note(_Noted(name, False, event.by_this))
            return
        if not event.by_this:
            self._walk = _both(self._walk, self._steps([(f"{name}/", "")], marked=False))
            return
        if not self._mark(f"{name}/", ""):
            return
        for entry in entries_of(path):
            if entry.is_dir(follow_symlinks=False):
                if not is_ignored(entry.name):
                    self._enter_new(f"{name}/{entry.name}", event)
            elif not is_ignored(entry.name):
                self._note(_Noted(f"{name}/{entry.name}", False, event.by_this))

    def _become_table(self, prefix: str, event: FolderEvent) -> None:
        name = prefix.removesuffix("/")
        for handle, (place, table) in list(self._folders.items()):
            if place.startswith(prefix) and not table:
                self._folders[handle] = (place, name)
        self._note(_Noted(name, False, event.by_this))

    def _leave(self, name: str) -> None:
        for handle, (place, _) in list(self._folders.items()):
            if place.startswith(f"{name}/"):
                del self._folders[handle]

    def _enter(self, name: str, table: str) -> None:
        """Mark all folders of a table from `name` on."""
        waiting = [name]
        while waiting:
            folder = waiting.pop()
            if self._mark(f"{folder}/", table):
                entries = entries_of(f"{self.folder}/{folder}")
                waiting += [f"{folder}/{e.name}" for e in entries if e.is_dir(follow_symlinks=False)]

    def _mark(self, prefix: str, table: str) -> bool:
        if len(self._folders) >= _MOST_FOLDERS:
            return False
        try:
            self._folders[self._witness.mark(f"{self.folder}/{prefix}")] = (prefix, table)
        except OSError:  # gone again, of a file system that reports nothing, or one too many
            return False
        return True

    # -- the way through all folders -------------------------------------------

    def _steps(self, waiting: list[tuple[str, str]], *, marked: bool = True) -> Iterator[None]:
        """Mark all folders below some, one entry at a step; the first of them are `marked` already."""
        todo = deque(waiting)
        while todo:
            prefix, table = todo.popleft()
            # Race: what appears between listing and marking would be missed, so a folder is marked first.
            if not marked and not self._mark(prefix, table):
                continue
            marked = False
            try:
                entries = os.scandir(f"{self.folder}/{prefix}")
            except OSError:
                continue
            with entries:
                for entry in entries:
                    yield
                    if not entry.is_dir(follow_symlinks=False) or (not table and is_ignored(entry.name)):
                        continue
                    if table or _is_one_product(entry.path):
                        todo.append((f"{prefix}{entry.name}/", table or f"{prefix}{entry.name}"))
                    elif not holds_python(entry.path) and not is_foreign(entry):
                        todo.append((f"{prefix}{entry.name}/", ""))


def _both(first: Iterator[None], second: Iterator[None]) -> Iterator[None]:
    yield from first
    yield from second


def _is_one_product(path: str) -> bool:
    return path.endswith(".flagversions") or is_table(Path(path))
