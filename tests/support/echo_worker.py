"""A child process for test_worker.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from casaprov.errors import DigestError, Issue, SchemaError
from casaprov.processes.worker import serve


def echo(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def chatter() -> str:
    """Print as C++ libraries do, behind Python's back, and read from the terminal."""
    sys.stdout.write("printed by Python\n")
    os.write(1, b"printed by C\n")
    subprocess.run(["echo", "printed by a child"], check=True)
    return sys.stdin.read() + "done"


def fail(kind: str) -> None:
    if kind == "schema":
        raise SchemaError("does not fit", (Issue("/a", "is odd", "1", "2"),), hint="Look there.")
    if kind == "digest":
        raise DigestError("cannot be read", hint="Mend it.")
    if kind == "exit":
        sys.exit(3)
    raise ZeroDivisionError("by zero")


def die(number: int) -> None:
    os.write(2, b"about to die\n")
    os.kill(os.getpid(), number)
    time.sleep(10)


def interrupt() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def leave_running() -> int:
    return subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL).pid


def odd() -> object:
    return object()


def babble(text: str) -> None:
    """Say something on every channel there is, as a program that took over the child would."""
    for descriptor in range(3, 30):
        with suppress(OSError):
            os.write(descriptor, text.encode() + b"\n")


def babble_times(text: str, times: int) -> None:
    """Answer with a text repeated, whatever the protocol says."""
    for descriptor in range(3, 30):
        with suppress(OSError), os.fdopen(os.dup(descriptor), "wb") as channel:
            for _ in range(times):
                channel.write(text.encode())
            channel.write(b"\n")


def use_up(statement: str) -> None:
    """Run a statement without an end, as a stranger's call would."""
    kept: list[Any] = []
    while True:
        exec(statement, {"os": os, "time": time, "subprocess": subprocess, "kept": kept})


def mutter(megabytes: int) -> None:
    """Write to stderr without a line break, and die."""
    for _ in range(megabytes):
        os.write(2, b"x" * 10**6)
    die(signal.SIGKILL)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def leave() -> None:
    """Do what the test wants done when the parent is gone."""
    if mark := os.environ.get("CASAPROV_TEST_LEAVE"):
        Path(mark).touch()
        time.sleep(float(os.environ["CASAPROV_TEST_LEAVE_S"]))


if __name__ == "__main__":
    functions = (
        echo,
        pid,
        chatter,
        fail,
        die,
        interrupt,
        sleep,
        leave_running,
        odd,
        babble,
        babble_times,
        mutter,
        use_up,
        variable,
    )
    serve({function.__name__: function for function in functions}, at_end=leave)
