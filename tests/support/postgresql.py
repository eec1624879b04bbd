"""A PostgreSQL server for tests, of the programs that are installed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

__all__ = ["a_database", "server"]


def a_database(request: pytest.FixtureRequest) -> str:
    """Return the SQLAlchemy URL of an empty database; skip without PostgreSQL."""
    socket = request.getfixturevalue("postgresql_server")
    name = f"test_{secrets.token_hex(4)}"
    subprocess.run([_program("createdb"), "-h", str(socket), "-U", "postgres", name], check=True, capture_output=True)
    return f"postgresql+psycopg://postgres@/{name}?host={socket}"


@cache
def _program(name: str) -> str:
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    path = os.pathsep.join([os.environ["PATH"], *map(str, folders)])
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
    return found


@contextlib.contextmanager
def server() -> Iterator[Path]:
    """Run a server in a folder of its own, and yield the folder of its socket; skip without PostgreSQL."""
    initdb, pg_ctl, _ = _program("initdb"), _program("pg_ctl"), _program("createdb")
    # Not in pytest's folders: the path of a socket has at most 107 characters, and the server's user must get there.
    folder = Path(tempfile.mkdtemp(prefix="casaprov-pg-", dir="/tmp"))
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    _run([initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"], user)
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
    _run([pg_ctl, "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start"], user)
    try:
        yield folder
    finally:
        _run([pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop"], user)
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], user: str | None) -> None:
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, user=user)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")
