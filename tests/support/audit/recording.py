"""Run tasks under recording and leave marks in the trace that tell which call is running."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from audit.trace import MARK
from casaprov.casa.hooks.tasks import FunctionExecutor, TaskHook
from casaprov.casa.session import new_session, open_recorder
from casaprov.digests.digester import Digester
from casaprov.digests.measurement import Measurement
from casaprov.files.stamps import Stamps
from casaprov.readers.installed import open_digester
from casaprov.records.model import Tier
from casaprov.runner import Runner
from casaprov.tasks.calls import Executor, TaskCall, TaskResult

__all__ = ["JOURNAL", "SNAPSHOTS", "Audited", "audited"]

JOURNAL = "audit"
"""Name of the record below ``.casaprov``."""

SNAPSHOTS = "snapshots.jsonl"
"""Beside the audited folder: what lay there before and after each call."""

Call = Callable[..., Any]


class PatientDigester:
    """Measures to the end before the task runs, so that no digest is taken for a file access of the task."""

    def __init__(self, digester: Digester) -> None:
        self._digester = digester

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        """Measure `path` now."""
        measured = self._digester.submit(path, tier=tier, stamps=stamps)
        wait([measured])
        return measured

    def rest(self) -> None:
        """End the workers until the next product."""
        self._digester.rest()


class Audited:
    """Calls tasks by name; a task that fails does not stop those after it."""

    def __init__(self, tasks: ModuleType, folder: Path) -> None:
        self.tasks = tasks
        self.folder = folder
        self.failures: list[tuple[str, str]] = []

    def __getattr__(self, task: str) -> Call:
        return functools.partial(self._call, task, getattr(self.tasks, task))

    def _call(self, name: str, task: Call, *args: Any, **given: Any) -> Any:
        try:
            return task(*args, **given)
        except Exception as error:  # noqa: BLE001 - told at the end of the audit
            self.failures.append((name, f"{type(error).__name__}: {error}"))
            return None


class Marker:
    """Runs each call between marks and snapshots."""

    def __init__(self, runner: Runner, folder: Path, log: Path) -> None:
        self._runner = runner
        self._folder = folder
        self._log = log
        self._running: list[int] = []
        self._calls = 0
        self._hashes: dict[tuple[str, int, int, int], str] = {}
        self._last: dict[str, str] = {}

    def run(self, call: TaskCall, executor: FunctionExecutor) -> TaskResult:
        """Run `call` as the notebook's hook does."""
        outer = list(self._running)
        self._calls += 1
        number = self._calls
        _mark([])
        try:
            return self._runner.run(call, Between(executor, functools.partial(self._between, number)))
        finally:
            _mark(outer)

    @contextmanager
    def _between(self, number: int) -> Iterator[None]:
        self._snapshot(number, "before")
        self._running.append(number)
        _mark(self._running)
        try:
            yield
        finally:
            _mark([])
            self._running.pop()
            self._snapshot(number, "after")

    def _snapshot(self, number: int, when: str) -> None:
        found = {name: self._hash(name) for name in _files(self._folder)}
        changed = {name: told for name, told in found.items() if self._last.get(name) != told}
        gone = sorted(self._last.keys() - found.keys())
        self._last = found
        with self._log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"call": number, "when": when, "changed": changed, "gone": gone}) + "\n")

    def _hash(self, name: str) -> str:
        path = self._folder / name
        try:
            told = path.stat()
            key = (name, told.st_size, told.st_mtime_ns, told.st_ino)
            if key not in self._hashes:
                self._hashes[key] = hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
            return self._hashes[key]
        except OSError:  # a link that leads nowhere
            return "link"


class Between:
    """An executor that runs a call between its marks."""

    def __init__(self, executor: Executor, between: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._executor = executor
        self._between = between

    def run(self, call: TaskCall) -> TaskResult:
        """Run the call."""
        with self._between():
            return self._executor.run(call)


@contextmanager
def audited(tasks: ModuleType, folder: Path, log: Path) -> Iterator[Audited]:
    """Record every task call in `folder` and log snapshots of it."""
    digester = open_digester()
    session = new_session(folder, f"{JOURNAL}.ipynb")
    recorder = open_recorder(session, folder / ".casaprov" / JOURNAL, PatientDigester(digester))
    marker = Marker(Runner(recorder), folder, log)
    hook = TaskHook(marker.run)
    hook.install(tasks)
    try:
        yield Audited(tasks, folder)
    finally:
        hook.remove()
        recorder.close()
        digester.close()


def _mark(running: list[int]) -> None:
    """Leave a system call in the trace that says which calls are running now."""
    with contextlib.suppress(OSError):
        Path(MARK + "-".join(map(str, running))).rmdir()


def _files(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        if ".casaprov" in folders:
            folders.remove(".casaprov")
        yield from (os.path.relpath(os.path.join(place, name), folder) for name in files)  # noqa: PTH118
