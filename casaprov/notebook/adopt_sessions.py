"""Adoption of the sessions of a renamed or copied notebook into its own journal folder.

The journal of a notebook lies in a folder named after it. When the name changes, or was not known to the kernel, the
sessions that the notebook shows are in the folder of another name; they are copied from there. A script shows nothing:
its sessions are those that ran the same text, if its own name has none.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from casaprov.errors import JournalError
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.folder import journal_folder, journals, script_path, tree_path
from casaprov.journal.kept_states import kept_state
from casaprov.journal.reader import read_session
from casaprov.notebook.index import indexed_sessions, recorded_sessions
from casaprov.notebook.journals import find_session
from casaprov.records.model import Entity
from casaprov.scripts.cells import is_script

__all__ = ["adopt_session", "adopt_sessions", "shown_sessions"]

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
    """Bring the sessions that `notebook` shows, and those that they build on, into its own journal folder.

    They come from other folders beside it. A session that still grows there is followed: its journal has a second name
    here, or is copied again where the file system has no hard links. A session that cannot be brought stays where it
    is, which is logged.
    """
    _adopt_all(notebook, _sessions_of_text(notebook) if is_script(notebook.name) else shown_sessions(notebook))


def _sessions_of_text(script: Path) -> frozenset[str]:
    """Return the sessions of a renamed script: those that ran its text under another name."""
    own = journal_folder(script)
    if journals(own) or not script.is_file():
        return frozenset()
    digest, found = digest_bytes(script.read_bytes()), set()
    for journal in sorted(own.parent.glob("*.py/*.jsonl")):
        with suppress(JournalError):
            session = read_session(journal).session
            if session.script is not None and session.script.digest == digest:
                found.add(session.id)
    return frozenset(found)


def adopt_session(notebook: Path, session: str) -> None:
    """Bring one session into the journal folder of its notebook, which need not show it yet."""
    _adopt_all(notebook, frozenset({session}))


def _adopt_all(notebook: Path, wanted: frozenset[str]) -> None:
    own = journal_folder(notebook)
    seen: set[str] = set()
    while wanted := wanted - seen:
        seen |= wanted
        wanted = frozenset().union(*(_adopt(session, notebook, own) for session in sorted(wanted)))


def _adopt(session: str, notebook: Path, own: Path) -> frozenset[str]:
    """Bring a session to `own` if it lies elsewhere, too; return the sessions that it builds on."""
    found = find_session(notebook, session, elsewhere=True)
    if found is None:
        return frozenset()
    try:
        record = read_session(found)
        entities = record.entities
        texts = {line.digest for a in record.activities if a.step is not None for line in a.step.scripts}
        _bring_session(found, entities, texts, own)
    except (OSError, JournalError) as error:
        _log.info("The record of %s stays in %s: %s", notebook, found.parent, error)
        return frozenset()
    return frozenset(entity.session for entity in entities)


def _bring_session(journal: Path, entities: Iterable[Entity], texts: Iterable[Digest], own: Path) -> None:
    digests = {entity.content_digest for entity in entities if entity.content_digest is not None}
    trees = (tree_path(journal.parent, digest) for digest in digests)
    logs = (journal.parent / journal.stem).rglob("*")
    kept = [found for digest in digests if (found := kept_state(journal.parent, digest)) is not None]
    states = (path for found in kept for path in (found, *found.rglob("*")))
    scripts = (script_path(journal.parent, digest) for digest in texts)
    _share((path for path in (*trees, *logs, *states, *scripts) if path.is_file()), journal.parent, own)
    present, part = own / journal.name, own / f"{journal.name}.{os.getpid()}.part"
    try:  # last, so that the files it names are there
        if not (present.exists() and present.samefile(journal)):
            _link_or_copy(journal, part)
            part.replace(present)
    finally:
        part.unlink(missing_ok=True)


def _share(files: Iterable[Path], source: Path, target: Path) -> None:
    """Link or copy `files` from below `source` to below `target`; they are written once and never changed."""
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        there = target / path.relative_to(source)
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(path, there)


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, target)
