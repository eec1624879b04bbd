"""The seam between the worker that publishes and the places where something is published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from casaprov.archive.deposits import Deposit

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Publication"]


class Publication(Protocol):
    """One place where crates are published: git, DaCHS, Gitea, DataCite.

    Every method may be called again for the same deposit, after a crash, and must then do nothing twice.
    """

    def prepare(self, deposit: Deposit, content: Path) -> None:
        """Prepare the publishing transaction, for example by a commit; an error delays the publication.

        Parameters
        ----------
        content
            The kept file: the zip of a crate, or a bare notebook; read-only.
        """

    def record(self, connection: Connection, deposit: Deposit) -> None:
        """Write rows in the publishing transaction."""

    def withdraw(self, deposit: Deposit) -> None:
        """Remove the deposit from where readers find it; the tombstone stays."""
