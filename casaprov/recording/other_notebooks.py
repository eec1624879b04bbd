"""What notebooks beside this one recorded, and other kernels of this one: where something comes from that no call here left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from casaprov.hashing import Digest
from casaprov.records.wording import clock

__all__ = ["OtherNotebooks"]


class OtherNotebooks:
    """The journals of other notebooks in the same folder, and of other sessions of this one.

    Parameters
    ----------
    folder
        Journal folder of this notebook.
    session
        Id of the session that asks.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self._folder = folder
        self._session = session

    def describe(self, digest: Digest | None, name: str) -> str:
        """Say which call of another session left a content in something of this name, the last one; nothing if none did.

        A copy under another name is told as that; empty files are alike and tell nothing.
        """
        told = ""
        if digest is None:
            return told
        for is_own, data in self._journals_with(digest):
            with suppress(KeyError, TypeError, AttributeError):  # whoever opens that notebook is told
                for path, text in _left(data, digest, "another session of this notebook" if is_own else ""):
                    if Path(path).name == name:
                        return f"{text} left it."
                    told = told or f"{text} left the same content at {path}."
        return told

    def _journals_with(self, digest: Digest) -> Iterator[tuple[bool, bytes]]:
        """Yield the journals that name a content, the youngest first, and whether they are this notebook's.

        Few of them have to be understood. Those of this notebook lie in the folder of a former name as well.
        """
        with suppress(OSError):
            found = {path.name: path for path in self._folder.parent.glob("*/*.jsonl")}
            found |= {path.name: path for path in self._folder.glob("*.jsonl")}
            found.pop(f"{self._session}.jsonl", None)
            for _, path in sorted(found.items(), reverse=True):
                with suppress(OSError):
                    if digest.encode() in (data := path.read_bytes()):
                        yield path.parent == self._folder, data


def _left(data: bytes, digest: Digest, notebook: str) -> list[tuple[str, str]]:
    """Paths at which calls of a journal left a content, the last first, and which calls those were."""
    lines = data.splitlines()
    named = [_parsed(line) for line in lines if digest.encode() in line]
    notebook = notebook or _parsed(lines[0]).get("session", {}).get("notebook") or "another notebook"
    calls = {line["activity"]["id"]: line["activity"] for line in named if "activity" in line}
    states = [state for line in named for state in line.get("entities", ()) if state.get("content_digest") == digest]
    return [
        (state["path"], f"{call['task']} of {notebook}, which began at {clock(call['started_at'])},")
        for state in reversed(states)
        if (call := calls.get(state.get("generated_by"))) and state["size_bytes"]
    ]


def _parsed(line: bytes) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}
