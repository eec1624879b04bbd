"""Adoption of the sessions of a renamed or copied notebook into its own journal folder.

The journal of a notebook lies in a folder named after it. When the name changes, or was not known to the kernel, the
sessions that the notebook shows are in the folder of another name; they are copied from there.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from casaprov.errors import JournalError
from casaprov.journal.folder import journal_folder, tree_path
from casaprov.journal.reader import read_session
from casaprov.notebook.index import indexed_sessions, recorded_sessions
from casaprov.notebook.journals import find_session
from casaprov.records.model import Entity

__all__ = ["adopt_sessions", "shown_sessions"]

_log = logging.getLogger(__name__)


def shown_sessions(notebook: Path) -> frozenset[str]:
    """Return the ids of the sessions in the outputs of a notebook file, else of those in its metadata.

    There are none if the file cannot be read.
    """
    try:
        content = json.loads(notebook.read_bytes())
    except (OSError, ValueError, RecursionError):
        return frozenset()
    if not isinstance(content, dict):
        return frozenset()
    return recorded_sessions(content) or indexed_sessions(content)


def adopt_sessions(notebook: Path) -> None:
    """Copy the sessions that `notebook` shows, and those that they build on, into its own journal folder.

    They come from other folders beside it. A session that still grows there is copied again. A session that cannot be
    copied stays where it is, which is logged.
    """
    own = journal_folder(notebook)
    seen: set[str] = set()
    wanted = shown_sessions(notebook)
    while wanted := wanted - seen:
        seen |= wanted
        wanted = frozenset().union(*(_adopt(session, notebook, own) for session in sorted(wanted)))


def _adopt(session: str, notebook: Path, own: Path) -> frozenset[str]:
    """Copy a session to `own` if it is not there; return the sessions that it builds on."""
    found = find_session(notebook, session)
    if found is None or found.parent == own:
        return frozenset()
    try:
        entities = read_session(found).entities
        _copy_session(found, entities, own)
    except (OSError, JournalError) as error:
        _log.info("The record of %s stays in %s: %s", notebook, found.parent, error)
        return frozenset()
    return frozenset(entity.session for entity in entities)


def _copy_session(journal: Path, entities: Iterable[Entity], own: Path) -> None:
    digests = {entity.content_digest for entity in entities if entity.content_digest is not None}
    trees = (tree_path(journal.parent, digest) for digest in digests)
    logs = (journal.parent / journal.stem).rglob("*")
    _share((path for path in (*trees, *logs) if path.is_file()), journal.parent, own)
    part = own / f"{journal.name}.{os.getpid()}.part"  # last, so that the files it names are there
    try:
        shutil.copyfile(journal, part)
        part.replace(own / journal.name)
    finally:
        part.unlink(missing_ok=True)


def _share(files: Iterable[Path], source: Path, target: Path) -> None:
    """Link or copy `files` from below `source` to below `target`; they are written once and never changed."""
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        there = target / path.relative_to(source)
        if there.exists():
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        try:
            there.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, there)
