"""The DaCHS that ``.ci/dachs`` installs: its server, for the time of a module's tests, and its database."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from checkout import ROOT

__all__ = ["URL", "import_lists", "let_write", "serve_dachs"]

URL = "http://127.0.0.1:28087"
"""Address in ``tests/fixtures/dachs/gavo.rc``."""

_MADE = Path("/var/gavo/casaprov-tests")
_README = ROOT / "deploy" / "dachs" / "README.md"
_INPUTS = Path("/var/gavo/inputs")
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
_UP_S = 120.0


@contextmanager
def serve_dachs(log: Path) -> Iterator[str]:
    """Run the server and yield its address; skip where it was not installed. Other workers wait for the address.

    Parameters
    ----------
    log
        File for what the server says.
    """
    if os.geteuid() != 0 or not _MADE.exists():
        pytest.skip("There is no DaCHS for tests: root installs it on Debian 12 with .ci/dachs")
    if subprocess.run(["pg_ctlcluster", "15", "main", "status"], check=False, capture_output=True).returncode:
        pytest.skip("The PostgreSQL of DaCHS is stopped: .ci/dachs starts it")
    with _MADE.open() as lock, log.open("wb") as said:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = subprocess.Popen(
            ["/usr/bin/dachs", "serve", "start", "-f"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
        try:
            _wait_for(server, log)
            yield URL
        finally:
            _end(server)


def _wait_for(server: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + _UP_S
    while time.monotonic() < last and server.poll() is None:
        try:
            if requests.get(f"{URL}/tap/availability", timeout=10).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)  # until it listens
    raise RuntimeError(f"DaCHS does not answer: {log.read_text(errors='replace')[-2000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server with its children: they are a session of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            continue
    server.wait()


def let_write() -> str:
    """Make a role, grant it what deploy/dachs/README.md says, and return its address of the database.

    It logs in with a password: tests run as root, who is no other role.
    """
    password = secrets.token_hex(16)
    role = f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'archive') THEN CREATE ROLE archive LOGIN; END IF;
        END $$;
        ALTER ROLE archive PASSWORD '{password}';
    """
    (grants,) = re.findall(r"```sql\n(.*?)```", _README.read_text(), re.DOTALL)
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "gavo"]
    subprocess.run(command, input=role + grants, text=True, check=True, capture_output=True, user="postgres", cwd="/")
    return f"postgresql://archive:{password}@127.0.0.1:5432/gavo"


def import_lists(**lists: bytes) -> None:
    """Load the lists of an archive, ``crates`` and ``crate_inputs``, as deploy/dachs/README.md says."""
    for name, content in lists.items():
        (_INPUTS / "casaprov" / "data" / f"{name}.csv").write_bytes(content)
    command = ["/usr/bin/dachs", "imp", "casaprov/q", "crates_from_csv", "inputs_from_csv"]
    done = subprocess.run(
        ["runuser", "-u", "dachsroot", "--", *command],
        check=False,
        text=True,
        cwd=_INPUTS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_ENVIRONMENT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
