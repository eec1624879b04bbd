"""What notebooks beside this one recorded: where something comes from that no call of this one left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from casaprov.digest import Digest
from casaprov.errors import JournalError
from casaprov.journal_reader import read_session

__all__ = ["OtherNotebooks"]


class OtherNotebooks:
    """The journals of other notebooks in the same folder.

    Parameters
    ----------
    folder
        Journal folder of this notebook.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self, digest: Digest | None) -> str:
        """Say which call of another notebook left a content, the last one; nothing if none did."""
        for path in self._journals_with(digest) if digest else ():
            with contextlib.suppress(JournalError):  # whoever opens that notebook is told
                record = read_session(path, whole_lines=True)
                made = {e.generated_by for e in record.entities if e.content_digest == digest}
                for activity in reversed(record.activities):
                    if activity.id in made:
                        number = activity.id.rpartition("/")[2]
                        return f"Call {number} ({activity.task}) of {record.session.notebook} left it."
        return ""

    def _journals_with(self, digest: Digest) -> Iterator[Path]:
        """Yield the journals that name a content, the youngest first: few of them have to be understood."""
        found = [path for path in self._folder.parent.glob("*/*.jsonl") if path.parent != self._folder]
        for path in sorted(found, key=lambda path: path.name, reverse=True):
            with contextlib.suppress(OSError):
                if digest.encode() in path.read_bytes():
                    yield path
