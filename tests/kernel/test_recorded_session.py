"""The session of a kernel: how it opens, pauses, fails and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from captured_shell import CapturedShell
from casaprov.casa.session import new_session, open_recorder
from casaprov.errors import JournalError
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.kernel.cells import Cells
from casaprov.kernel.display.task_output import TaskOutput
from casaprov.kernel.recorded_session import RecordedSession
from casaprov.notebook.notebook_name import UNNAMED, NotebookName
from casaprov.recorder import Recorder
from casaprov.recording.activities import DeclaredFiles
from casaprov.recording.finish_queue import FinishQueue
from casaprov.scripts.call_sites import CallSites
from casaprov.tasks.calls import TaskCall, TaskResult
from recorded_files import HereDigester


class NoLog:
    """The log of a CASA that logs nothing."""

    def log_offset(self) -> int:
        return 0

    def log_since(self, _offset: int) -> str:
        return ""


class Runs:
    """Runs a call by a function, and counts the calls."""

    def __init__(self, function: Callable[[TaskCall], None] = lambda _call: None) -> None:
        self.count = 0
        self._function = function

    def run(self, call: TaskCall) -> TaskResult:
        self.count += 1
        self._function(call)
        return TaskResult(returned=self.count)


@dataclass
class Kernel:
    """The parts of a kernel's recording without CASA: its session, and counts of its requests."""

    folder: Path
    opened: int = 0
    failures: int = 0
    settled: int = 0
    broken: bool = False
    queue: FinishQueue = field(default_factory=FinishQueue)

    def __post_init__(self) -> None:
        shell = CapturedShell()
        output = TaskOutput(shell, NoLog(), journal=lambda: journal_folder(self.notebook), wanted=lambda: False)
        self.session = RecordedSession(
            NotebookName({}, self.folder),
            Cells(shell, lambda: self.notebook, output, self.queue),
            self.queue,
            sites=CallSites(self.folder),
            open_recorder=self._open,
            settle_tools=self._settle,
            on_failure=self._fail,
        )

    @property
    def notebook(self) -> Path:
        return self.folder / UNNAMED

    @property
    def tasks(self) -> list[str]:
        """Names of the recorded tasks; none if there is no journal."""
        self.session.settle()
        try:
            return [a.task for a in read_document(journal_folder(self.notebook), UNNAMED).activities]
        except JournalError:
            return []

    def call(self, task: str = "listobs") -> TaskCall:
        return TaskCall(task=task, package="casatasks", parameters={}, given=(), cwd=self.folder)

    def _open(self, notebook: Path) -> Recorder:
        self.opened += 1
        if self.broken:
            raise OSError("the disk is gone")
        session = new_session(self.folder, notebook.name)
        return open_recorder(session, journal_folder(notebook), HereDigester(), finish_queue=self.queue)

    def _settle(self) -> None:
        self.settled += 1

    def _fail(self) -> None:
        self.failures += 1
        self.session.close()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.session.close()


def test_the_session_opens_with_the_first_call(kernel: Kernel) -> None:
    kernel.session.settle()
    assert (kernel.opened, kernel.session.session_id) == (0, "")
    assert list(kernel.folder.iterdir()) == []
    assert kernel.session.run(kernel.call(), Runs()).returned == 1
    assert kernel.session.session_id
    assert kernel.tasks == ["listobs"]


def test_calls_of_several_threads_open_one_session(kernel: Kernel) -> None:
    together = threading.Barrier(4)

    def begin(number: int) -> None:
        together.wait(60)
        kernel.session.run(kernel.call(f"task{number}"), Runs())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    assert kernel.opened == 1
    assert sorted(kernel.tasks) == ["task0", "task1", "task2", "task3"]


def test_a_session_that_cannot_be_opened_breaks_no_call(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    kernel.broken = True
    runs = Runs()
    for number in (1, 2):
        assert kernel.session.run(kernel.call(), runs).returned == number
        assert kernel.session.begin(kernel.call(), None) is None
    assert (kernel.opened, kernel.failures, kernel.session.closed) == (1, 1, True)
    message = "casaprov: this session is not recorded (OSError: the disk is gone)."
    assert capsys.readouterr().err.splitlines() == [message]


def test_a_function_is_run_here_only_where_the_cache_is_on(kernel: Kernel) -> None:
    runs = Runs()
    assert kernel.session.compute(kernel.call("find"), DeclaredFiles(), runs) is None
    kernel.session.settings.choose("cache", "on")
    result = kernel.session.compute(kernel.call("find"), DeclaredFiles(), runs)
    assert result is not None
    assert (result.returned, runs.count, kernel.tasks) == (1, 1, ["find"])
    kernel.session.pause()
    assert kernel.session.compute(kernel.call("find"), DeclaredFiles(), runs) is None


def test_a_paused_session_runs_calls_without_a_record(kernel: Kernel) -> None:
    kernel.session.pause()
    assert kernel.session.run(kernel.call(), Runs()).returned == 1
    assert kernel.session.begin(kernel.call(), None) is None
    assert kernel.opened == 0
    kernel.session.resume()
    kernel.session.run(kernel.call("imhead"), Runs())
    assert kernel.tasks == ["imhead"]


def test_a_pause_before_the_first_call_explains_a_change(kernel: Kernel) -> None:
    path = kernel.folder / "a.txt"
    path.write_text("1")
    first = kernel.session.begin(kernel.call("first"), DeclaredFiles(changed=["a.txt"]))
    assert first is not None
    path.write_text("2")
    kernel.session.end(first, TaskResult())
    kernel.session.close()
    again = Kernel(kernel.folder)
    again.session.pause()
    path.write_text("3")
    again.session.resume()
    second = again.session.begin(again.call("second"), DeclaredFiles(used=["a.txt"]))
    assert second is not None
    again.session.end(second, TaskResult())
    again.session.close()
    entities = read_document(journal_folder(kernel.notebook), UNNAMED).entities
    assert ["Recording was paused" in entity.note for entity in entities if entity.gap] == [True]


def test_records_of_tools_end_before_a_task_begins_but_not_before_a_tools_own(kernel: Kernel) -> None:
    kernel.session.run(kernel.call(), Runs())
    settled = kernel.settled
    opened = kernel.session.begin(kernel.call("table.putcol"), None, by_tool=True)
    assert (opened is not None, kernel.settled) == (True, settled)
    busy = [kernel.session.busy]  # later calls are not part of a tool's record
    activity = kernel.session.begin(kernel.call("block"), None)
    busy.append(kernel.session.busy)
    assert kernel.settled == settled + 1
    for open_call in (activity, opened):
        assert open_call is not None
        kernel.session.end(open_call, TaskResult())
    assert [*busy, kernel.session.busy] == [False, True, False]


def test_another_number_of_workers_means_another_digester(kernel: Kernel) -> None:
    first = kernel.session.digester()
    kernel.session.settings.choose("show_log", "no")
    assert kernel.session.digester() is first
    kernel.session.settings.choose("workers", "3")
    assert kernel.session.digester() is not first


def test_a_closed_session_records_nothing(kernel: Kernel) -> None:
    kernel.session.run(kernel.call(), Runs())
    kernel.session.close()
    assert kernel.session.begin(kernel.call(), None) is None
    (session,) = read_document(journal_folder(kernel.notebook), UNNAMED).sessions
    assert session.closed
