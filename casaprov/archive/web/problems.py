"""Errors over HTTP: ``application/problem+json`` (RFC 9457), from one table."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from casaprov.archive.identity.issuer import IssuerUnavailable
from casaprov.archive.spool import SpoolFull
from casaprov.archive.tables.repository import NotOwner, QuotaExceeded, UnknownCrate, WrongState
from casaprov.errors import CasaprovError

__all__ = ["STATUS", "Problem", "problem_of"]

STATUS: tuple[tuple[type[CasaprovError], int], ...] = (
    (WrongState, 409),
    (QuotaExceeded, 429),
    (UnknownCrate, 422),
    (NotOwner, 403),
    (IssuerUnavailable, 503),
    (SpoolFull, 507),
)
"""HTTP status by class of exception; others are faults of the server, whose text is not shown."""


class Problem(Exception):
    """An answer about a fault of a request.

    Parameters
    ----------
    detail
        Sentences for the client; never a path of the server.
    field
        Field of the form that is wrong, for 422.
    """

    def __init__(
        self, status: int, detail: str, *, field: str = "", headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.more = {**more, "field": field} if field else more

    def body(self) -> dict[str, Any]:
        """Return the members of the problem."""
        try:
            title = HTTPStatus(self.status).phrase
        except ValueError:  # tus has one of its own
            title = "Checksum Mismatch" if self.status == 460 else "Error"
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **self.more}


def problem_of(error: CasaprovError) -> Problem:
    """Return the answer for a failure of the archive's own."""
    for kind, status in STATUS:
        if isinstance(error, kind):
            field = "new_version_of" if kind in (UnknownCrate, NotOwner) else ""
            return Problem(status, str(error), field=field)
    return Problem(500, "The archive could not do this. Its operator finds the reason in the log.")
