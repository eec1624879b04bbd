"""The context of every handler: settings, tables, storage, identity, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from casaprov.archive.deposits import Person
from casaprov.archive.settings import Settings
from casaprov.archive.storage import Storage
from casaprov.archive.tables.repository import Repository

__all__ = ["Archive", "Identity"]


class Identity(Protocol):
    """Finds the person that a token stands for."""

    async def person(self, token: str) -> Person | None:
        """Return the person, or None for a token that is not valid."""


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="archive")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive that is being served.

    Attributes
    ----------
    threads
        For the database, files and digests: the event loop itself never waits for a disk.
    """

    settings: Settings
    repository: Repository
    storage: Storage
    identity: Identity
    threads: ThreadPoolExecutor = field(default_factory=_threads)
