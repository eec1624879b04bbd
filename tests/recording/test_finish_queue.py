"""Records that are finished while other code runs: calls that change their files wait, other calls do not."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from casaprov.recording.activities import DeclaredFiles
from casaprov.recording.finish_queue import FinishQueue
from casaprov.tasks.calls import TaskCall, TaskResult
from recorded_files import HereDigester, Notebook
from waiting_notebook import LONG_S, Waiting, digest_of, held, in_thread


def test_the_end_of_a_call_does_not_wait_for_digests(waiting: Waiting) -> None:
    assert waiting.recorded == []
    waiting.open()
    waiting.finish_queue.wait()
    (activity,) = waiting.recorded
    assert (activity.outcome, activity.problems) == ("completed", ())
    assert waiting.digest_of("out.txt") == digest_of(b"made")
    assert waiting.digest_of("in.txt") == digest_of(b"raw")


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


def test_the_wait_counts_for_the_next_call(waiting: Waiting) -> None:
    held((waiting.folder / "out.txt").unlink, waiting)
    activity, _ = waiting.call("look", lambda: None, file="in.txt")
    assert activity.waited_s >= 0.1
    assert waiting.recorded[0].waited_s < 0.1


def test_a_long_wait_names_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_folder_that_holds_the_journal_can_be_read(waiting: Waiting) -> None:
    """The journal is written meanwhile: its writer does not wait for itself."""
    call = TaskCall(task="pack", package="p", parameters={}, given=(), cwd=waiting.folder)
    open_call = waiting.recorder.begin(call, DeclaredFiles(used=["."]))
    waiting.recorder.end_soon(open_call, TaskResult(), lambda *_: None)
    later = in_thread(lambda: waiting.call_soon("look", lambda: None, file="in.txt"))
    time.sleep(0.1)
    waiting.open()
    later.result(LONG_S)


def test_a_broken_stderr_does_not_break_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casaprov.recording.finish_queue._LONG_WAIT_S", 0.01)
    finish_queue = FinishQueue(lambda _names: (_ for _ in ()).throw(ValueError("I/O operation on closed file")))
    finish_queue.add([], lambda: time.sleep(0.1))
    finish_queue.wait()
    assert not finish_queue.busy
