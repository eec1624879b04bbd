"""The cells of a kernel: their bundles, and when these are published."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from captured_shell import CapturedShell
from casaprov.kernel.cells import Cells
from casaprov.lineage.saved_cells import source_digest
from casaprov.notebook.bundle import BUNDLE_MIME
from casaprov.notebook.notebook_name import UNNAMED
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Activity, Entity, Step
from casaprov.tasks.calls import Executor, TaskCall, TaskResult
from records import SESSION, Story


class NoDisplay:
    """Shows nothing, and counts cells."""

    def __init__(self) -> None:
        self.begun = self.ended_cells = 0

    def begin_cell(self) -> None:
        self.begun += 1

    def end_cell(self) -> None:
        self.ended_cells += 1

    def run(
        self, call: TaskCall, executor: Executor, run: Callable[[TaskCall, Executor], TaskResult] | None = None
    ) -> TaskResult:
        return run(call, executor) if run is not None else executor.run(call)

    def ended(self, activity: Activity, written: Iterable[Path]) -> None:
        """Nothing is shown of a call."""


@pytest.fixture
def queue() -> Iterator[FinishQueue]:
    queue = FinishQueue()
    yield queue
    queue.wait()
    guard_writes(None)


def cells_of(shell: CapturedShell, notebook: Path, queue: FinishQueue) -> Cells:
    return Cells(shell, lambda: notebook, NoDisplay(), queue)


def call() -> tuple[Activity, tuple[Entity, ...]]:
    story = Story()
    activity = story.call("importuvfits", used=["n.fits"], generated=["n.ms"])
    return activity, story.document.entities


def bundles(shell: CapturedShell) -> list[tuple[bool, dict[str, Any]]]:
    """Return each published bundle, with True if it was an update."""
    return [(o["update"], o["data"][BUNDLE_MIME]) for o in shell.outputs if BUNDLE_MIME in o["data"]]


def run_cell(shell: CapturedShell, cells: Cells, count: int = 1, during: Callable[[], None] = lambda: None) -> None:
    cells.begin(shell.info("x = 1"))
    during()
    cells.end(shell.result("x = 1", count))


def test_a_cell_without_calls_publishes_nothing(tmp_path: Path, queue: FinishQueue) -> None:
    shell = CapturedShell()
    run_cell(shell, cells_of(shell, tmp_path / "n.ipynb", queue))
    assert shell.outputs == []


def test_a_bundle_is_published_at_once_and_updated_when_its_records_are_finished(
    tmp_path: Path, queue: FinishQueue
) -> None:
    shell = CapturedShell()
    cells = cells_of(shell, tmp_path / "n.ipynb", queue)
    activity, entities = call()
    digested = threading.Event()

    def finish() -> None:
        digested.wait(60)
        cells.call_recorded(activity, entities)

    def during() -> None:
        cells.call_ended(activity, ())
        queue.add((), finish)

    run_cell(shell, cells, during=during)
    ((is_update, bundle),) = bundles(shell)
    assert not is_update
    assert bundle["session"] == SESSION.id
    assert [made["generated"] for made in bundle["calls"]] == [[]]
    run_cell(shell, cells, 2)  # a later cell has a bundle of its own, here an empty one
    digested.set()
    queue.wait()
    _, (is_update, bundle) = bundles(shell)
    assert is_update
    assert [made["path"] for made in bundle["calls"][0]["generated"]] == ["n.ms"]
    assert len({output["transient"]["display_id"] for output in shell.outputs}) == 1


@pytest.mark.parametrize("name", [UNNAMED, "n.ipynb"])
def test_a_cell_waits_for_its_records_only_where_they_could_not_be_added_later(
    tmp_path: Path, queue: FinishQueue, name: str
) -> None:
    shell = CapturedShell()
    cells = cells_of(shell, tmp_path / name, queue)
    activity, entities = call()
    digested = threading.Event()

    def finish() -> None:
        digested.wait(60)
        cells.call_recorded(activity, entities)

    def during() -> None:
        cells.call_ended(activity, ())
        queue.add((), finish)
        if name == UNNAMED:
            threading.Timer(0.2, digested.set).start()

    run_cell(shell, cells, during=during)
    assert digested.is_set() == (name == UNNAMED)
    digested.set()
    queue.wait()
    assert [is_update for is_update, _ in bundles(shell)] == ([False] if name == UNNAMED else [False, True])


def test_a_terminal_has_no_bundle_to_update(tmp_path: Path, queue: FinishQueue) -> None:
    shell = CapturedShell(in_kernel=False)
    cells = cells_of(shell, tmp_path / "n.ipynb", queue)
    activity, entities = call()

    def during() -> None:
        cells.call_ended(activity, ())
        queue.add((), lambda: cells.call_recorded(activity, entities))

    run_cell(shell, cells, during=during)
    queue.wait()
    assert [is_update for is_update, _ in bundles(shell)] == [False]
    assert "text/plain" not in shell.outputs[0]["data"]


def test_a_step_names_the_cell_as_the_saved_notebook_does(tmp_path: Path, queue: FinishQueue) -> None:
    shell = CapturedShell()
    cells = cells_of(shell, tmp_path / "n.ipynb", queue)
    run_cell(shell, cells, 7)
    between = cells.step
    cells.begin(shell.info("a = '\ud800'\nb = 2"))
    saved = source_digest({"source": ["a = '\ud800'\n", "b = 2"]})
    assert (between, cells.step) == (None, Step(source_digest=saved, cell_id="cell-id", execution_count=8))


def test_only_a_cell_that_changes_no_file_starts_programs_while_files_are_read(
    tmp_path: Path, queue: FinishQueue
) -> None:
    shell = CapturedShell()
    cells = cells_of(shell, tmp_path / "n.ipynb", queue)
    digested = threading.Event()

    def finish() -> None:
        digested.wait(60)

    queue.add((), finish)
    cells.begin(shell.info("!ls"))
    shell.system_raw("true")  # would wait in any other cell
    assert queue.busy
    cells.end(shell.result("!ls", 1))
    cells.begin(shell.info("!make"))
    threading.Timer(0.2, digested.set).start()
    shell.system_raw("true")
    assert digested.is_set()
