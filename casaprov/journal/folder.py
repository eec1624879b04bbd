"""The folder of the journals of a notebook, and what lies in it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from casaprov.errors import JournalError
from casaprov.hashing import Digest
from casaprov.records.model import Document

__all__ = ["journal_folder", "journals", "present_folders", "store_tree", "tree_path"]


def journal_folder(notebook: Path) -> Path:
    """Folder of the journals of a notebook."""
    return notebook.parent / ".casaprov" / notebook.stem


def tree_path(folder: Path, digest: Digest) -> Path:
    """Where the digest tree of a content lies below a journal folder."""
    return folder / "trees" / f"{digest.removeprefix('sha256:')}.json"


def store_tree(folder: Path, digest: Digest, tree: dict[str, Any]) -> None:
    """Store the digest tree of a content below a journal folder, once.

    Raises
    ------
    JournalError
        If it cannot be written.
    """
    path = tree_path(folder, digest)
    if not path.exists():
        _store(path, json.dumps(tree, sort_keys=True, separators=(",", ":")))


def _store(path: Path, text: str) -> None:
    # A reader never sees half a file: the name appears when the content is complete.
    # Two threads may store the same tree: each writes a file of its own.
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", errors="replace")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise JournalError(f"{path} cannot be written: {error.strerror or error}.") from error


def journals(folder: Path) -> tuple[Path, ...]:
    """Journals in a folder, by name; one without a whole line recorded nothing, for lack of space, and is none."""
    return tuple(path for path in sorted(folder.glob("*.jsonl")) if _has_line(path))


def _has_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.readline().endswith(b"\n")
    except OSError:
        return True  # whoever reads it says why it cannot be read


def _home(folder: Path) -> Path:
    """Return the folder that holds the ``.casaprov`` of a journal folder: that of the notebook."""
    return folder.resolve().parent.parent


def present_folders(folder: Path, document: Document) -> dict[str, Path]:
    """Return where the folders of a Document's sessions are now, by session id.

    A folder that was moved or copied together with the journal is found where
    it lies now; one that is not there is given as it was recorded.

    Parameters
    ----------
    folder
        The journal folder that `document` was read from.
    """
    found = {}
    for session in document.sessions:
        present = _home(folder) / _recorded_place(folder / f"{session.id}.jsonl")
        found[session.id] = present if present.is_dir() else Path(session.folder)
    return found


def _recorded_place(path: Path) -> str:
    """Place of the session's folder; that of the notebook in journals that do not say it."""
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
                if line["type"] == "session":
                    return str(line.get("place", "."))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
    return "."
