"""The git repository around a notebook: its user, and the commit that holds the notebook."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["commit_of", "content_address", "git_user", "public_address"]

_TIMEOUT_S = 10


def git_user(folder: Path) -> list[str]:
    """Return ``user.name`` of git as a list of one; an empty list without git, or without a name."""
    name = _git(folder, "config", "user.name").decode(errors="replace").strip()
    return [name] if name and name.isprintable() else []


def commit_of(notebook: Path, commits: Iterable[str]) -> str:
    """Return the first commit in which this notebook is the same but for its outputs; empty if there is none.

    Parameters
    ----------
    commits
        Commits to look into; after them, the present one.
    """
    folder, here = notebook.resolve().parent, _cells(notebook.read_bytes())
    if here is None:
        return ""
    head = _git(folder, "rev-parse", "HEAD").decode(errors="replace").strip()
    for commit in filter(None, (*commits, head)):
        if _cells(_git(folder, "show", f"{commit}:./{notebook.name}")) == here:
            return commit
    return ""


def public_address(remote: str) -> str:
    """Return the address of a repository if anybody can open it (``https``, ``http``); empty otherwise."""
    return remote if urlsplit(remote).scheme in ("http", "https") else ""


def content_address(content: bytes) -> str:
    """Return the address by which Software Heritage names a file of this content, even without a copy of it.

    Such an identifier follows from the bytes alone (ISO/IEC 18670, SWHID 1.2).
    """
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return f"https://archive.softwareheritage.org/swh:1:cnt:{blob.hexdigest()}"


def _git(folder: Path, *arguments: str) -> bytes:
    """Return the output of git; nothing if it is not installed, or fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout


def _cells(text: bytes) -> list[tuple[Any, str]] | None:
    """Return type and source of each cell of a notebook; None if it is none."""
    try:
        cells = json.loads(text)["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return None
