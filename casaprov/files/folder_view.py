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

_STEPS = 1500  # entries that one look lists on its way through the folders, some 4 ms
_MOST_FOLDERS = 20_000  # marks of one view
_MOST_STAMPED = 800  # files that one look stamps where changes are not reported, some 8 ms
_MOST_CHANGES = 100_000  # changes that are remembered
_MOST_VIEWS = 8  # working folders that are watched
_LOCK = "table.lock"
# A file without a name (O_TMPFILE), such as casaprov itself writes to try a file system.
_NAMELESS = re.compile(r"#\d+")


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

    def misses(self, later: Look) -> bool:
        """Return True if some changes until a later look were reported and lost: there were too many at once."""
        return self.view is not None and self.view is not later.view

    def had(self, path: Path) -> bool:
        """Return True if there was something at a path."""
        if self.view is None:
            return self.snapshot is not None and bool(self.snapshot.saw(path))
        change = self.view.changes(self.place, self.view.look().place).get(path)
        return change.had if change is not None else self.view.covers(path) and os.path.lexists(path)

    def has_changed(self, path: Path) -> bool:
        """Return True if a path, or something below it, is known to have changed since this look."""
        if self.view is not None:
            changes = self.view.changes(self.place, self.view.look().place)
            if any(changed.is_relative_to(path) for changed in changes):
                return True
            # Of a table only the whole is noted: of a part of it, such as a part of a Multi-MS, its times tell.
            if self.view.covers(path) and changes.keys().isdisjoint(path.parents):
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
            view = self._views.pop(folder) if folder in self._views else _view_of(folder)
            look = view.look(logs) if view is not None else None
            if view is not None and view.is_lost:  # what happens from now on is not
                view = _view_of(folder)
                look = view.look(logs) if view is not None else None
            self._views[folder] = view
            for old in list(self._views)[:-_MOST_VIEWS]:
                del self._views[old]
        if look is not None:
            return look
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
    is_new_folder: bool = False  # no change by itself, but what happens to it later is that of something new


class _Marked(NamedTuple):
    """A marked folder: its name from the working folder, with a slash at the end, and the table that it is part of."""

    prefix: str
    table: str


class _Waiting(NamedTuple):
    """A folder to be marked, with all folders below it."""

    prefix: str
    table: str
    is_marked: bool = False


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
        self._last: _Noted | None = None  # of this look: a table is written to many times
        self._marked: dict[Handle, _Marked] = {self._witness.mark(folder): _Marked("", "")}
        self._handles = {place.prefix: handle for handle, place in self._marked.items()}
        self._inside: dict[str, set[str]] = {}  # marked folders in a marked folder
        self._tables: set[str] = set()  # tables that lie in no other one
        self._waiting = deque([_Waiting("", "", is_marked=True)])
        self._walk = self._steps()
        self._left = 0  # entries of new folders that this look may still list for others

    def look(self, logs: Collection[str] = ()) -> Look:
        """Take in the reports since the last look, and mark some more folders."""
        taken_ns = time.time_ns()
        with self._lock:
            self._logs.update(logs)
            self._left, self._last = _STEPS, None
            self._take()
            self._mark_more(self._left)
            return Look(self.folder, taken_ns, view=self, place=self._count)

    def changes(self, since: int, until: int) -> dict[Path, Change]:
        """Return the changes from one count of changes to another, with each table as one product."""
        with self._lock:
            first = self._count - len(self._noted)
            noted = list(islice(self._noted, max(0, since - first), max(0, until - first)))
            found: dict[str, Change] = {}
            new: set[str] = set()
            for name, had, by_this, _, is_new_folder in noted:
                if is_new_folder:
                    new.add(name)
                    continue
                product = self._table_around(name) or name
                known = found.get(product) or Change(had and product not in new, False, False)
                found[product] = known._replace(
                    by_this=known.by_this or by_this, by_other=known.by_other or not by_this
                )
        return {self.folder / name: change for name, change in found.items()}

    def covers(self, path: Path) -> bool:
        """Return True if changes of a path are reported."""
        if not path.is_relative_to(self.folder):
            return False
        relative = path.relative_to(self.folder)
        parent = "" if relative.parent == Path() else f"{relative.parent.as_posix()}/"
        with self._lock:
            return parent in self._handles and not any(map(is_ignored, relative.parts))

    def _table_around(self, name: str) -> str:
        """Return the table that a name lies in; empty if there is none."""
        if self._tables:
            end = name.find("/")
            while end > 0:
                if name[:end] in self._tables:
                    return name[:end]
                end = name.find("/", end + 1)
        return ""

    # -- events --------------------------------------------------------------

    def _take(self) -> None:
        events = self._witness.read()
        if events is None:  # too many at once: from now on this view cannot say what changed
            self.is_lost = True
            return
        for event in events:
            if (place := self._marked.get(event.folder)) is not None:
                self._note_event(event, place)

    def _note_event(self, event: FolderEvent, place: _Marked) -> None:
        name = place.prefix + event.name
        if place.table:
            if event.is_folder and event.vanished:
                self._leave(f"{name}/")
            if event.is_folder and event.appeared:
                self._enter(name, place.table)
            if event.name != _LOCK:  # it changes when the table is read
                self._note(_Noted(place.table, True, event.by_this))
        elif _NAMELESS.fullmatch(event.name) or is_ignored(event.name) or f"{self.folder}/{name}" in self._logs:
            return
        elif event.is_folder:
            if event.vanished:
                # Both at once: a folder that was made and removed between two looks was not there before, if it is not
                # known from an earlier one.
                had = not event.appeared or self._knows(f"{name}/")
                self._leave(f"{name}/")
                self._note(_Noted(name, had, event.by_this, vanished=True))
            if event.appeared:
                self._enter_new(name, by_this=event.by_this)
        elif event.name == "table.dat" and event.appeared and place.prefix:
            self._become_table(place.prefix, event)
        else:
            # Both at once: put together from several events. What is there now took the place of something; what is not was
            # made and removed.
            replaced = event.vanished and os.path.lexists(f"{self.folder}/{name}")
            self._note(_Noted(name, replaced or not event.appeared, event.by_this, event.vanished))

    def _knows(self, prefix: str) -> bool:
        return prefix in self._handles or any(waiting.prefix == prefix for waiting in self._waiting)

    def _note(self, noted: _Noted) -> None:
        if noted != self._last:
            self._last = noted
            self._noted.append(noted)
            self._count += 1

    def _enter_new(self, name: str, *, by_this: bool) -> None:
        """Mark a new folder, and note its files: they came into it before it was marked."""
        path = f"{self.folder}/{name}"
        if not os.path.lexists(path):  # gone again: it was not there before, whatever a later event of its end says
            self._note(_Noted(name, False, by_this))
            return
        if _is_one_product(path):
            self._enter(name, name)
            self._note(_Noted(name, False, by_this))
            return
        if not by_this and (self._left <= 0 or _is_anothers(path)):
            self._waiting.append(_Waiting(f"{name}/", ""))
            return
        if not self._mark(f"{name}/", ""):
            return
        self._note(_Noted(name, False, by_this, is_new_folder=True))
        for entry in entries_of(path):
            self._left -= not by_this
            if is_ignored(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                self._enter_new(f"{name}/{entry.name}", by_this=by_this)
            else:
                self._note(_Noted(f"{name}/{entry.name}", False, by_this))

    def _become_table(self, prefix: str, event: FolderEvent) -> None:
        """Take a folder and all below it, tables included, for one table from now on."""
        name = prefix.removesuffix("/")
        for below in self._all_below(prefix):
            self._marked[self._handles[below]] = _Marked(below, name)
            self._tables.discard(below.removesuffix("/"))
        self._tables.add(name)
        self._note(_Noted(name, False, event.by_this))

    def _all_below(self, prefix: str) -> list[str]:
        """Return the marked folders from one on, that one included."""
        found = [prefix] if prefix in self._handles else []
        for folder in found:  # grows meanwhile
            found += self._inside.get(folder, ())
        return found

    def _leave(self, prefix: str) -> None:
        """Forget a folder that is gone from its place, and all below it."""
        for below in self._all_below(prefix):
            self._marked.pop(self._handles.pop(below), None)
            self._inside.pop(below, None)
            self._tables.discard(below.removesuffix("/"))
        self._inside.get(_above(prefix), set()).discard(prefix)

    def _enter(self, name: str, table: str) -> None:
        """Mark all folders of a table from `name` on."""
        waiting = [name]
        while waiting:
            folder = waiting.pop()
            if self._mark(f"{folder}/", table):
                entries = entries_of(f"{self.folder}/{folder}")
                waiting += [f"{folder}/{e.name}" for e in entries if e.is_dir(follow_symlinks=False)]

    def _mark(self, prefix: str, table: str) -> bool:
        if len(self._marked) >= _MOST_FOLDERS:
            return False
        try:
            handle = self._witness.mark(f"{self.folder}/{prefix}")
        except OSError:  # gone again, of a file system that reports nothing, or one too many
            return False
        if (before := self._marked.get(handle)) is not None and before.prefix != prefix:
            self._leave(before.prefix)  # it was moved here
        self._marked[handle] = _Marked(prefix, table)
        self._handles[prefix] = handle
        self._inside.setdefault(_above(prefix), set()).add(prefix)
        if table == prefix.removesuffix("/"):
            self._tables.add(table)
        return True

    # -- the way through all folders -------------------------------------------

    def _mark_more(self, most: int) -> None:
        for _ in range(most):
            if next(self._walk, "ended") == "ended":
                if not self._waiting:
                    return
                self._walk = self._steps()

    def _steps(self) -> Iterator[None]:
        """Mark the waiting folders and the folders below them, one entry at a step."""
        while self._waiting:
            prefix, table, is_marked = self._waiting.popleft()
            # Race: what appears between listing and marking would be missed, so a folder is marked first.
            if not is_marked and not self._mark(prefix, table):
                continue
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
                        self._waiting.append(_Waiting(f"{prefix}{entry.name}/", table or f"{prefix}{entry.name}"))
                    elif not holds_python(entry.path) and not is_foreign(entry):
                        self._waiting.append(_Waiting(f"{prefix}{entry.name}/", ""))


def _above(prefix: str) -> str:
    """Return the name of the folder that a folder lies in."""
    above = prefix.removesuffix("/").rpartition("/")[0]
    return f"{above}/" if above else ""


def _is_anothers(path: str) -> bool:
    try:
        return os.lstat(path).st_uid != os.geteuid()
    except OSError:
        return True


def _is_one_product(path: str) -> bool:
    return path.endswith(".flagversions") or is_table(Path(path))
