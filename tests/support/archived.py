"""Deposits for tests, and an archive that takes them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import requests
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from casaprov.archive.app.composition import make_server, open_archive, open_parts
from casaprov.archive.deposits import Deposit, Kind, NewDeposit, Person, State
from casaprov.archive.settings import ReplaySettings, load_settings
from casaprov.archive.tables.jobs import Queue
from casaprov.archive.web.archive import Archive, Identity
from casaprov.archive.work.worker import Parts, Worker
from checkout import ROOT

__all__ = [
    "CRATE",
    "CURATOR",
    "OWNER",
    "STRANGER",
    "Served",
    "Tokens",
    "a_deposit",
    "a_new_deposit",
    "bearer",
    "served",
]

CRATE = ROOT / "tests" / "fixtures" / "ngc5921-0.1.0.crate.zip"

OWNER = Person(iss="https://id.example", sub="ada", name="Ada")
STRANGER = Person(iss="https://id.example", sub="eve", name="Eve")
CURATOR = Person(iss="https://id.example", sub="cur", name="Cur", curator=True)


def a_deposit(**fields: Any) -> Deposit:
    """Return a deposit as the tables would, with some fields set."""
    at = datetime(2026, 5, 1, tzinfo=UTC)
    deposit = Deposit(
        id="0123456789abcdef",
        kind=Kind.CRATE,
        state=State.RECEIVED,
        attempt=0,
        owner=OWNER,
        obs_id="N14C3",
        number=1,
        version=1,
        did="ivo://jive.eu/~?crate/N14C3-0001/v1",
        filename="ngc5921.crate.zip",
        sha256="sha256:" + "0" * 64,
        size_bytes=1000,
        description="",
        license="CC-BY-4.0",
        title="",
        creators=(),
        about={},
        issues=(),
        verdicts=(),
        doi="",
        reason="",
        received_at=at,
        modified_at=at,
        published_at=None,
        public_from=None,
        replay_due=None,
    )
    return replace(deposit, **fields)


def a_new_deposit(**fields: Any) -> NewDeposit:
    """Return a deposit that arrives, with content of its own."""
    new = NewDeposit(
        id=secrets.token_hex(8),
        kind=Kind.CRATE,
        owner=OWNER,
        obs_id="N14C3",
        filename="ngc5921.crate.zip",
        sha256="sha256:" + secrets.token_hex(32),
        size_bytes=1000,
        license="CC-BY-4.0",
    )
    return replace(new, **fields)


class Tokens:
    """Stands for an OpenID provider: each token is the name of a person."""

    PEOPLE: ClassVar = {"ada": OWNER, "eve": STRANGER, "cur": CURATOR}

    async def person(self, token: str) -> Person | None:
        """Return the person that a token stands for, or None."""
        return self.PEOPLE.get(token)


@dataclass(frozen=True)
class Served:
    """An archive that is served from a thread of this process; its workers work when they are asked to."""

    url: str
    archive: Archive
    parts: Parts

    def post(
        self, files: Any = None, *, token: str = "ada", path: str = "/api/deposits", **fields: str
    ) -> requests.Response:
        """Post a form."""
        data = {"obs_id": "N14C3", **fields}
        return requests.post(self.url + path, files=files, data=data, headers=bearer(token), timeout=60)

    def get(self, path: str, token: str = "", **arguments: Any) -> requests.Response:
        """Get an address."""
        return requests.get(self.url + path, headers=bearer(token), timeout=60, **arguments)

    def deposit(self, content: Path | bytes, name: str = "n.crate.zip", **fields: Any) -> dict[str, Any]:
        """Deposit a file as Ada, and return the receipt."""
        data = content.read_bytes() if isinstance(content, Path) else content
        answer = self.post({"file": (name, data)}, **fields)
        assert answer.status_code in (200, 202), answer.text
        receipt = answer.json()
        assert isinstance(receipt, dict)
        return receipt

    def work(self, queue: Queue = Queue.CHECKS, **options: Any) -> None:
        """Do all jobs of a queue."""
        worker = Worker(self.parts, queue, **options)
        while worker.work():
            pass

    def state(self, receipt: dict[str, Any]) -> Deposit:
        """Return a deposit as its row is now."""
        deposit = self.archive.repository.by_id(receipt["id"])
        assert deposit is not None
        return deposit

    def spooled(self) -> list[str]:
        """Return the names of the files in the spool."""
        return sorted(path.name for path in self.archive.spool.folder.rglob("*") if path.is_file())


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token; none for none."""
    return {"Authorization": f"Bearer {token}"} if token else {}


@contextmanager
def served(root: Path, identity: Identity | None = None, **settings: Any) -> Iterator[Served]:
    """Serve an archive in a folder, without replays unless its settings say otherwise."""
    chosen = {"replay": ReplaySettings(enabled=False), "listen": "127.0.0.1", **settings}
    sockets = bind_sockets(0, "127.0.0.1")
    port = sockets[0].getsockname()[1]
    configured = replace(load_settings(root, port=port), **chosen)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="served", daemon=True)
    thread.start()
    archive = open_archive(configured, identity or Tokens())

    async def start() -> HTTPServer:
        server = make_server(archive)
        server.add_sockets(sockets)
        return server

    async def stop(server: HTTPServer) -> None:
        server.stop()
        await server.close_all_connections()

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    parts = open_parts(configured)
    try:
        yield Served(f"http://127.0.0.1:{port}", archive, parts)
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        archive.threads.shutdown()
        archive.repository.engine.dispose()
        parts.repository.engine.dispose()
