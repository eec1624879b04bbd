"""Records that are finished while other code runs: they are the same, and no writer is too early."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from casaprov.casa.session import open_recorder
from casaprov.digests.measurement import Measurement, measure
from casaprov.files.stamps import Stamps, stamp
from casaprov.lineage.graph import Lineage
from casaprov.recording.activities import DeclaredFiles
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Document, Entity, Tier
from casaprov.tasks.calls import TaskCall, TaskResult
from recorded_files import HereDigester, Notebook, no_reader
from records import SESSION

LONG_S = 20
"""Longer than any of this takes."""


class GatedDigester(HereDigester):
    """Measures in other threads, once it is told to; some files at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.at_once: set[str] = set()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="casaprov-test")

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        return super().submit(path) if path.name in self.at_once else self._threads.submit(self._measure, path)

    def _measure(self, path: Path) -> Measurement:
        assert self.gate.wait(LONG_S)
        return measure(path, no_reader, no_reader)


class Waiting(Notebook):
    """A notebook whose last call left out.txt, which is not digested before the gate is opened."""

    def __init__(self, folder: Path) -> None:
        self.finish_queue = FinishQueue()
        self.gated = GatedDigester()
        super().__init__(folder, digester=self.gated, finish_queue=self.finish_queue)
        guard_writes(self.finish_queue)
        self.recorded = self.call_soon(
            "copy", lambda: (folder / "out.txt").write_text("made") and None, source="in.txt", target="out.txt"
        )

    def open(self) -> None:
        self.gated.gate.set()

    def digest_of(self, name: str) -> str | None:
        return {e.path: e.content_digest for e in self.document().entities}[name]


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    (tmp_path / "in.txt").write_text("raw")
    notebook = Waiting(tmp_path)
    yield notebook
    notebook.open()
    notebook.finish_queue.wait()
    guard_writes(None)


def in_thread(action: Callable[[], Any]) -> Future[Any]:
    """Run code of the user in a thread of its own."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(action())
        except BaseException as error:  # noqa: BLE001 - for whoever asks
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def held(action: Callable[[], Any], waiting: Waiting) -> None:
    """Run `action`, which must wait for the gate, and open it."""
    done = in_thread(action)
    time.sleep(0.1)
    assert not done.done(), "it did not wait"
    assert waiting.recorded == []
    waiting.open()
    done.result(LONG_S)


# -- the end of a call does not wait --------------------------------------------


def test_the_end_of_a_call_does_not_wait_for_digests(waiting: Waiting) -> None:
    assert waiting.recorded == []
    waiting.open()
    waiting.finish_queue.wait()
    (activity,) = waiting.recorded
    assert (activity.outcome, activity.problems) == ("completed", ())
    assert waiting.digest_of("out.txt") == digest_of(b"made")
    assert waiting.digest_of("in.txt") == digest_of(b"raw")


def digest_of(content: bytes) -> str:
    """Content digest of a file with this content."""
    with TemporaryDirectory() as name:
        path = Path(name, "f.txt")
        path.write_bytes(content)
        return measure(path, no_reader, no_reader).content_digest


def test_what_is_all_known_is_recorded_at_once(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("raw")
    notebook = Notebook(tmp_path, finish_queue=FinishQueue(), digester=HereDigester())
    (activity,) = notebook.call_soon("look", lambda: None, file="in.txt")
    assert activity.used
    assert notebook.journal.path.read_text().count('"type":"end"') == 1


def test_a_short_call_does_not_wait_for_the_one_before_it(waiting: Waiting) -> None:
    (waiting.folder / "other.txt").write_text("x")
    later = waiting.call_soon("look", lambda: None, file="other.txt")
    assert later == []
    waiting.open()
    waiting.finish_queue.wait()
    assert [activity.task for activity in (*waiting.recorded, *later)] == ["copy", "look"]


def test_what_a_call_left_is_what_the_next_one_reads(waiting: Waiting) -> None:
    later = waiting.call_soon("look", lambda: None, file="out.txt")
    waiting.open()
    waiting.finish_queue.wait()
    assert later[0].used[0].entity == waiting.recorded[0].generated[0].entity


def test_a_call_that_changes_a_file_waits_for_its_digest(waiting: Waiting) -> None:
    held(
        lambda: waiting.call("edit", lambda: (waiting.folder / "out.txt").write_text("new!") and None, file="out.txt"),
        waiting,
    )
    first, second = waiting.document().activities
    assert second.used[0].entity == first.generated[0].entity
    assert waiting.digest_of("out.txt") == digest_of(b"new!")


def known_beside(waiting: Waiting) -> str:
    """Have another file that is known, and whose digest takes no time; return its state's id."""
    other = waiting.folder / "other.txt"
    other.write_text("x")
    waiting.open()
    activity, _ = waiting.call("look", lambda: None, file=other.name)
    waiting.gated.gate.clear()
    waiting.gated.at_once.add(other.name)
    waiting.recorded = waiting.call_soon(
        "copy", lambda: (waiting.folder / "out.txt").write_text("a cube") and None, source=other.name, target="out.txt"
    )
    return activity.used[0].entity


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("edit", {"file": "out.txt"}),
        ("edit", {"file": "in.txt"}),
        ("remove", {"file": "out.txt"}),
        ("copy", {"source": "in.txt", "target": "out.txt"}),
    ],
)
def test_a_call_does_not_begin_before(waiting: Waiting, task: str, parameters: dict[str, str]) -> None:
    held(lambda: waiting.begin(task, **parameters), waiting)


def test_a_call_does_not_delete_by_another_name_before(waiting: Waiting) -> None:
    (waiting.folder / "link").symlink_to("out.txt")
    held(lambda: waiting.begin("remove", file="link"), waiting)


@pytest.mark.parametrize("what", ["edit", "remove"])
def test_a_call_that_changes_something_else_does_not_wait(waiting: Waiting, what: str) -> None:
    """A cube of 50 GB is read for half a minute: flagging the MeasurementSet that it was made of does not wait."""
    state, other = known_beside(waiting), waiting.folder / "other.txt"
    done = waiting.call_soon(what, other.unlink if what == "remove" else lambda: other.write_text("1"), file=other.name)
    again = waiting.call_soon("copy", lambda: other.write_text("2") and None, source="in.txt", target=other.name)
    assert (waiting.recorded, done, again) == ([], [], [])
    waiting.open()
    waiting.finish_queue.wait()
    first, second, third = (calls[0] for calls in (waiting.recorded, done, again))
    assert first.used[0].entity == second.used[0].entity == state
    assert [activity.problems for activity in (first, second, third)] == [(), (), ()]
    digests = [e.content_digest for e in waiting.document().entities if e.path == other.name]
    assert digests == [digest_of(b"x"), *([digest_of(b"1")] if what == "edit" else []), digest_of(b"2")]


def test_a_call_that_changes_what_is_not_known_waits(waiting: Waiting) -> None:
    waiting.gated.at_once.add("new.txt")
    (waiting.folder / "new.txt").write_text("x")
    held(lambda: waiting.begin("edit", file="new.txt"), waiting)


@pytest.mark.parametrize("what", ["link", "reference"])
def test_what_a_product_elsewhere_consists_of_is_waited_for(waiting: Waiting, what: str) -> None:
    """A selection holds none of its rows: its own files do not change with them."""
    known_beside(waiting)
    folder = waiting.folder / "d"
    folder.mkdir()
    (folder / "link").symlink_to("../other.txt") if what == "link" else None
    (folder / "table.dat").write_bytes(b"RefTable") if what == "reference" else None
    waiting.open()
    waiting.finish_queue.wait()
    waiting.gated.gate.clear()
    call = TaskCall(task="look", package="p", parameters={}, given=(), cwd=waiting.folder)
    open_call = waiting.recorder.begin(call, DeclaredFiles(used=["d"]))
    waiting.recorded = []
    waiting.recorder.end_soon(open_call, TaskResult(), lambda activity, _: waiting.recorded.append(activity))
    held(lambda: waiting.begin("edit", file="other.txt"), waiting)


def test_an_activity_that_changes_something_waits_for_everything(waiting: Waiting) -> None:
    """Code that is no task may do more than it declares: 'ia.rename' writes over another image."""
    known_beside(waiting)
    call = TaskCall(task="rename", package="casatools", parameters={}, given=(), cwd=waiting.folder)
    held(lambda: waiting.recorder.begin(call, DeclaredFiles(changed=["other.txt"])), waiting)


def test_a_call_of_which_nothing_is_known_waits_for_everything(waiting: Waiting) -> None:
    known_beside(waiting)
    held(lambda: waiting.begin("a task of no table", file="other.txt"), waiting)


@pytest.mark.parametrize("what", ["touched", "removed and back"])
def test_a_call_that_changes_what_an_unfinished_record_tells_of_waits(waiting: Waiting, what: str) -> None:
    known_beside(waiting)
    other, out = waiting.folder / "other.txt", waiting.folder / "out.txt"

    def work() -> None:
        out.write_text("longer")
        other.write_text("x") if what == "touched" else other.unlink()

    waiting.open()
    waiting.finish_queue.wait()
    waiting.gated.gate.clear()
    waiting.recorded = waiting.call_soon("copy", work, source="in.txt", target=out.name)
    other.write_text("x")
    held(lambda: waiting.begin("edit", file=other.name), waiting)


def test_code_that_changes_a_file_waits_for_no_later_record(waiting: Waiting) -> None:
    finish_queue, gates = FinishQueue(), (threading.Event(), threading.Event())

    def pass_gate(number: int) -> None:
        assert gates[number].wait(LONG_S)

    finish_queue.add([waiting.folder / "a.txt"], lambda: pass_gate(0))
    finish_queue.add([waiting.folder / "b.txt"], lambda: pass_gate(1))
    first = in_thread(lambda: finish_queue.wait_for([waiting.folder / "a.txt"]))
    second = in_thread(lambda: finish_queue.wait_for([waiting.folder]))
    third = in_thread(lambda: finish_queue.wait_for([waiting.folder], below=False))
    third.result(LONG_S)
    gates[0].set()
    first.result(LONG_S)
    time.sleep(0.05)
    assert not second.done()
    gates[1].set()
    second.result(LONG_S)


def test_a_call_that_overwrites_a_file_waits_for_its_digest(waiting: Waiting) -> None:
    held(
        lambda: waiting.call(
            "copy", lambda: (waiting.folder / "out.txt").write_text("again") and None, source="in.txt", target="out.txt"
        ),
        waiting,
    )
    digests = [e.content_digest for e in waiting.document().entities if e.path == "out.txt"]
    assert digests == [digest_of(b"made"), digest_of(b"again")]


def test_the_wait_is_told_with_the_next_call(waiting: Waiting) -> None:
    held((waiting.folder / "out.txt").unlink, waiting)
    activity, _ = waiting.call("look", lambda: None, file="in.txt")
    assert activity.waited_s >= 0.1
    assert waiting.recorded[0].waited_s < 0.1


def test_who_waits_long_is_told_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casaprov.recording.finish_queue._LONG_WAIT_S", 0.05)
    reported: list[list[str]] = []
    gate, finish_queue = threading.Event(), FinishQueue(reported.append)
    finish_queue.add([tmp_path / "b.ms"], lambda: pytest.fail("it hangs") if not gate.wait(LONG_S) else None)
    finish_queue.add([tmp_path / "a.ms", tmp_path / "b.ms"], lambda: None)
    finish_queue.add([tmp_path / "cube.image"], lambda: None)
    some = in_thread(lambda: finish_queue.wait_for([tmp_path / "a.ms"]))
    while not reported:
        time.sleep(0.01)
    everything = in_thread(finish_queue.wait)
    while len(reported) < 2:
        time.sleep(0.01)
    gate.set()
    some.result(LONG_S)
    everything.result(LONG_S)
    assert reported == [["a.ms", "b.ms"], ["a.ms", "b.ms", "cube.image"]]


def test_the_session_is_closed_when_all_is_recorded(waiting: Waiting) -> None:
    held(waiting.recorder.close, waiting)
    assert waiting.document().sessions[0].closed
    assert waiting.digest_of("out.txt") == digest_of(b"made")


# -- code that is no call waits, too ---------------------------------------------


def by_descriptor(folder: Path, change: Callable[[int], Any]) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        change(number)
    finally:
        os.close(number)


CHANGES: dict[str, Callable[[Path], Any]] = {
    "write": lambda f: (f / "out.txt").write_text("other"),
    "append": lambda f: (f / "out.txt").open("a").close(),
    "read and write": lambda f: (f / "out.txt").open("r+b").close(),
    "os.open": lambda f: os.close(os.open(f / "out.txt", os.O_WRONLY)),
    "os.open from a folder": lambda f: by_descriptor(
        f, lambda n: os.close(os.open("out.txt", os.O_RDWR | os.O_TRUNC, dir_fd=n))
    ),
    "bytes as path": lambda f: open(os.fsencode(f / "out.txt"), "w").close(),  # noqa: PTH123
    "remove": lambda f: (f / "out.txt").unlink(),
    "remove from a folder": lambda f: by_descriptor(f, lambda n: os.remove("out.txt", dir_fd=n)),
    "rename": lambda f: (f / "out.txt").rename(f / "b.txt"),
    "replace": lambda f: (f / "in.txt").replace(f / "out.txt"),
    "truncate": lambda f: os.truncate(f / "out.txt", 1),
    "times": lambda f: os.utime(f / "out.txt"),
    "mode": lambda f: (f / "out.txt").chmod(0o600),
    "hard link": lambda f: (f / "b.txt").hardlink_to(f / "out.txt"),
    "by way of a link": lambda f: (f / "link").write_text("other"),
    "another spelling": lambda f: (f / "sub" / ".." / "out.txt").write_text("other"),
    "the folder is moved": lambda f: f.rename(f.with_name("elsewhere")).rename(f),
    "shutil.move": lambda f: shutil.move(f / "out.txt", f / "b.txt"),
    "shutil.copy over it": lambda f: shutil.copy(f / "in.txt", f / "out.txt"),
    "a program": lambda f: subprocess.run(["cp", f / "in.txt", f / "out.txt"], check=True),
    "os.system": lambda f: os.system(f"echo other > {f}/out.txt"),
    "a fork": lambda f: os.waitpid(os.fork() or _write_and_exit(f / "out.txt"), 0),
    "the input": lambda f: (f / "in.txt").write_text("changed"),
}  # fmt: skip


def _write_and_exit(path: Path) -> int:
    path.write_text("other")
    os._exit(0)


@pytest.mark.parametrize("how", CHANGES)
def test_code_that_changes_a_file_waits_until_it_is_read(waiting: Waiting, how: str) -> None:
    (waiting.folder / "sub").mkdir()
    (waiting.folder / "link").symlink_to("out.txt")
    held(lambda: CHANGES[how](waiting.folder), waiting)
    assert waiting.digest_of("out.txt") == digest_of(b"made")
    assert waiting.digest_of("in.txt") == digest_of(b"raw")
    assert waiting.recorded[0].problems == ()


HARMLESS: dict[str, Callable[[Path], Any]] = {
    "read": lambda f: (f / "out.txt").read_text(),
    "copy it": lambda f: shutil.copyfile(f / "out.txt", f / "copy.txt"),
    "write beside it": lambda f: (f / "out.txt.bak").write_text("x"),
    "a name that begins alike": lambda f: (f / "out").write_text("x"),
    "remove beside it": lambda f: (f / "sub").rmdir(),
    "list": lambda f: list(f.iterdir()),
    "a file without a name": lambda f: tempfile.TemporaryFile(dir=f).close(),
    "a folder": lambda f: (f / "new").mkdir(),
    "nothing at all": lambda f: os.open(f / "out.txt", os.O_RDONLY),
}


@pytest.mark.parametrize("how", HARMLESS)
def test_code_that_changes_nothing_of_it_does_not_wait(waiting: Waiting, how: str) -> None:
    (waiting.folder / "sub").mkdir()
    in_thread(lambda: HARMLESS[how](waiting.folder)).result(LONG_S)
    assert waiting.recorded == []


def test_only_programs_of_the_thread_that_looks_do_not_wait(waiting: Waiting) -> None:
    guard_writes(waiting.finish_queue, read_only_programs=True)
    subprocess.run(["true"], check=True)
    other = in_thread(lambda: CHANGES["a program"](waiting.folder))
    with pytest.raises(TimeoutError):
        other.result(0.2)
    waiting.open()
    other.result(LONG_S)
    assert waiting.digest_of("out.txt") == digest_of(b"made")


def test_an_error_of_the_users_is_the_users(waiting: Waiting) -> None:
    for mistake in (lambda: open("\0", "w"), lambda: os.remove(3.5), lambda: os.rename("a", None)):  # type: ignore[arg-type] # noqa: PTH104, PTH107, PTH123, SIM115
        with pytest.raises((TypeError, ValueError)):
            in_thread(mistake).result(LONG_S)
    assert waiting.recorded == []


def test_a_change_that_python_does_not_see_is_told(waiting: Waiting) -> None:
    (waiting.folder / "link.txt").write_text("unseen, and longer")
    libc = ctypes.CDLL(None)
    assert libc.rename(bytes(waiting.folder / "link.txt"), bytes(waiting.folder / "out.txt")) == 0
    waiting.open()
    waiting.finish_queue.wait()
    (activity,) = waiting.recorded
    assert activity.problems == (
        "out.txt could not be digested: It was changed before casaprov had read it, and by no call that is recorded.",
    )
    entity = {e.path: e for e in waiting.document().entities}["out.txt"]
    assert (entity.content_digest, entity.generated_by) == (None, activity.id)


FORKED = """
import ctypes, os, threading
from pathlib import Path
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.files.stamps import stamp
path, gate, finish_queue = Path("f.txt").absolute(), threading.Event(), FinishQueue()
path.write_text("x")
guard_writes(finish_queue)
finish_queue.add({path: stamp(path)}, gate.wait)
pid = ctypes.PyDLL(None).fork()  # Python does not see it, and does not wait before
if not pid:
    path.write_text("y")
    finish_queue.wait()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
gate.set()
"""


def test_a_file_that_something_else_writes_all_the_time_is_no_problem(waiting: Waiting) -> None:
    later = waiting.call_soon("look", lambda: (waiting.folder / "log").write_text("1") and None, file="in.txt")
    (waiting.folder / "new").write_text("another, longer")
    assert ctypes.CDLL(None).rename(bytes(waiting.folder / "new"), bytes(waiting.folder / "log")) == 0
    waiting.open()
    waiting.finish_queue.wait()
    assert later[0].problems == ()
    entity = {e.path: e for e in waiting.document().entities}["log"]
    assert (entity.content_digest, later[0].generated[0].declared) == (None, False)
    assert "changed before casaprov had read it" in entity.note


def test_a_child_process_does_not_wait_for_threads_that_it_has_not() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.stdout.strip() == "7", done.stderr


# -- a process that is killed ------------------------------------------------------


def test_a_process_that_is_killed_leaves_what_was_known(waiting: Waiting) -> None:
    document = waiting.document()  # what the journal says now is what it says for ever
    (activity,) = document.activities
    assert activity.outcome == "completed"
    assert activity.problems == ("It had not been digested when this was written.",)
    (usage,) = activity.generated
    entity = document.entity(usage.entity)
    assert (entity.path, entity.content_digest, usage.parameter, usage.declared) == ("out.txt", None, "target", True)
    (usage,) = activity.used
    entity = document.entity(usage.entity)
    assert (entity.path, entity.content_digest, usage.parameter) == ("in.txt", None, "source")
    assert Lineage(document).inputs() == (entity,)


def test_a_call_reads_what_the_one_before_left_though_neither_is_digested(waiting: Waiting) -> None:
    waiting.call_soon("look", lambda: None, file="out.txt")
    first, second = waiting.document().activities
    assert second.used[0].entity == first.generated[0].entity


def test_a_process_that_is_killed_between_two_records_leaves_what_was_known(waiting: Waiting) -> None:
    waiting.call_soon("look", lambda: None, file="out.txt")
    waiting.open()
    waiting.finish_queue.wait()
    lines = waiting.journal.path.read_text().splitlines(keepends=True)
    waiting.journal.path.write_text("".join(lines[:-1]))
    document = waiting.document()
    first, second = document.activities
    assert (first.problems, second.problems) == ((), ("It had not been digested when this was written.",))
    assert second.used[0].entity == first.generated[0].entity
    assert document.entity(second.used[0].entity).content_digest == digest_of(b"made")


def test_an_input_that_was_not_digested_is_an_input_of_the_next_session(waiting: Waiting) -> None:
    killed = waiting.journal.path.read_text()
    waiting.open()
    waiting.finish_queue.wait()
    waiting.journal.path.write_text(killed)
    session = replace(SESSION, id="20260601T000000-000000", folder=waiting.folder.as_posix())
    recorder = open_recorder(session, waiting.journal.folder, HereDigester())
    call = TaskCall(task="f", package="p", parameters={}, given=(), cwd=waiting.folder)
    _, (found,) = recorder.end(recorder.begin(call, DeclaredFiles(used=["in.txt"])), TaskResult())
    assert (found.content_digest, found.copy_of, found.gap) == (digest_of(b"raw"), None, False)
    assert found.locators


@pytest.mark.parametrize("how", ["rewrite", "remove"])
def test_an_input_is_stamped_as_the_call_found_it(waiting: Waiting, how: str) -> None:
    other = waiting.folder / "other.txt"
    other.write_text("as found")
    found = stamp(other).digest
    waiting.call_soon(
        "look", lambda: other.write_text("written") and None if how == "rewrite" else other.unlink(), file=other.name
    )
    (usage,) = waiting.document().activities[-1].used
    assert waiting.document().entity(usage.entity).stamp == found


def test_what_changed_behind_the_record_is_not_said_to_be_read(waiting: Waiting) -> None:
    (waiting.folder / "b.txt").write_text("other, longer")
    assert ctypes.CDLL(None).rename(bytes(waiting.folder / "b.txt"), bytes(waiting.folder / "out.txt")) == 0
    waiting.call_soon("look", lambda: None, file="out.txt")
    assert waiting.document().activities[-1].used == ()


def test_a_call_that_fails_takes_no_state_from_the_one_before_it(waiting: Waiting) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting.finish_queue, "add", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            waiting.call_soon("look", lambda: None, file="out.txt")
    first, second = waiting.document().activities
    assert second.used == ()
    assert waiting.document().entity(first.generated[0].entity).path == "out.txt"
    Lineage(waiting.document())


def test_what_a_call_only_touched_is_left_out_rather_than_guessed(waiting: Waiting) -> None:
    waiting.open()
    waiting.call("look", lambda: None, file="in.txt")
    waiting.gated.gate.clear()
    (waiting.folder / "more.txt").write_text("x")
    waiting.call_soon("look", lambda: (waiting.folder / "in.txt").write_text("raw") and None, file="more.txt")
    waiting.call_soon("look", lambda: None, file="in.txt")
    waiting.open()
    waiting.finish_queue.wait()
    lines = waiting.journal.path.read_text().splitlines(keepends=True)
    waiting.journal.path.write_text("".join(lines[:-1]))  # killed before the last record was finished
    last = waiting.document().activities[-1]
    assert last.problems == ("It had not been digested when this was written.",)
    assert last.used == ()
    Lineage(waiting.document())


def test_a_folder_that_holds_the_journal_can_be_read(waiting: Waiting) -> None:
    """The journal is written meanwhile: its writer does not wait for itself."""
    call = TaskCall(task="pack", package="p", parameters={}, given=(), cwd=waiting.folder)
    open_call = waiting.recorder.begin(call, DeclaredFiles(used=["."]))
    waiting.recorder.end_soon(open_call, TaskResult(), lambda *_: None)
    later = in_thread(lambda: waiting.call_soon("look", lambda: None, file="in.txt"))
    time.sleep(0.1)
    waiting.open()
    later.result(LONG_S)


def test_a_broken_stderr_does_not_break_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casaprov.recording.finish_queue._LONG_WAIT_S", 0.01)
    finish_queue = FinishQueue(lambda _names: (_ for _ in ()).throw(ValueError("I/O operation on closed file")))
    finish_queue.add([], lambda: time.sleep(0.1))
    finish_queue.wait()
    assert not finish_queue.busy


def test_what_a_killed_session_left_is_known_again_though_it_is_gone_when_that_is_read(waiting: Waiting) -> None:
    killed = waiting.document()
    waiting.open()
    guard_writes(None)
    states = {e.path: e for e in Lineage(killed).products()}
    gated, finish_queue = GatedDigester(), FinishQueue()
    following = Notebook(
        waiting.folder, states=states, session="20260601T000000-000000", digester=gated, finish_queue=finish_queue
    )
    gated.at_once.add("out.txt")
    following.call_soon("look", lambda: None, file="in.txt")
    following.call_soon("look", lambda: None, file="out.txt")
    removed = in_thread(lambda: following.call_soon("remove", (waiting.folder / "out.txt").unlink, file="out.txt"))
    time.sleep(0.1)
    gated.gate.set()
    removed.result(LONG_S)
    finish_queue.wait()
    found = [e for e in following.document().entities if e.path == "out.txt" and e.session.startswith("20260601")]
    assert [(e.gap, e.copy_of) for e in found] == [(False, killed.activities[0].generated[0].entity)]


def test_the_next_session_knows_the_files_again(waiting: Waiting) -> None:
    killed = waiting.document()
    waiting.open()
    guard_writes(None)
    states = {e.path: e for e in (*Lineage(killed).inputs(), *Lineage(killed).products())}
    following = Notebook(waiting.folder, states=states, session="20260601T000000-000000")
    _, entities = following.call("look", lambda: None, file="out.txt")
    (found,) = entities.values()
    assert found.content_digest == digest_of(b"made")
    assert (found.gap, found.copy_of) == (False, killed.activities[0].generated[0].entity)


def test_what_is_known_again_stays_known(waiting: Waiting) -> None:
    killed = waiting.journal.path.read_text()
    waiting.open()
    waiting.finish_queue.wait()
    waiting.journal.path.write_text(killed)  # as if the process had not come to that
    found: list[Entity] = []
    for number in (1, 2):
        session = replace(SESSION, id=f"2026060{number}T000000-000000", folder=waiting.folder.as_posix())
        recorder = open_recorder(session, waiting.journal.folder, HereDigester())
        call = TaskCall(task="f", package="p", parameters={}, given=(), cwd=waiting.folder)
        open_call = recorder.begin(call, DeclaredFiles(used=["out.txt"]))
        found += recorder.end(open_call, TaskResult())[1]
        os.utime(waiting.folder / "out.txt")  # the same content, at another time
    first, second = found
    assert (first.gap, first.content_digest) == (False, digest_of(b"made"))
    assert second == first


def test_a_file_that_was_changed_since_is_a_gap(waiting: Waiting) -> None:
    killed = waiting.document()
    waiting.open()
    waiting.finish_queue.wait()
    (waiting.folder / "out.txt").write_text("changed")
    states = {e.path: e for e in Lineage(killed).products()}
    _, entities = Notebook(waiting.folder, states=states, session="20260601T000000-000000").call(
        "look", lambda: None, file="out.txt"
    )
    (found,) = entities.values()
    assert found.gap
    assert found.copy_of is None


def test_a_finished_record_replaces_what_was_known_before(waiting: Waiting) -> None:
    waiting.open()
    waiting.finish_queue.wait()
    document = waiting.document()
    assert {e.path for e in document.entities if e.content_digest is None} == set()
    named = {u.entity for a in document.activities for u in (*a.used, *a.generated)}
    assert {e.id for e in document.entities} == named


# -- the same record, whoever waits --------------------------------------------------


class TardyDigester(HereDigester):
    """Measures one file always late, so that records queue behind it, and others at once or, if the seed is odd, a little later."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._pauses_s = [None, None, None, 0, 0.002, 0.01] if seed % 2 else [None]
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="casaprov-test")

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        pause_s = 0.03 if path.name == "c.txt" else self._chance.choice(self._pauses_s)
        return super().submit(path) if pause_s is None else self._threads.submit(self._later, path, pause_s)

    @staticmethod
    def _later(path: Path, pause_s: float) -> Measurement:
        time.sleep(pause_s)
        return measure(path, no_reader, no_reader)


NAMES = st.sampled_from(["a.txt", "a.txt", "b.txt", "c.txt"])
STEPS = st.tuples(
    st.sampled_from([
        "copy", "edit", "edit nothing", "remove", "look", "litter", "within: edit", "within: edit nothing",
        "py write", "py restore", "py remove", "py read", "py rename", "py copy", "sh copy",
    ]),
    NAMES,
    NAMES,
)  # fmt: skip


def within(notebook: Notebook, action: Callable[[], Any], *used: str) -> None:
    """Record an activity in which something is called."""
    call = TaskCall(task="enclose", package="p", parameters={}, given=(), cwd=notebook.folder)
    open_call = notebook.recorder.begin(call, DeclaredFiles(used=used))
    action()
    notebook.recorder.end_soon(open_call, TaskResult(), lambda *_: None)


def play(notebook: Notebook, steps: list[tuple[str, str, str]]) -> Document:
    """Do all steps; every text that is written has a length of its own, so that stamps tell it from all others.

    Content that comes back is written to another file that takes the place of the first: it has other stamps.
    """
    folder = notebook.folder
    (folder / "a.txt").write_text("a")
    notebook.call_soon("copy", lambda: (folder / "c.txt").write_text("late") and None, source="a.txt", target="c.txt")
    contents: dict[str, list[str]] = {"a.txt": [], "b.txt": [], "c.txt": []}
    for number, (what, name, other) in enumerate(steps, start=5):
        one, two = folder / name, folder / other
        text, before = "x" * number, contents[name]
        if not one.exists() and what not in {"py write", "py restore"}:
            continue
        if one.exists() and before[-1:] != [one.read_text()]:
            before.append(one.read_text())

        def edit() -> None:
            one.write_text(text)  # noqa: B023

        match what:
            case "copy":
                content = one.read_text() + text
                notebook.call_soon("copy", lambda: two.write_text(content) and None, source=name, target=other)  # noqa: B023
            case "edit":
                notebook.call_soon("edit", edit, file=name)
            case "edit nothing":
                notebook.call_soon("edit", lambda: None, file=name)
            case "remove":
                notebook.call_soon("remove", lambda: one.unlink(), file=name)  # noqa: B023, PLW0108
            case "look":
                notebook.call_soon("look", lambda: None, file=name)
            case "litter" if one != two:
                notebook.call_soon("look", lambda: two.write_text(text) and None, file=name)  # noqa: B023
            case "within: edit":
                used = {other} - {name}  # it says that it only reads it
                within(notebook, lambda: notebook.call_soon("edit", edit, file=name), *used)  # noqa: B023
            case "within: edit nothing":
                within(notebook, lambda: notebook.call_soon("edit", lambda: None, file=name), name)  # noqa: B023
            case "py write":
                one.write_text(text)
            case "py restore" if before:
                (folder / ".restored").write_text(before[-2:][0])
                (folder / ".restored").replace(one)
            case "py remove":
                one.unlink()
            case "py read":
                one.read_text()
            case "py rename":
                one.rename(two)
            case "py copy" if one != two:
                shutil.copyfile(one, two)
            case "sh copy" if one != two:
                subprocess.run(["cp", one, two], check=True)
    notebook.recorder.close()
    return notebook.document()


def comparable(document: Document) -> Document:
    """Leave out where it ran and how long the user waited."""
    return replace(
        document,
        sessions=tuple(replace(s, folder="") for s in document.sessions),
        activities=tuple(replace(a, waited_s=0) for a in document.activities),
        entities=tuple(sorted((replace(e, locators=()) for e in document.entities), key=lambda e: e.id)),
    )


QUEUED = [("edit nothing", "a.txt", ""), ("copy", "a.txt", "c.txt")]
"""The first waits for all before; what follows is known at once, and its record waits for that of the second."""


@example(QUEUED + [(what, "a.txt", "") for what in ("look", "edit nothing", "py write", "look")], 0)
@example(QUEUED + [(what, "a.txt", "") for what in ("py write", "look", "py restore", "look", "edit")], 0)
@settings(max_examples=100)
@given(steps=st.lists(STEPS, max_size=12), seed=st.integers(0, 2**16))
def test_who_waits_makes_no_difference_to_the_record(steps: list[tuple[str, str, str]], seed: int) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        expected = play(Notebook(Path(one)), steps)
        finish_queue = FinishQueue()
        guard_writes(finish_queue)
        try:
            tardy = Notebook(Path(other), digester=TardyDigester(seed), finish_queue=finish_queue)
            found = play(tardy, steps)
        finally:
            guard_writes(None)
        assert comparable(found) == comparable(expected)
        check_every_beginning(tardy)


def check_every_beginning(notebook: Notebook) -> None:
    """Whenever the process had been killed, the record would have been one: every state that a call names is in it."""
    lines = notebook.journal.path.read_text().splitlines(keepends=True)
    for count in range(1, len(lines)):
        notebook.journal.path.write_text("".join(lines[:count]))
        document = notebook.document()
        states = {entity.id for entity in document.entities}
        assert {u.entity for a in document.activities for u in (*a.used, *a.generated)} <= states
