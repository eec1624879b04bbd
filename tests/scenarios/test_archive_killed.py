"""An archive whose processes are killed at random moments: what it gave a receipt for reaches its end, and once."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from nbformat.v4 import new_code_cell, new_notebook

from casaprov.archive.client import ArchiveClient
from casaprov.archive.deposits import FINAL
from casaprov.archive.storage import Storage
from checkout import ROOT

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1800)]

_log = logging.getLogger(__name__)

KILLS = 20
SEED = 20
CRATE = ROOT / "tests" / "fixtures" / "x5707-0.1.0.crate.zip"  # whose input is not at hand: a replay of seconds
SETTINGS = """
[limits]
keep_free = 0
[replay]
lease_seconds = 4
"""
PHASES = {"upload": "", "check": "checking", "replay": "replaying", "any": ""}


@dataclass
class Running:
    """An archive in a folder, served by processes of their own."""

    root: Path
    port: int
    process: subprocess.Popen[str] = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.root / "local-token").read_text().strip()

    def start(self) -> None:
        command = [sys.executable, "-m", "casaprov", "archive", "serve", "--root", str(self.root)]
        with (self.root / "log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        assert "answers at" in self.process.stdout.readline(), (self.root / "log").read_text()

    def members(self) -> list[int]:
        """Processes of the archive beside the server: its workers, and the replays that they run."""
        parents = {int(path.parent.name): _parent(path) for path in Path("/proc").glob("[0-9]*/stat")}
        found: list[int] = []
        waiting = [self.process.pid]
        while waiting:
            children = [pid for pid, parent in parents.items() if parent == waiting[0]]
            found, waiting = found + children, waiting[1:] + children
        return found

    def kill(self, victim: int) -> None:
        """Kill a process, and start the archive again if it was the server."""
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim == self.process.pid:
            self.process.communicate(timeout=600)
            self.start()

    def rows(self) -> list[tuple[str, str, str | None]]:
        """Id, state and worker of all deposits; the database is read as it is, also while no server runs."""
        with closing(sqlite3.connect(f"file:{self.root}/archive.sqlite?mode=ro", uri=True, timeout=60)) as connection:
            return connection.execute("SELECT id, state, worker FROM deposits").fetchall()

    def states(self) -> dict[str, str]:
        return {name: state for name, state, _ in self.rows()}

    def works_on(self, state: str) -> bool:
        """Return True if a worker that lives has a deposit in this state."""
        workers = {worker.rpartition(" ")[2] for _, found, worker in self.rows() if found == state and worker}
        return bool(workers & set(map(str, self.members())))

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=600)


def _parent(stat: Path) -> int:
    with suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[1])
    return 0


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "archive.toml").write_text(SETTINGS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = Running(tmp_path, port)
    running.start()
    yield running
    running.end()


def a_crate(number: int) -> bytes:
    data = io.BytesIO(CRATE.read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.comment = f"{number}".encode()
    return data.getvalue()


def a_notebook(number: int) -> bytes:
    return bytes(nbformat.writes(new_notebook(cells=[new_code_cell(f"{number}", id="a")])).encode())


class Depositor(threading.Thread):
    """Deposits one file, by the form in use or by the client, until it has the receipt."""

    def __init__(self, archive: Running, number: int, folder: Path, *, crate: bool, by_form: bool) -> None:
        super().__init__(name=f"depositor {number}")
        self.archive, self.number, self.by_form = archive, number, by_form
        self.path = folder / f"d{number}{'.crate.zip' if crate else '.ipynb'}"
        self.path.write_bytes(a_crate(number) if crate else a_notebook(number))
        self.killed = threading.Event()
        self.receipt: dict[str, Any] = {}

    def run(self) -> None:
        while not self.receipt:
            with suppress(requests.RequestException, OSError):
                self.receipt = self._form() if self.by_form else self._client()

    def _client(self) -> dict[str, Any]:
        memory = self.path.with_suffix(".uploads.json")
        client = ArchiveClient(self.archive.url, self.archive.token, patience_s=600, memory=memory)
        self.killed.wait()  # the client itself survives only what comes between its requests and its pieces
        return client.submit(self.path, obs_id="N14C3")

    def _form(self) -> dict[str, Any]:
        """Post the form in two pieces; the first time, a kill comes between them."""
        head = (
            "".join(
                f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in (("obs_id", "N14C3"), ("token", self.archive.token))
            )
            + f'--edge\r\nContent-Disposition: form-data; name="file"; filename="{self.path.name}"\r\n\r\n'
        )
        body = head.encode() + self.path.read_bytes() + b"\r\n--edge--\r\n"

        def pieces() -> Iterator[bytes]:
            yield body[:-30]  # all but the end of the file
            self.killed.wait()
            yield body[-30:]

        kind = {"Content-Type": "multipart/form-data; boundary=edge"}
        answer = requests.post(self.archive.url, data=pieces(), headers=kind, timeout=600)
        if answer.status_code not in (200, 202):
            raise OSError(answer.text)
        found = answer.json()
        assert isinstance(found, dict)
        return found


def test_what_was_taken_reaches_its_end_once_whatever_is_killed(archive: Running, tmp_path: Path) -> None:
    chosen = random.Random(SEED)
    _log.info("seed %d", SEED)
    files = tmp_path / "files"
    files.mkdir()
    depositors = []
    victims: Counter[str] = Counter()
    for number in range(KILLS):
        phase = chosen.choice(list(PHASES))
        crate = phase == "replay" or chosen.random() < 0.3
        depositor = Depositor(archive, number, files, crate=crate, by_form=phase == "upload" or chosen.random() < 0.5)
        depositors.append(depositor)
        if phase != "upload":
            depositor.killed.set()
        depositor.start()
        await_phase(archive, phase, depositor)
        time.sleep(chosen.uniform(0, 0.7))  # the moment itself is random
        others = archive.members()
        victim = archive.process.pid if chosen.random() < 0.3 or not others else chosen.choice(others)
        victims[f"{phase} {'server' if victim == archive.process.pid else 'worker or replay'}"] += 1
        archive.kill(victim)
        depositor.killed.set()
    for depositor in depositors:
        depositor.join(600)
        assert depositor.receipt, depositor.number
    wait_for(lambda: set(archive.states().values()) <= FINAL)
    _log.info("killed %s, states %s", dict(victims), Counter(archive.states().values()))
    whole(archive, depositors)


def await_phase(archive: Running, phase: str, depositor: Depositor) -> None:
    """Wait until a deposit is in a phase; one that was through it at once is not waited for."""

    def is_there() -> bool:
        return archive.works_on(PHASES[phase]) or archive.states().get(depositor.receipt.get("id", "")) in FINAL

    if phase == "upload":
        wait_for(lambda: any(path.suffix == ".part" for path in (archive.root / "spool").iterdir()))
    elif phase != "any":
        wait_for(is_there)


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def whole(archive: Running, depositors: list[Depositor]) -> None:
    """See that each deposit is there once, in every place, and nothing else."""
    headers = {"Authorization": f"Bearer {archive.token}"}
    listed = requests.get(f"{archive.url}/api/deposits", headers=headers, timeout=60).json()["deposits"]
    deposits = {deposit["id"]: deposit for deposit in listed}
    assert {depositor.receipt["id"] for depositor in depositors} == set(deposits)
    assert len(deposits) == KILLS
    assert sorted(deposit["name"] for deposit in listed) == [f"N14C3-{number:04d}" for number in range(1, KILLS + 1)]
    published = {d["id"] for d in listed if d["state"] == "published"}
    assert len(published) > KILLS / 2, Counter(d["state"] for d in listed)
    for depositor in depositors:
        deposit = deposits[depositor.receipt["id"]]
        if deposit["id"] in published:
            assert requests.get(deposit["links"]["content"], timeout=60).content == depositor.path.read_bytes()
    shown = requests.get(f"{archive.url}/api/v1/repos/EVN/N14C3/contents", timeout=60).json()
    assert len(shown) == len(published)
    archive.end()
    archive.start()  # a start mends what the last kills left
    wait_for(lambda: set(archive.states().values()) <= FINAL)
    storage = Storage(archive.root / "ocfl", archive.root / "scratch")
    assert storage.validate() == []
    kept = {json.loads(path.read_text())["id"] for path in (archive.root / "ocfl").rglob("inventory.json")}
    held = [d for d in listed if d["state"] == "held"]  # those that were killed three times
    sound = {d["did"] for d in listed if d["id"] in published}
    assert sound <= kept <= sound | {d["did"] for d in held}
    spooled = {path.name for path in (archive.root / "spool").rglob("*") if path.is_file()}
    assert spooled <= {d["id"] for d in held}
    assert all(d["did"] in kept or d["id"] in spooled for d in held)
    assert list((archive.root / "spool" / "uploads").iterdir()) == []
    assert [path for path in (archive.root / "scratch").iterdir() if path.is_dir()] == []
    repository = archive.root / "git" / "N14C3.git"
    assert [path.name for path in (archive.root / "git").iterdir() if path.is_dir()] == [repository.name]
    subprocess.run(["git", "fsck", "--full", "--strict"], cwd=repository, check=True, capture_output=True, timeout=600)
    log = subprocess.run(
        ["git", "log", "--format=%B", "master"], cwd=repository, check=True, capture_output=True, text=True
    )
    committed = Counter(line.removeprefix("Deposit: ") for line in log.stdout.splitlines() if "Deposit: " in line)
    assert {deposit for deposit, count in committed.items() if count == 1} == published
    # What was given up after it was committed is taken back by a second commit.
    assert {deposit for deposit, count in committed.items() if count == 2} <= {d["id"] for d in held}
    assert max(committed.values()) <= 2
    assert left_behind(archive) == []


def left_behind(archive: Running) -> list[int]:
    """Processes that work in a folder of the archive and belong to none of its processes that run."""
    members = {archive.process.pid, *archive.members()}
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if path.readlink().is_relative_to(archive.root) and int(path.parent.name) not in members:
                found.append(int(path.parent.name))
    return found
