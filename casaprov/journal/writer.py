"""Writer of a journal: the record of one session, line by line, safe against crashes.

Beside a notebook ``NB.ipynb`` lies the folder ``.casaprov/NB/``::

    <session>.jsonl             one JSON object per line, appended, never changed
    <session>/logs/0007-gaincal.log
    trees/<64 hex digits>.json  digest tree of the content with this digest
    kept/<64 hex digits>        copy of a state with this digest (:mod:`casaprov.journal.kept_states`)

A line is written with one ``write`` to a file opened for appending: a killed
kernel leaves at most one torn last line, and a line that finds no space leaves
the lines before it intact. A call with a ``begin`` line and no ``end`` line was
running when the kernel ended. A call whose files are digested while other code
runs has two ``end`` lines; the second one contains the digests.

Each line is on the disk a moment after it was written: a thread of the journal has the system write it out
(``fsync``), so that a call does not wait for the disk. A power cut costs the lines of the last moment, and of logs and
trees those that the system had not written out by itself.

Records name files relative to the session's folder. The session line contains
the place of that folder as seen from the folder that holds ``.casaprov``, so
that a record can be moved and copied together with its files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from casaprov.errors import JournalError
from casaprov.hashing import Digest
from casaprov.journal.folder import folder_of_notebook, store_text, store_tree, tree_path
from casaprov.processes.exempt import THREAD_PREFIX
from casaprov.records.model import Activity, Entity, Session
from casaprov.records.serialise import unstructure

__all__ = ["JOURNAL_FORMAT", "Journal"]

JOURNAL_FORMAT = "casaprov/journal/1"


class Journal:
    """Writer of one session's journal; it creates nothing before the first line.

    Raises
    ------
    JournalError
        From every method, if the folder or file cannot be written.
    """

    def __init__(self, folder: Path, session: Session) -> None:
        self.folder = folder
        self.session = session
        self._started = False
        # A descriptor of the journal, so that its lines can be read after somebody removed its name.
        self._kept: int | None = None
        self._close_kept: Callable[[], object] = lambda: None
        self._disk = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_PREFIX}-disk")
        self._waits_for_disk = False
        self._unwritten: list[dict[str, Any]] = []  # lines that found no space or permission yet, in order

    @property
    def path(self) -> Path:
        """File of the lines."""
        return self.folder / f"{self.session.id}.jsonl"

    def begin(self, activity: Activity, entities: Iterable[Entity] = ()) -> None:
        """Write that a call begins, with the Entities that its record names so far."""
        self._write({"type": "begin", "activity": unstructure(activity), "entities": unstructure(tuple(entities))})

    def end(self, activity: Activity, entities: Iterable[Entity] = ()) -> None:
        """Write the end of a call; `activity` replaces that of earlier lines."""
        self._write({"type": "end", "activity": unstructure(activity), "entities": unstructure(tuple(entities))})

    def close(self, ended_at: str) -> None:
        """Write that the session ended as it should."""
        if self._started:
            self._write({"type": "close", "session": self.session.id, "ended_at": ended_at})
            try:
                self._disk.submit(lambda: None).result()  # all lines are on the disk then
            except RuntimeError:  # Python ends, and no thread begins any more
                self._to_disk(with_folder=False)

    def write_log(self, name: str, text: str) -> str:
        """Store a log segment; return its path relative to the journal folder."""
        self._check_home()
        relative = f"{self.session.id}/logs/{name}.log"
        store_text(self.folder / relative, text)
        return relative

    def write_tree(self, digest: Digest, tree: dict[str, Any]) -> None:
        """Store the digest tree of a content, once."""
        self._check_home()
        store_tree(self.folder, digest, tree)

    def read_tree(self, digest: Digest | None) -> dict[str, Any] | None:
        """Return the digest tree of a content; None if it was not kept or cannot be read."""
        if digest is None:
            return None
        try:
            tree: dict[str, Any] = json.loads(tree_path(self.folder, digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return tree

    def _write(self, line: dict[str, Any]) -> None:
        if not self._started:
            session = {"type": "session", "format": JOURNAL_FORMAT, "session": unstructure(self.session)}
            self._unwritten.append({**session, "place": self._place()})
            self._started = True
        self._unwritten.append(line)
        while self._unwritten:
            self._append(self._unwritten[0])
            del self._unwritten[0]

    def _check_home(self) -> None:
        """Refuse to write into a folder that the notebook has left: nobody would look for the record there."""
        home = self.folder.parent.parent
        if self._kept is not None and not home.is_dir():
            raise JournalError(
                f"The folder {home} was moved or removed while its notebook was recorded.",
                hint="Nothing is recorded until it is back. Or restart the kernel where the notebook is now.",
            )

    def _keep(self) -> None:
        """Keep the journal open from now on, so that no line is lost if somebody removes it."""
        self._close_kept()
        self._kept = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._close_kept = weakref.finalize(self, os.close, self._kept)

    def _place(self) -> str:
        """Place of the session's folder, seen from the folder that holds ``.casaprov``."""
        place = os.path.relpath(Path(self.session.folder).resolve(), folder_of_notebook(self.folder))
        return Path(place).as_posix()

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        self._check_home()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b", buffering=0) as file:
                is_new = not file.seek(0, os.SEEK_END)
                if is_new and self._kept is not None:  # somebody removed it: write all its lines again
                    data = os.pread(self._kept, os.fstat(self._kept).st_size, 0) + data
                _append_whole(file, data)
                if is_new:
                    self._keep()
            self._write_out(with_folder=is_new)
        except OSError as error:
            with contextlib.suppress(OSError):
                if not self.path.stat().st_size:
                    self.path.unlink()
            raise JournalError(
                f"The journal {self.path} cannot be written: {error.strerror or error}.",
                hint="Its lines are written as soon as there is space and permission. They are lost if the session ends before.",
            ) from error

    def _write_out(self, *, with_folder: bool) -> None:
        """Have the lines so far written to the disk, in another thread; a request that still waits will do for these."""
        if self._waits_for_disk and not with_folder:
            return
        self._waits_for_disk = True
        with contextlib.suppress(RuntimeError):  # as in close()
            self._disk.submit(self._to_disk, with_folder=with_folder)

    def _to_disk(self, *, with_folder: bool) -> None:
        self._waits_for_disk = False  # before: a line from now on asks again
        with contextlib.suppress(OSError):  # a file system without it
            if self._kept is not None:
                os.fsync(self._kept)
            if with_folder:
                folder = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(folder)  # the name of the journal
                finally:
                    os.close(folder)


def _append_whole(file: BinaryIO, data: bytes) -> None:
    """Append a line to an unbuffered file, or leave the file as it was."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":  # end a torn line first, so that only that one is damaged
            data = b"\n" + data
    try:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a full disk cuts a write short without an error
    except OSError:
        file.truncate(size)
        raise
