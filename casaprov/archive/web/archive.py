"""The context of every handler: settings, tables, storage, spool, identity, threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from casaprov.archive.deposits import Deposit, Person
from casaprov.archive.settings import Settings
from casaprov.archive.spool import Spool
from casaprov.archive.storage import Storage
from casaprov.archive.tables.repository import Repository
from casaprov.archive.tables.uploads import Uploads

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
    receipt
        Makes the receipt of a deposit, which may wait for a disk.
    threads
        For the database, files and digests: the event loop itself never waits for a disk.
    """

    settings: Settings
    repository: Repository
    uploads: Uploads
    storage: Storage
    spool: Spool
    identity: Identity
    receipt: Callable[[Deposit], dict[str, Any]]
    threads: ThreadPoolExecutor = field(default_factory=_threads)
