"""Places that ``file`` locators may lead to.

A locator is a path on the machine where the input was recorded. In a crate from elsewhere it is any text that its
author chose, so it is followed only below folders that the user names, and to the paths that a journal of this user on
this machine names for the same session.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from casaprov.errors import JournalError
from casaprov.journal.reader import read_session
from casaprov.records.home_folder import expanded_account, expanded_home
from casaprov.records.model import Document, Session
from casaprov.replays.inputs import NotFollowed

__all__ = ["FileLocators"]

_SCHEME = "file"
_NEVER = tuple(map(Path, ("/proc", "/sys", "/dev", "/run")))
"""Folders of the kernel and of services: what lies there changes when it is read, or belongs to a running program."""


class FileLocators:
    """The rule which ``file`` locators of a crate are followed.

    Parameters
    ----------
    document
        The records of the crate.
    folders
        Folders that the user named.
    """

    def __init__(self, document: Document, folders: Iterable[Path]) -> None:
        self._folders = [place for folder in folders for place in (folder.absolute(), folder.resolve())]
        self._own = frozenset(value for session in document.sessions for value in _recorded_here(session))

    def resolve(self, value: str) -> Path | None:
        """Return the path that a locator names; None if nothing can be there.

        Raises
        ------
        NotFollowed
            If it may not be followed.
        """
        value = expanded_home(value)
        for found in (value, expanded_account(value)):
            path = Path(os.path.normpath(found))
            if not path.is_absolute() or "\0" in found:
                return None
            if any(path.is_relative_to(folder) or _leads_below(path, folder) for folder in _NEVER):
                raise NotFollowed(f"is not followed: it leads below one of {', '.join(map(str, _NEVER))}")
            if found in self._own or any(path.is_relative_to(folder) for folder in self._folders):
                return path
        raise NotFollowed("is not followed: you did not record this crate here, and named no folder that holds it")


def _leads_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)


def _recorded_here(session: Session) -> frozenset[str]:
    """Return the paths of inputs that this user's own journal of a session names; nothing if there is none."""
    recorded, name = expanded_home(session.folder), f"{session.id}.jsonl"
    found = {
        value: None for place in (recorded, expanded_account(recorded)) for value in _recorded_in(Path(place), name)
    }
    return frozenset(found)


def _recorded_in(folder: Path, name: str) -> frozenset[str]:
    if not folder.is_absolute() or "/" in name or any(folder.is_relative_to(never) for never in _NEVER):
        return frozenset()
    with suppress(OSError, ValueError, JournalError):
        for journal in (folder / ".casaprov").iterdir():
            if _is_own_file(journal / name):
                entities = read_session(journal / name).entities
                locators = (locator for entity in entities for locator in entity.locators)
                return frozenset(locator.value for locator in locators if locator.scheme == _SCHEME)
    return frozenset()


def _is_own_file(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
