"""Journal folder of a notebook or script, and the places of the files in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

from casaprov.errors import JournalError
from casaprov.hashing import Digest
from casaprov.records.model import Document

__all__ = [
    "folder_of_notebook",
    "is_journal_folder",
    "journal_folder",
    "journals",
    "place_of_record",
    "present_folders",
    "script_path",
    "session_id",
    "store_bytes",
    "store_text",
    "store_tree",
    "tree_path",
    "trees_folder",
]

_SMALL_T = re.compile(r"(?<=\A\d{8})t(?=\d{6}-)")  # of a time


def journal_folder(notebook: Path) -> Path:
    """Folder of the journals of a notebook or script; ``x.ipynb`` and ``x.py`` have folders of their own."""
    return notebook.parent / ".casaprov" / (notebook.name if notebook.suffix == ".py" else notebook.stem)


def place_of_record(path: Path) -> Path:
    """Return the path of a notebook or script in the folder that holds its record.

    That of a script lies in the folder where it ran: this one, or that of the script.
    """
    here = Path.cwd() / path.name
    return here if path.suffix == ".py" and journals(journal_folder(here)) else path


def folder_of_notebook(folder: Path) -> Path:
    """Folder that holds the ``.casaprov`` of a journal folder, with links followed."""
    return folder.resolve().parent.parent


def is_journal_folder(path: Path) -> bool:
    """Return True for a path such as ``.casaprov/x``, whether it is there or not."""
    return path.absolute().parent.name == ".casaprov"


def journals(folder: Path) -> tuple[Path, ...]:
    """Journals in a journal folder, by name.

    A file without a whole line is none: its session found no space to record anything.
    """
    return tuple(path for path in sorted(folder.glob("*.jsonl")) if _has_line(path))


def session_id(journal: Path) -> str:
    """Return the id of the session of a journal; some disks list its name in small letters."""
    return _SMALL_T.sub("T", journal.stem)


def _has_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.readline().endswith(b"\n")
    except OSError:
        return True  # its reader reports why it cannot be read


def trees_folder(folder: Path) -> Path:
    """Folder of the digest trees in a journal folder."""
    return folder / "trees"


def tree_path(folder: Path, digest: Digest) -> Path:
    """File of the digest tree of a content in a journal folder."""
    return trees_folder(folder) / f"{digest.removeprefix('sha256:')}.json"


def script_path(folder: Path, digest: Digest) -> Path:
    """File with the text of a Python file that made calls, in a journal folder."""
    return folder / "scripts" / f"{digest.removeprefix('sha256:')}.py"


def store_tree(folder: Path, digest: Digest, tree: dict[str, Any]) -> None:
    """Store the digest tree of a content in a journal folder, once.

    Raises
    ------
    JournalError
        If it cannot be written.
    """
    path = tree_path(folder, digest)
    if not path.exists():
        store_text(path, json.dumps(tree, sort_keys=True, separators=(",", ":")))


def store_text(path: Path, text: str) -> None:
    """Store a text file as a whole; raise :class:`JournalError` if it cannot be written."""
    store_bytes(path, text.encode("utf-8", "replace"))


def store_bytes(path: Path, data: bytes) -> None:
    """Store a file as a whole; raise :class:`JournalError` if it cannot be written."""
    # The name appears when the content is complete, so that no reader sees half a file. Process and thread are part
    # of the temporary name, because two threads may store the same tree.
    part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # its folder may be none
            part.unlink(missing_ok=True)
        raise JournalError(f"{path} cannot be written: {error.strerror or error}.") from error


def present_folders(folder: Path, document: Document) -> dict[str, Path]:
    """Return where the folder of each session of a Document is now, by session id.

    A folder that was moved or copied together with the journal is found at its new place. A folder that is not there
    is returned as it was recorded.

    Parameters
    ----------
    folder
        The journal folder that `document` was read from.
    """
    found = {}
    for session in document.sessions:
        present = folder_of_notebook(folder) / _recorded_place(folder / f"{session.id}.jsonl")
        found[session.id] = present if present.is_dir() else Path(session.folder)
    return found


def _recorded_place(path: Path) -> str:
    """Place of the session's folder, seen from the notebook's; the same folder in journals that do not name it."""
    with path.open("rb") as file:
        for text in file:
            try:
                line = json.loads(text)
                if line["type"] == "session":
                    return str(line.get("place", "."))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
    return "."
