"""Deposit one large file in the form in use, and measure memory and the answers to others meanwhile.

    python benchmarks/archive_upload.py [--gigabytes 5]

It starts an archive in a temporary folder, streams a form of that size to it, and asks ``/health`` twenty times a second.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests

PIECE = b"\0" * 2**20


def main() -> None:
    """Print peak memory over that at the start, in MB, and the 99th percentile of ``/health``, in ms."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=5.0)
    size = int(parser.parse_args().gigabytes * 1e9)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "archive.toml").write_text('[replay]\ncheck_workers = 0\nworkers = 0\n[limits]\nquota = "1 TB"\n')
        command = [sys.executable, "-m", "casaprov", "archive", "serve", "--root", str(root), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            measure(url, (root / "local-token").read_text().strip(), size, server.pid)
        finally:
            server.terminate()
            server.wait()


def measure(url: str, token: str, size: int, pid: int) -> None:
    """Stream the form, and print the two numbers."""
    waits: list[float] = []
    done = threading.Event()
    requests.get(f"{url}/health", timeout=60)
    before = resident(pid)
    asking = threading.Thread(target=ask, args=(url, waits, done))
    asking.start()
    begun = time.monotonic()
    answer = post(url, token, size)
    seconds = time.monotonic() - begun
    done.set()
    asking.join()
    waits.sort()
    peak = int(field(pid, "VmHWM"))
    p99 = waits[int(len(waits) * 0.99)] * 1000
    print(answer)
    print(
        f"{size / 1e9:g} GB in {seconds:.0f} s: {(peak - before) / 1e3:.0f} MB over the start, p99 {p99:.0f} ms of {len(waits)}"
    )


def post(url: str, token: str, size: int) -> str:
    """Send the form by a socket: no client library holds the file in memory."""
    host, port = url.removeprefix("http://").split(":")
    parts = "".join(
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("obs_id", "N14C3"), ("filename", "big.zip"), ("token", token))
    )
    head = (
        f'{parts}--edge\r\nContent-Disposition: form-data; name="file"; filename="big.zip"\r\n\r\nPK\x03\x04'.encode()
    )
    end = b"\r\n--edge--\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(head) + size + len(end)}\r\n"
            "Content-Type: multipart/form-data; boundary=edge\r\nConnection: close\r\n\r\n".encode()
            + head
        )
        left = size
        while left:
            piece = PIECE[: min(left, len(PIECE))]
            client.sendall(piece)
            left -= len(piece)
        client.sendall(end)
        return client.makefile("rb").readline().decode().strip()


def ask(url: str, waits: list[float], done: threading.Event) -> None:
    """Ask for the health of the archive until the end."""
    session = requests.Session()
    while not done.wait(0.05):
        begun = time.monotonic()
        session.get(f"{url}/health", timeout=60)
        waits.append(time.monotonic() - begun)


def field(pid: int, name: str) -> str:
    """Return a field of a process's status, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def resident(pid: int) -> int:
    """Return the resident memory of a process, in kB."""
    return int(field(pid, "VmRSS"))


if __name__ == "__main__":
    main()
