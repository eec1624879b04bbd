"""An archive that serves over HTTP, with deposits that were put into their state without a worker."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import secrets
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from archived import OWNER, a_new_deposit
from casaprov.archive.app.composition import make_app, open_archive
from casaprov.archive.deposits import TRANSITIONS, Deposit, Kind, Person, State
from casaprov.archive.publication.publishers import publishers
from casaprov.archive.settings import Settings
from casaprov.archive.web.archive import Archive

__all__ = ["NOTEBOOK", "PICTURE", "ServedArchive", "a_zip", "serving"]

NOTEBOOK: dict[str, Any] = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c6360000000020001"
    "48afa4710000000049454e44ae426082"
)  # a picture of one pixel


_COLUMNS = ("title", "creators", "verdicts", "doi")


@dataclass
class People:
    """Persons by their token: a name is the token."""

    known: Mapping[str, Person] = field(default_factory=dict)

    async def person(self, token: str) -> Person | None:
        return self.known.get(token)


PEOPLE = {
    "owner": OWNER,
    "stranger": Person(iss=OWNER.iss, sub="eve", name="Eve"),
    "curator": Person(iss=OWNER.iss, sub="grace", name="Grace", curator=True),
}


@dataclass(frozen=True)
class ServedArchive:
    """An archive and its address."""

    archive: Archive
    url: str

    @property
    def settings(self) -> Settings:
        return self.archive.settings

    def deposit(
        self, state: State = State.PUBLISHED, content: bytes | None = None, about: Any = None, **fields: Any
    ) -> Deposit:
        """Deposit a small crate, or a bare notebook, and move it to a state as a worker would."""
        kind = fields.get("kind", Kind.CRATE)
        if content is None:
            content = (
                a_zip()
                if kind is Kind.CRATE
                else json.dumps(NOTEBOOK | {"metadata": {"different": secrets.token_hex()}}).encode()
            )
        columns: dict[str, Any] = {name: fields.pop(name) for name in _COLUMNS if name in fields}
        new = a_new_deposit(**{"sha256": f"sha256:{hashlib.sha256(content).hexdigest()}", **fields})
        deposit, _ = self.archive.repository.receive(replace(new, size_bytes=len(content)))
        self.archive.storage.keep(deposit.did, {deposit.content_name: content}, "test")
        facts = {"notebook": "ngc5921.ipynb", "casa": "6.7.0.31", "calls": 2} if about is None else about
        for step in _way(state):
            more: dict[str, Any] = (
                {"title": "NGC 5921 in H I", "about": facts, **columns} if step is State.CHECKING else {}
            )
            if step is State.EMBARGOED:
                more["public_from"] = datetime.now(UTC) + timedelta(days=30)
            if step is State.WITHDRAWN:
                deposit = self.withdraw(deposit)
            elif step is State.PUBLISHED:
                deposit = self.publish(deposit)
            else:
                deposit = self.archive.repository.change(deposit, step, actor="test", reason="test", **more)
        return deposit

    def publish(self, deposit: Deposit) -> Deposit:
        """Publish a deposit as a worker does."""
        places = publishers(self.settings)
        for place in places:
            place.prepare(deposit, self.archive.storage.path(deposit.did, deposit.content_name))
        also = [place.record for place in places]
        return self.archive.repository.change(deposit, State.PUBLISHED, actor="test", reason="test", also=also)

    def withdraw(self, deposit: Deposit, reason: str = "A flux was wrong.") -> Deposit:
        """Withdraw a deposit as its owner does."""
        repository = self.archive.repository
        withdrawn = repository.change(deposit, State.WITHDRAWN, actor="test", reason=reason)
        for place in publishers(self.settings):
            place.withdraw(withdrawn)
        return withdrawn


def _way(state: State) -> list[State]:
    """Return the shortest way from RECEIVED to a state."""
    if state is State.WITHDRAWN:  # after it was published, where it leaves a tombstone
        return [*_way(State.PUBLISHED), state]
    ways: list[list[State]] = [[State.RECEIVED]]
    for way in ways:
        if way[-1] is state:
            return way[1:]
        ways.extend([*way, step] for step in TRANSITIONS[way[-1]] if step not in way)
    raise AssertionError(state)


def a_zip(**members: str | bytes) -> bytes:
    """Return a small zip that looks like a crate, with more members if they are named."""
    made = io.BytesIO()
    files = {
        "ro-crate-metadata.json": json.dumps({"@graph": []}),
        "ngc5921.ipynb": json.dumps(NOTEBOOK),
        "plots/map.png": PICTURE,
        "different": secrets.token_hex(),  # the same bytes of the same owner would be the same deposit
        **members,
    }
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


@contextmanager
def serving(root: Path, **settings: Any) -> Iterator[ServedArchive]:
    """Serve an archive in a folder, from a thread of its own."""
    sockets = bind_sockets(0, "127.0.0.1")
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    archive = open_archive(Settings(root=root, **{"url": url, **settings}), identity=People(PEOPLE))
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = HTTPServer(make_app(archive))
        server.add_sockets(sockets)
        ready.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield ServedArchive(archive, url)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
        archive.threads.shutdown()
        archive.repository.engine.dispose()
