"""Child processes: answers, errors, deaths, and that none outlives its parent."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casaprov.errors import CasaprovError, DigestError, Issue, SchemaError, WorkerDied
from casaprov.processes.worker import Worker, WorkerPool
from checkout import ROOT, SUPPORT

SEARCH = {"PYTHONPATH": os.pathsep.join([str(SUPPORT), str(ROOT)])}


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("echo_worker", environment=SEARCH)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Worker]:
    worker = Worker("echo_worker", environment=SEARCH)
    yield worker
    worker.close()


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def _gone(pid: int, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while _alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not _alive(pid)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_json_values_come_back_unchanged(shared: Worker, value: Any) -> None:
    assert shared.call("echo", value=value) == value


def test_large_values_pass(shared: Worker) -> None:
    assert len(shared.call("echo", value="x" * 5_000_000)) == 5_000_000


def test_what_libraries_print_does_not_disturb(shared: Worker) -> None:
    assert shared.call("chatter") == "done"
    assert shared.call("echo", value=1) == 1


def test_errors_of_casaprov_come_back_as_themselves(shared: Worker) -> None:
    with pytest.raises(DigestError) as caught:
        shared.call("fail", kind="digest")
    assert (caught.value.message, caught.value.hint) == ("cannot be read", "Mend it.")
    with pytest.raises(SchemaError) as schema:
        shared.call("fail", kind="schema")
    assert schema.value.issues == (Issue("/a", "is odd", "1", "2"),)


@pytest.mark.parametrize(("kind", "text"), [("other", "ZeroDivisionError: by zero"), ("exit", "SystemExit: 3")])
def test_other_errors_come_back_with_their_text(shared: Worker, kind: str, text: str) -> None:
    with pytest.raises(CasaprovError, match=text) as caught:
        shared.call("fail", kind=kind)
    assert "Traceback" in caught.value.__notes__[0]
    assert shared.call("echo", value="alive") == "alive"


def test_unknown_functions_and_answers_that_are_no_json_are_errors(shared: Worker) -> None:
    with pytest.raises(CasaprovError, match="KeyError: 'nothing'"):
        shared.call("nothing")
    with pytest.raises(CasaprovError, match="TypeError"):
        shared.call("odd")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_child_is_told_with_its_last_words_and_replaced(worker: Worker, number: signal.Signals) -> None:
    first = worker.call("pid")
    with pytest.raises(
        WorkerDied,
        match=rf"was ended by signal {int(number)} \({number.name}\) before it answered 'die'.*\nabout to die",
    ):
        worker.call("die", number=int(number))
    assert worker.call("pid") != first


@pytest.mark.parametrize("text", ["babble", "[1]", '{"value"}', "{}", '{"error": 1}', "[" * 100_000])
def test_nonsense_is_no_answer(worker: Worker, text: str) -> None:
    with pytest.raises(WorkerDied, match="nonsense"):
        worker.call("babble", text=text)
    assert worker.call("echo", value=1) == 1


@pytest.mark.parametrize("answer", ["[" + "[]," * 2_000_001 + "[]]", "[" * 1_000_000, "1" * 300_000_000])
def test_an_answer_of_any_size_takes_bounded_memory(worker: Worker, answer: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WorkerDied):
        worker.call("babble_times", text=answer[:1000], times=len(answer) // min(len(answer), 1000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10**6  # in KiB
    assert worker.call("echo", value=1) == 1


def test_stderr_without_line_breaks_takes_bounded_memory(worker: Worker) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WorkerDied, match="about to die") as caught:
        worker.call("mutter", megabytes=300)
    assert len(caught.value.message) < 30_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_child_that_died_while_idle_is_replaced(worker: Worker) -> None:
    first = worker.call("pid")
    os.kill(first, signal.SIGKILL)
    end = time.monotonic() + 5
    while worker.pid is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert worker.call("pid") != first


def test_an_interrupt_does_not_reach_the_child(worker: Worker) -> None:
    assert worker.call("interrupt") == "still here"


def test_an_interrupt_while_the_child_starts_does_not_kill_it(worker: Worker) -> None:
    worker.start()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    assert worker.call("echo", value=1) == 1


def test_a_module_that_cannot_start_is_told(tmp_path: Path) -> None:
    worker = Worker("no_such_module", environment=SEARCH)
    with pytest.raises(WorkerDied, match="No module named no_such_module"):
        worker.call("echo", value=1)
    worker.close()
    nowhere = Worker("echo_worker", python=str(tmp_path / "python"))
    with pytest.raises(WorkerDied, match="could not be started"):
        nowhere.call("echo", value=1)


def test_a_child_inherits_the_variables_that_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "secret")
    monkeypatch.setenv("A_SETTING", "1")
    for worker, token in (
        (Worker("echo_worker", environment=SEARCH), "secret"),
        (Worker("echo_worker", environment=SEARCH, inherits=lambda name: name != "A_TOKEN"), None),
    ):
        assert [worker.call("variable", name=name) for name in ("A_TOKEN", "A_SETTING")] == [token, "1"]
        worker.close()


def test_files_in_the_working_folder_are_not_imported(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('the user\\'s file was imported')")
    worker = Worker("echo_worker", cwd=tmp_path, environment=SEARCH)
    assert worker.call("echo", value=1) == 1
    worker.close()


def test_closing_ends_the_child_even_in_the_middle_of_a_call(worker: Worker) -> None:
    pid = worker.call("pid")
    caught: list[BaseException] = []

    def call() -> None:
        try:
            worker.call("sleep", seconds=60)
        except WorkerDied as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.2)
    worker.close()
    thread.join(10)
    assert _gone(pid)
    assert len(caught) == 1
    with pytest.raises(WorkerDied, match="was closed"):
        worker.call("echo", value=1)


def _killed_parent(*, busy: bool, call: str = "pid", **variables: str) -> int:
    """Return what a child answered, its process id, whose parent was killed a moment ago."""
    script = (
        "import sys, threading\n"
        "from casaprov.processes.worker import Worker\n"
        "worker = Worker('echo_worker')\n"
        f"print(worker.call({call!r}), flush=True)\n"
        f"worker.call('sleep', seconds=60) if {busy} else threading.Event().wait(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=os.environ | SEARCH | variables, text=True
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert _alive(pid)
        parent.kill()
        parent.wait()
    return pid


@pytest.mark.parametrize("busy", [False, True])
def test_a_child_ends_when_its_parent_is_killed(busy: bool) -> None:
    assert _gone(_killed_parent(busy=busy))


@pytest.mark.parametrize("busy", [False, True])
def test_what_a_child_started_ends_when_the_parent_is_killed(busy: bool) -> None:
    assert _gone(_killed_parent(busy=busy, call="leave_running"))


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("takes_s", ["0.1", "60"])
def test_a_child_does_before_what_is_left_to_do_but_not_for_ever(tmp_path: Path, busy: bool, takes_s: str) -> None:
    mark = tmp_path / "left"
    pid = _killed_parent(busy=busy, CASAPROV_TEST_LEAVE=str(mark), CASAPROV_TEST_LEAVE_S=takes_s)
    assert _gone(pid)
    assert mark.exists()


def test_a_pool_shares_calls_and_survives_a_death() -> None:
    pool = WorkerPool(2, "echo_worker", environment=SEARCH | {"OMP_NUM_THREADS": "1"})
    pool.start()
    began = time.monotonic()
    pids = {pool.submit("pid").result() for _ in range(8)}
    slept = [pool.submit("sleep", seconds=1.0) for _ in range(2)]
    assert [future.result() for future in slept] == ["slept", "slept"]
    with pytest.raises(WorkerDied):
        pool.submit("die", number=9).result()
    after = [pool.submit("echo", value=n) for n in range(10)]
    assert [future.result() for future in after] == list(range(10))
    assert pool.submit("variable", name="OMP_NUM_THREADS").result() == "1"
    pool.close()
    assert time.monotonic() - began < 60
    assert all(_gone(pid) for pid in pids)


def test_closing_a_pool_cancels_what_waits() -> None:
    pool = WorkerPool(1, "echo_worker", environment=SEARCH)
    running = pool.submit("sleep", seconds=60)
    waiting = [pool.submit("echo", value=n) for n in range(3)]
    time.sleep(0.5)
    pool.close()
    with pytest.raises(WorkerDied):
        running.result()
    assert all(future.cancelled() for future in waiting)


def test_no_child_loads_modules_of_its_working_folder() -> None:
    sources = {path: path.read_text() for path in (ROOT / "casaprov").rglob("*.py")}
    starts = {path: len(re.findall(r'"-m"', text)) for path, text in sources.items() if '"-m"' in text}
    assert len(starts) >= 5
    assert starts == {path: len(re.findall(r'"-P",\s*"-m"', sources[path])) for path in starts}


def test_a_worker_that_rests_is_gone_until_the_next_call(worker: Worker) -> None:
    worker.rest()
    assert worker.call("echo", value=1) == 1
    first = worker.pid
    worker.rest()
    assert worker.pid is None
    assert worker.call("echo", value=2) == 2
    assert worker.pid not in (None, first)
