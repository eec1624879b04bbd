"""Run a piece of work again and again, and kill it at its first, second, third … file operation.

``killed_at.py MODULE FOLDER`` imports a module of tests/support that has these functions, each of which gets a folder:

- ``prepare`` makes the folder and the old state, which is copied for each kill;
- ``work`` does what is killed;
- ``look`` returns the state, as JSON values.

It prints one JSON line: the state before, the state after the work, and for each kill the state that was found.
``look`` runs in a process of its own, like a later session.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

_EVENTS = ("open", "os.", "fcntl.", "shutil.")
_UNREPORTED = ("close", "copy_file_range", "lseek", "pwrite", "pread", "read", "write", "fstat")


def main(module: str, folder: Path) -> None:
    """Kill the work of a module at each of its file operations."""
    scenario = importlib.import_module(module)
    states: list[Any] = []
    scenario.prepare(folder / "prepared")
    before = _look(scenario.look, folder / "prepared")
    number, alive = 0, False
    while not alive:
        number += 1
        place = folder / str(number)
        shutil.copytree(folder / "prepared", place)
        alive = _in_child(partial(_work, scenario.work, place, number)) == 0
        states.append(_look(scenario.look, place))
        shutil.rmtree(place)
    sys.stdout.write(json.dumps({"before": before, "after": states.pop(), "killed": states}) + "\n")


def _work(work: Callable[[Path], object], place: Path, number: int) -> None:
    left = number

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if event.startswith(_EVENTS):
            count()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            count()
            return function(*arguments, **named)

        return run

    for name in _UNREPORTED:
        setattr(os, name, counted(getattr(os, name)))
    sys.addaudithook(hook)
    work(place)
    left = -1


def _look(look: Callable[[Path], Any], place: Path) -> Any:
    reading, writing = os.pipe()

    def write() -> None:
        os.write(writing, json.dumps(look(place)).encode())

    assert _in_child(write) == 0, "the state cannot be looked at"
    os.close(writing)
    with os.fdopen(reading) as stream:
        return json.loads(stream.read())


def _in_child(function: Callable[[], object]) -> int:
    """Run a function in a child; return its exit code, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        function()
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
