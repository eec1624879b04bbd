"""Small pretended tasks on plain files, run with a store of results and, in another folder, without one.

They stand for CASA's habits: ``split`` refuses an existing output, ``gaincal`` replaces it, ``tclean`` goes on with it,
``flagdata`` writes in place, ``imsmooth`` depends on threads, and each reads a file through a descriptor that is open.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from casaprov.casa.installed import held
from casaprov.journal.document import read_document
from casaprov.journal.writer import Journal
from casaprov.recompute.lookup import Recomputation
from casaprov.recompute.store.results import Store
from casaprov.recorder import Digester, Recorder
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.records.model import Activity
from casaprov.runner import Runner
from casaprov.tasks.calls import FileTable, TaskCall, TaskResult
from casaprov.tasks.specs import read_specs
from recorded_files import HereDigester
from records import SESSION

SPECS = read_specs(
    """
    package = "casatasks"
    [tasks.split]
    used = ["source"]
    generated = ["target"]
    [tasks.gaincal]
    used = ["source"]
    generated = ["target"]
    replaces = ["target"]
    [tasks.imsmooth]
    used = ["source"]
    generated = ["target"]
    replaces = ["target"]
    [tasks.tclean]
    used = ["source"]
    updated = ["target"]
    [tasks.flagdata]
    changed = ["source"]
    [tasks.visstat]
    used = ["source"]
    """,
    "this test",
)

TASKS = tuple(SPECS)

_BEGINNING = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class World:
    """A folder, the descriptors that are open in it, and the number of threads."""

    folder: Path
    threads: int = 1
    opened: dict[str, int] = field(default_factory=dict)

    def call(self, task: str, source: str, target: str, value: int) -> Any:
        """Run a task; return its value."""
        content = self._read(source) + f"{task} {value}".encode()
        there = self.folder / target
        match task:
            case "split" if there.exists():
                raise RuntimeError(f"{target} already exists.")
            case "flagdata":
                self._write(source, content)
            case "imsmooth":
                self._write(target, content + f"{self.threads} threads".encode())
            case "tclean":
                self._write(target, content + (self._read(target) if there.exists() else b""))
            case "visstat":
                return {source: hashlib.sha256(content).hexdigest()}
            case _:
                self._write(target, content)
        return None

    def contents(self) -> dict[str, bytes]:
        """Return the contents of all files."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir()) if path.is_file()}

    def open(self, name: str) -> None:
        """Open a file as a tool does, and leave it open."""
        if name not in self.opened and (self.folder / name).exists():
            self.opened[name] = os.open(self.folder / name, os.O_RDONLY)

    def close(self) -> None:
        """Close all open files."""
        for descriptor in self.opened.values():
            os.close(descriptor)
        self.opened.clear()

    def fresh(self) -> None:
        """Begin again, with one file."""
        self.close()
        for path in self.folder.iterdir():
            if path.is_file():
                path.unlink()
        (self.folder / "raw").write_bytes(b"raw")

    def _read(self, name: str) -> bytes:
        if name in self.opened:
            return os.pread(self.opened[name], 10**6, 0)
        return (self.folder / name).read_bytes()

    def _write(self, name: str, content: bytes) -> None:
        # In place, as casacore does; contents of one size, whatever is done.
        digest = hashlib.sha256(content).hexdigest().encode()
        descriptor = os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, digest, 0)
        finally:
            os.close(descriptor)


class CachedCalls:
    """A runner with a store of results, as a session has it.

    Parameters
    ----------
    environment
        Returns the facts beside files and parameters that results depend on.
    """

    def __init__(
        self,
        folder: Path,
        environment: Callable[[], dict[str, Any]] = dict,
        *,
        digester: Digester | None = None,
        patience: Patience | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        seconds = itertools.count()
        self.journal = Journal(folder / ".casaprov" / "n", replace(SESSION, folder=folder.as_posix()))
        self.queue = FinishQueue()
        self.recorder = Recorder(
            journal=self.journal,
            digester=digester or HereDigester(),
            specs=SPECS,
            clock=lambda: (_BEGINNING + timedelta(seconds=next(seconds))).isoformat(timespec="microseconds"),
            finish_queue=self.queue,
            patience=patience,
        )
        self.cached = Recomputation(
            store=Store(folder / ".casaprov" / "store", on_notice=lambda _: None),
            base=folder,
            intents=folder / ".casaprov" / "restoring",
            environment=environment,
            measure=self.recorder.measure,
            remember=lambda *_: None,
            held=held,
        )
        self.runner = Runner(self.recorder, recomputation=lambda: self.cached)

    def run(
        self, task: str, function: Callable[[], Any], files: FileTable | None = None, **parameters: Any
    ) -> TaskResult:
        """Run a function as a task."""
        call = TaskCall(task=task, package="casatasks", parameters=parameters, given=tuple(parameters), cwd=self.folder)
        return self.runner.run(call, Function(function), files)

    def last(self) -> Activity:
        """Return the record of the last call."""
        self.queue.wait()
        return read_document(self.journal.folder, "n.ipynb", whole_lines=True).activities[-1]

    def close(self) -> None:
        """End it."""
        self.queue.wait()
        self.cached.close()


@dataclass
class Function:
    """Runs a function, whatever the call is."""

    function: Callable[[], Any]

    def run(self, _call: TaskCall) -> TaskResult:
        try:
            return TaskResult(returned=self.function())
        except Exception as error:  # noqa: BLE001 - an error is an outcome
            return TaskResult(error=error)
