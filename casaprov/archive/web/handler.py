"""Base of all handlers: identity, threads, headers, errors as problem+json."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, RequestHandler

from casaprov.archive.deposits import Deposit, Person, may_change, may_see
from casaprov.archive.web.archive import Archive
from casaprov.archive.web.problems import Problem, problem_of
from casaprov.errors import CasaprovError

__all__ = ["ArchiveHandler", "Unknown"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class ArchiveHandler(RequestHandler):
    """A handler that knows its archive; ``initialize(archive)`` is called by tornado."""

    archive: Archive

    def initialize(self, archive: Archive) -> None:
        """Take the archive from the route."""
        self.archive = archive

    def set_default_headers(self) -> None:
        """Forbid browsers everything; a page that needs more says so itself."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.clear_header("Server")

    async def in_thread(self, act: Callable[..., T], *arguments: Any) -> T:
        """Call a function that waits for a disk or the database, beside the event loop."""
        return await IOLoop.current().run_in_executor(self.archive.threads, act, *arguments)

    # Identity

    def token(self) -> str:
        """Return the bearer token of the request; empty if it has none."""
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() in ("bearer", "token") else ""

    async def reader(self) -> Person | None:
        """Return the person of the request, or None for a reader without a token.

        Raises
        ------
        Problem
            401 for a token that is not valid.
        """
        token = self.token()
        return await self.person_of(token) if token else None

    async def person(self) -> Person:
        """Return the person of the request; 401 if there is none."""
        return await self.person_of(self.token())

    async def person_of(self, token: str) -> Person:
        """Return the person of a token; 401 if it stands for none."""
        person = await self.archive.identity.person(token) if token else None
        if person is None:
            error = ', error="invalid_token"' if token else ""
            headers = {"WWW-Authenticate": f'Bearer realm="casaprov archive"{error}'}
            detail = "This token is not valid here, or no longer." if token else "A token is needed."
            raise Problem(401, f"{detail} Log in again and repeat the request.", headers=headers)
        return person

    # Deposits

    async def visible_deposit(self, deposit_id: str) -> Deposit:
        """Return a deposit that the person of the request may see; 404 for all others, as if it were not there."""
        person = await self.reader()
        deposit = await self.in_thread(self.archive.repository.by_id, deposit_id)
        if deposit is None or not may_see(deposit, person):
            raise Problem(404, "There is no such deposit.")
        return deposit

    async def own_deposit(self, deposit_id: str) -> tuple[Deposit, Person]:
        """Return a deposit that the person of the request may change; 404 or 403 otherwise."""
        person = await self.person()
        deposit = await self.in_thread(self.archive.repository.by_id, deposit_id)
        if deposit is None or not may_see(deposit, person):
            raise Problem(404, "There is no such deposit.")
        if not may_change(deposit, person):
            raise Problem(403, "Only the owner of a deposit and curators may do this.")
        return deposit, person

    # Answers

    def write_json(self, value: Any, status: int = 200, content_type: str = "application/json") -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        _ = self.finish(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a problem; nothing of the server's inside is shown."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, Problem):
            problem = error
        elif isinstance(error, CasaprovError):
            problem = problem_of(error)
        elif status_code == 405:
            problem = Problem(405, "This address does not take this method.", headers={"Allow": self._allowed()})
        elif status_code == 404:
            problem = Problem(404, "There is nothing at this address.")
        elif status_code < 500:
            problem = Problem(status_code, "The request cannot be understood.")
        else:
            problem = Problem(status_code, "The archive could not do this. Its operator finds the reason in the log.")
        self.clear()
        self.set_status(problem.status)
        self.set_header("Content-Type", "application/problem+json")
        for name, value in problem.headers.items():
            self.set_header(name, value)
        _ = self.finish(json.dumps(problem.body(), ensure_ascii=False).encode())

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log faults of the server only; a client reads its own in the answer."""
        if isinstance(value, Problem | HTTPError) or (
            isinstance(value, CasaprovError) and problem_of(value).status < 500
        ):
            return
        _log.error("%s %s", self.request.method, self.request.path, exc_info=(typ, value, tb))

    def _allowed(self) -> str:
        """Return the methods that this handler implements."""
        mine = type(self)
        return ", ".join(
            m for m in mine.SUPPORTED_METHODS if getattr(mine, m.lower()) is not getattr(RequestHandler, m.lower())
        )


class Unknown(ArchiveHandler):
    """Every address that no route has."""

    async def prepare(self) -> None:
        """Answer 404 to every method."""
        raise Problem(404, "There is nothing at this address.")
