"""What is at each path now, as far as a session knows: one Entity for each state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement, facts_of
from casaprov.errors import CasaprovError
from casaprov.files.stamps import Stamps
from casaprov.processes.exempt import ExemptLock
from casaprov.records.model import Checksum, Entity, Locator, Session
from casaprov.records.wording import sentences

__all__ = ["Measured", "PathStates", "is_still"]

_LATER = "The session that left it ended before it was digested; its files have the names, sizes and times that they had then."
_TOUCHED = "Its files were written since they were read; only samples of them say that the content is what it was."

Measured = Measurement | CasaprovError
"""What measuring a path gave, or why it could not be measured."""


class PathStates:
    """The present Entity of every path that a session knows of; safe for threads.

    Parameters
    ----------
    known
        Entity of each path that earlier sessions left.
    locate
        Tells where else an external input can be found.
    describe
        Says what was changed by no call, from the state before, what is there
        now, and the ids of the last call that knew the one and the first that
        found the other.
    checksums
        Tells what an archive says of an external input that is not read as a whole.
    describe_new
        Says what is known of an external input.
    left_by
        Says which call that never ended may have left what is known of nobody; nothing if none.
    """

    def __init__(
        self,
        session: Session,
        known: Mapping[str, Entity],
        locate: Callable[[Path], tuple[Locator, ...]],
        describe: Callable[[Entity, Measurement, str, str], str],
        checksums: Callable[[Path], tuple[Checksum, ...]] = lambda _: (),
        describe_new: Callable[[Path, Measurement], str] = lambda _path, _measured: "",
        left_by: Callable[[Path], str] = lambda _path: "",
    ) -> None:
        self._session = session
        self._folder = Path(session.folder)
        self._current = dict(known)
        self._by_content = {e.content_digest: e for e in known.values() if e.content_digest}
        self._locate = locate
        self._describe = describe
        self._checksums = checksums
        self._describe_new = describe_new
        self._left_by = left_by
        self._seen = {key: entity.generated_by or "" for key, entity in known.items()}  # by which call, last
        self._lock = ExemptLock()
        self._count = 0

    def key(self, path: Path) -> str:
        """Return `path` as records write it: relative to the session's folder if below it."""
        below = path.is_relative_to(self._folder)
        return (path.relative_to(self._folder) if below else path).as_posix()

    def at(self, path: Path) -> Entity | None:
        """Return the last known state of a path."""
        return self._current.get(self.key(path))

    def found(self, path: Path, measured: Measured, stamps: Stamps, *, by: str, within: str | None = None) -> Entity:
        """Return the state that the call `by` finds at `path`.

        That is the last known one if its content is still there. Content that
        is known from another path was copied or moved from there. Any other
        change is a gap, and so is what a call that never ended may have left;
        else a path not known before is an external input.

        Parameters
        ----------
        stamps
            What it had when the call began.
        within
            Id of the call that made this one, if the change happened while it
            ran: then it is no gap, but that call's.
        """
        with self._lock:
            current = self.at(path)
            last = self._see(path, by)
            if isinstance(measured, CasaprovError):
                return current or self._new_remains(path, measured) or self._new(path, measured)
            if current is not None and is_still(current, measured):
                return current
            if current is not None and current.content_digest == measured.content_digest and within is None:
                return self._new(path, measured, revision_of=current.id, gap=True, note=_TOUCHED)
            if current is not None and current.is_undigested and stamps.digest == current.stamp:
                return self._new(path, measured, copy_of=current.id, note=_LATER)
            source = self._by_content.get(measured.content_digest)
            if source is not None and source is not current:
                return self._new(path, measured, copy_of=source.id)
            if within is not None:
                before = current.id if current is not None else None
                return self._new(path, measured, generated_by=within, revision_of=before)
            if current is not None:
                note = self._describe(current, measured, last, by)
                return self._new(path, measured, revision_of=current.id, gap=True, note=note)
            note = self._describe_new(path, measured)
            if not note and (remains := self._new_remains(path, measured)):
                return remains
            checksums = self._checksums(path) if measured.tier == "fast" else ()
            return self._new(path, measured, locators=self._locate(path), checksums=checksums, note=note)

    def _new_remains(self, path: Path, measured: Measured) -> Entity | None:
        """Return a gap if a call that never ended may have left what lies at a path that nothing is known of."""
        note = self._left_by(path)
        return self._new(path, measured, gap=True, note=note) if note else None

    def left(
        self,
        path: Path,
        measured: Measured,
        *,
        by: str,
        children: Collection[str],
        before: Entity | None,
        declared: bool,
    ) -> Entity | None:
        """Return the state that a call left at `path`, None if it did not change the content.

        Parameters
        ----------
        by
            Id of the call.
        children
            Ids of calls that it made; what one of them left is theirs.
        before
            The state that the call found there and may have changed in place.
        declared
            Whether the call says that it writes there. Else the same content
            as before was not made again, only touched.
        """
        with self._lock:
            self._see(path, by)
            if isinstance(measured, Measurement):
                if before is not None and is_still(before, measured):
                    return None
                current = self.at(path)
                if current is not None and is_still(current, measured):
                    if current.generated_by == by or current.generated_by in children:
                        return current
                    if not declared:
                        return None
            return self._new(path, measured, generated_by=by, revision_of=before.id if before else None)

    def copied(self, path: Path, measured: Measured, *, by: str, results: Container[str]) -> Entity | None:
        """Return the state of something that a task wrote in and is not said to write, if it is a copy; else None.

        CASA writes in tables that it only reads: who copies an image and makes it again sees the copy written as well. And
        a table that has two names, by links, is changed under both.

        Parameters
        ----------
        by
            Id of the call.
        results
            Ids of the states that it is known to have left elsewhere.
        """
        with self._lock:
            if not isinstance(measured, Measurement):
                return None
            current, source = self.at(path), self._by_content.get(measured.content_digest)
            if source is None or source.path == self.key(path) or (current is not None and is_still(current, measured)):
                return None
            # What has a past is a copy of what the call says it left; what has none, of anything that was there before as well.
            if source.id not in results and (current is not None or source.generated_by == by):
                return None
            return self._new(path, measured, copy_of=source.id)

    def _see(self, path: Path, by: str) -> str:
        """Note that a call knew a path; return which one did before. Records are not finished in the order of beginnings."""
        last = self._seen.get(self.key(path), "")
        self._seen[self.key(path)] = max(last, by, key=lambda call: (len(call), call))
        return last

    def gone(self, path: Path) -> None:
        """Note that nothing is at `path` any more."""
        with self._lock:
            self._current.pop(self.key(path), None)

    def _new(self, path: Path, measured: Measured, **facts: Any) -> Entity:
        if isinstance(measured, Measurement):
            facts |= facts_of(measured)
        else:
            note = sentences(measured.message, facts.get("note", ""))
            facts |= {"kind": "File", "content_digest": None, "size_bytes": 0, "note": note}
        self._count += 1
        entity = Entity(id=f"{self._session.id}/e{self._count:04d}", path=self.key(path), **facts)
        self._current[entity.path] = entity
        if entity.content_digest and entity.copy_of is None:
            self._by_content[entity.content_digest] = entity
        return entity


def is_still(known: Entity, measured: Measurement) -> bool:
    """Tell whether a state is there as it was.

    Files of which only samples are known (they have a stamp) may not have been written either: samples may miss what was changed.
    """
    return (known.content_digest, known.stamp) == (measured.content_digest, measured.stamp)
