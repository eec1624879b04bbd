"""Calls of small pretended tasks on plain files, recorded without CASA."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from casaprov.digests.measurement import Measurement, measure
from casaprov.errors import CasaprovError
from casaprov.files.stamps import Stamps
from casaprov.journal.document import read_document
from casaprov.journal.writer import Journal
from casaprov.recorder import Digester, Recorder
from casaprov.recording.explanations import Background
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.recording.open_call import OpenCall
from casaprov.records.model import Activity, Document, Entity, Tier
from casaprov.tasks.calls import TaskCall, TaskResult
from casaprov.tasks.specs import read_specs
from records import SESSION

SPECS = read_specs(
    """
    package = "casatasks"
    [tasks.copy]
    used = ["source"]
    generated = ["target"]
    [tasks.edit]
    changed = ["file"]
    [tasks.remove]
    deleted = ["file"]
    [tasks.look]
    used = ["file"]
    """,
    "this test",
)


def no_reader() -> Any:
    raise AssertionError("plain files need no reader")


class HereDigester:
    """Measures in this process, at once."""

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        result: Future[Measurement] = Future()
        try:
            result.set_result(measure(path, no_reader, no_reader))
        except CasaprovError as error:
            result.set_exception(error)
        return result

    def rest(self) -> None:
        """Nothing is held open."""


class Notebook:
    """A recorder and the calls made with it.

    Parameters
    ----------
    states
        What an earlier session left.
    session
        Id of the session.
    log
        Returns the file that CASA would log to.
    name
        Name of the notebook.
    """

    def __init__(
        self,
        folder: Path,
        *,
        digester: Digester | None = None,
        finish_queue: FinishQueue | None = None,
        states: dict[str, Entity] | None = None,
        session: str = SESSION.id,
        log: Callable[[], Path | None] = lambda: None,
        name: str = "n",
        patience: Patience | None = None,
    ) -> None:
        self.folder = folder
        seconds = itertools.count()
        self.journal = Journal(folder / ".casaprov" / name, replace(SESSION, folder=folder.as_posix(), id=session))
        self.recorder = Recorder(
            journal=self.journal,
            digester=digester or HereDigester(),
            specs=SPECS,
            clock=lambda: f"2026-05-01T10:00:{next(seconds):02d}.000000+00:00",
            finish_queue=finish_queue,
            background=Background(states=states or {}, log=log),
            patience=patience,
        )

    def call(
        self, task: str, action: Callable[[], Any], error: BaseException | None = None, **parameters: Any
    ) -> tuple[Activity, dict[str, Entity]]:
        """Run `action` as a task; return the record and the entities by id."""
        open_call = self.begin(task, **parameters)
        returned = action()
        activity, entities = self.recorder.end(open_call, TaskResult(returned=returned, error=error))
        return activity, {entity.id: entity for entity in entities}

    def call_soon(self, task: str, action: Callable[[], Any], **parameters: Any) -> list[Activity]:
        """Run `action` as a task; return a list where the finished record will be."""
        recorded: list[Activity] = []
        open_call = self.begin(task, **parameters)
        returned = action()
        self.recorder.end_soon(open_call, TaskResult(returned=returned), lambda activity, _: recorded.append(activity))
        return recorded

    def document(self) -> Document:
        """Return the Document of the journal as it is now."""
        return read_document(self.journal.folder, f"{self.journal.folder.name}.ipynb")

    def begin(self, task: str, **parameters: Any) -> OpenCall:
        """Begin a task that the test ends."""
        given = tuple(parameters)
        call = TaskCall(task=task, package="casatasks", parameters=parameters, given=given, cwd=self.folder)
        return self.recorder.begin(call)
