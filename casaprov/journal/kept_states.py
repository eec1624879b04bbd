"""States that are kept beside the journal, because no task can make them again.

A tool, a function or a program leaves a state, and a task then changes it: a replay can only go on from a copy. The copy
lies in ``kept/<64 hex digits>`` under the digest of its content: a file, or the folder of a table. It is a clone where
the file system can make one.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from casaprov.files.copying import Copier
from casaprov.files.stamps import stamp
from casaprov.hashing import Digest
from casaprov.records.model import Entity

__all__ = ["KeptStates", "kept_state"]

_log = logging.getLogger(__name__)

_MOST_LIMITS = 10
"""Copies of a notebook together may take so many times the size of the largest one."""


class _NotKept(Exception):
    """A state cannot be kept; the text says why."""


def kept_state(folder: Path, digest: Digest | None) -> Path | None:
    """Return the kept file or table with a content in a journal folder; None if there is none."""
    if digest is None:
        return None
    path = _place(folder, digest)
    return path if path.exists() else None


class KeptStates:
    """Keeps states in a journal folder; safe for threads.

    Parameters
    ----------
    folder
        The journal folder.
    limit_bytes
        Returns the size of the largest state that is copied; clones have no limit. With 0 nothing is kept.
    """

    def __init__(self, folder: Path, limit_bytes: Callable[[], int]) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._copier = Copier(lambda _notice: None)
        self._lock = threading.Lock()

    def keep(self, path: Path, state: Entity) -> bool:
        """Keep the files at `path`, which have the content of `state`; return True if they are kept now."""
        try:
            with self._lock:
                return self._keep(path, state)
        except (OSError, _NotKept) as error:
            _log.info("%s is not kept: %s", path, error)
            return False

    def _keep(self, path: Path, state: Entity) -> bool:
        limit = self._limit_bytes()
        if state.content_digest is None or not limit:
            return False
        place = _place(self._folder, state.content_digest)
        if place.exists():
            os.utime(place)  # the last use, by which the oldest ones are dropped
            return True
        place.parent.mkdir(parents=True, exist_ok=True)
        before = stamp(path)
        clones = self._copier.clones_into(path if path.is_dir() else path.parent, place.parent)
        if not clones:
            if before.size_bytes > limit:
                raise _NotKept(f"it has {before.size_bytes} bytes, and keep_up_to is {limit}")
            _make_room(place.parent, _MOST_LIMITS * limit - before.size_bytes)
        part = place.with_name(f"{place.name}.{os.getpid()}.part")
        try:
            self._copy(path, part)
            if stamp(path) != before:
                raise _NotKept("it changed while it was copied")
            part.rename(place)
        finally:
            _remove(part)
        return True

    def _copy(self, source: Path, target: Path) -> None:
        facts = source.lstat()
        if stat.S_ISDIR(facts.st_mode):
            target.mkdir()
            for member in source.iterdir():
                self._copy(member, target / member.name)
        elif stat.S_ISREG(facts.st_mode):
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                self._copier.copy(descriptor, target, 0o600)
            finally:
                os.close(descriptor)
        else:
            raise _NotKept(f"{source} is a link or no file, which a crate cannot hold")


def _place(folder: Path, digest: Digest) -> Path:
    return folder / "kept" / digest.removeprefix("sha256:")


def _make_room(folder: Path, limit_bytes: int) -> None:
    """Remove the states that were used longest ago until the others fit into a limit."""
    found = sorted(((stamp(path).size_bytes, path) for path in folder.iterdir()), key=lambda f: f[1].stat().st_mtime)
    total = sum(size for size, _ in found)
    for size, path in found:
        if total <= limit_bytes:
            return
        _remove(path)
        total -= size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
