"""Chains of calls that change one file: beyond their patience they do not wait for the digests of states between them."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from cached_calls import CachedCalls, World
from casaprov.digests.measurement import Measurement
from casaprov.errors import Superseded
from casaprov.files.stamps import Stamps, stamp
from casaprov.recording.activities import DeclaredFiles
from casaprov.recording.finish_queue import Patience
from casaprov.recording.provisional_states import LeftStates
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Tier
from casaprov.tasks.calls import TaskCall, TaskResult
from waiting_notebook import GatedDigester, Waiting, digest_of, held


def test_waiting_is_a_part_of_the_task_time() -> None:
    patience = Patience(lambda: 0.05)
    assert patience.left_s == 1  # the first tasks took no time yet
    patience.note(10.0, 0.75)
    assert patience.left_s == 0.25
    patience.note(90.75, 0.0)
    assert patience.left_s == pytest.approx(0.05 * 100 - 0.75)
    patience.note(0.0, 60.0)
    assert patience.left_s == 0
    assert Patience(lambda: 0).left_s == 0
    endless = Patience(lambda: math.inf)
    endless.note(0.0, 1e6)
    assert (endless.endless, patience.endless) == (True, False)


def test_a_state_is_given_up_only_as_it_was_left(tmp_path: Path) -> None:
    file, gated = tmp_path / "f", GatedDigester()
    file.write_bytes(b"left")
    left, states = stamp(file), LeftStates()
    measurement = states.measure(file, left, lambda: gated.submit(file))
    file.write_bytes(b"of another size")
    states.give_up(file, stamp(file))
    assert not measurement.done()
    assert states.given_up(file, left) is None
    states.give_up(file, left)
    assert isinstance(measurement.exception(0), Superseded)
    assert states.given_up(file, left) is not None
    assert states.given_up(file, stamp(file)) is None
    gated.gate.set()


def test_one_state_of_a_path_is_read_at_a_time(tmp_path: Path) -> None:
    file, gated, states = tmp_path / "f", GatedDigester(), LeftStates()
    begun: list[Path] = []

    def submit() -> Future[Measurement]:
        begun.append(file)
        return gated.submit(file)

    for number in range(9):
        file.write_bytes(b"x" * number)
        states.measure(file, stamp(file), submit)
        states.give_up(file, stamp(file))
    file.write_bytes(b"the last one")
    last = states.measure(file, stamp(file), submit)
    assert len(begun) == 1
    gated.gate.set()
    assert last.result(60).content_digest == digest_of(b"the last one")
    assert len(begun) == 2


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Callable[[float], Waiting]]:
    """Open a notebook whose last call left ``out.txt``, with some patience."""

    def begin(part: float) -> Waiting:
        (tmp_path / "in.txt").write_text("raw")
        return Waiting(tmp_path, patience=Patience(lambda: part), at_once=("in.txt",))

    yield begin
    guard_writes(None)


def test_the_next_call_in_a_chain_does_not_wait(chain: Callable[[float], Waiting]) -> None:
    waiting = chain(0)
    out = waiting.folder / "out.txt"
    edited = waiting.call_soon("edit", lambda: out.write_text("once") and None, file="out.txt")
    assert [activity.task for activity in waiting.recorded] == ["copy"]
    again = waiting.call_soon("edit", lambda: out.write_text("twice") and None, file="out.txt")
    waiting.open()
    waiting.finish_queue.wait()
    first, second, third = waiting.recorded[0], edited[0], again[0]
    assert (first.problems, second.problems, third.problems) == ((), (), ())
    assert [second.used[0].entity, third.used[0].entity] == [first.generated[0].entity, second.generated[0].entity]
    states = {entity.id: entity for entity in waiting.document().entities}
    between = [states[call.generated[0].entity] for call in (first, second)]
    assert [(state.content_digest, state.is_undigested) for state in between] == [(None, True)] * 2
    assert all("before it was digested" in state.note for state in between)
    assert [state.size_bytes for state in between] == [4, 4]
    assert states[third.generated[0].entity].content_digest == digest_of(b"twice")
    assert states[third.generated[0].entity].revision_of == between[1].id


def test_a_patient_call_waits_for_the_digest(chain: Callable[[float], Waiting]) -> None:
    waiting = chain(math.inf)
    held(lambda: waiting.begin("edit", file="out.txt"), waiting)
    assert waiting.digest_of("out.txt") == digest_of(b"made")


@pytest.mark.parametrize("how", ["another writer", "a later reader", "a copy", "a copy of the folder"])
def test_a_state_that_is_more_than_a_link_of_the_chain_is_waited_for(
    chain: Callable[[float], Waiting], how: str
) -> None:
    waiting = chain(0)
    if how == "another writer":
        libc = ctypes.CDLL(None)  # a library that writes by itself is not seen
        assert libc.chmod(os.fsencode(waiting.folder / "out.txt"), 0o600) == 0
    elif how == "a later reader":
        waiting.call_soon("look", lambda: None, file="out.txt")
    elif how == "a copy":
        shutil.copy(waiting.folder / "out.txt", waiting.folder / "kept.txt")
    else:
        shutil.copytree(waiting.folder, waiting.folder.with_name("kept"), ignore=shutil.ignore_patterns("*"))
    held(lambda: waiting.begin("edit", file="out.txt"), waiting)


@pytest.mark.parametrize("how", ["a function", "a failed task", "a value without an exact form"])
def test_a_state_that_no_replay_can_make_is_waited_for(chain: Callable[[float], Waiting], how: str) -> None:
    waiting = chain(0)
    recorder, out = waiting.recorder, waiting.folder / "out.txt"
    waiting.open()
    waiting.finish_queue.wait()
    waiting.gated.gate.clear()
    waiting.recorded.clear()
    parameters = {"file": "out.txt", "extra": object() if how.startswith("a value") else 1}
    name = "scale" if how == "a function" else "edit"
    call = TaskCall(task=name, package="casatasks", parameters=parameters, given=tuple(parameters), cwd=waiting.folder)
    waiting.gated.at_once.add("out.txt")  # what it finds is digested
    open_call = recorder.begin(call, DeclaredFiles(changed=["out.txt"]) if how == "a function" else None)
    waiting.gated.at_once.remove("out.txt")
    out.write_text("again")
    result = TaskResult(error=RuntimeError("no") if how == "a failed task" else None)
    recorder.end_soon(open_call, result, lambda activity, _: waiting.recorded.append(activity))
    held(lambda: waiting.begin("edit", file="out.txt"), waiting)
    assert waiting.digest_of("out.txt") == digest_of(b"again")


def test_an_input_is_digested_before_it_is_changed_for_the_first_time(chain: Callable[[float], Waiting]) -> None:
    waiting = chain(0)
    waiting.open()
    waiting.finish_queue.wait()
    waiting.gated.gate.clear()
    waiting.recorded.clear()
    (waiting.folder / "mine.txt").write_text("mine")
    held(lambda: waiting.begin("edit", file="mine.txt"), waiting)
    assert waiting.digest_of("mine.txt") == digest_of(b"mine")


def test_a_state_that_the_next_call_left_alone_is_digested_after_all(chain: Callable[[float], Waiting]) -> None:
    waiting = chain(0)
    waiting.call_soon("edit", lambda: None, file="out.txt")  # it finds nothing to do
    waiting.open()
    waiting.finish_queue.wait()
    look = waiting.call_soon("look", lambda: None, file="out.txt")
    waiting.finish_queue.wait()
    states = {entity.id: entity for entity in waiting.document().entities}
    found = states[look[0].used[0].entity]
    left = states[waiting.recorded[0].generated[0].entity]
    assert (found.content_digest, found.copy_of, found.path) == (digest_of(b"made"), left.id, left.path)


class SlowDigester(GatedDigester):
    """Measures at once what the user made, and anything else after the gate is opened."""

    def submit(self, path: Path, *, tier: Tier = "full", stamps: Stamps | None = None) -> Future[Measurement]:
        self.at_once = {path.name} if path.read_bytes() == b"raw" else set()
        return super().submit(path)


def test_a_chain_whose_states_were_never_digested_is_restored(tmp_path: Path) -> None:
    slow = SlowDigester()
    cached, world = CachedCalls(tmp_path, digester=slow, patience=Patience(lambda: 0)), World(tmp_path)

    def chain(*values: int) -> dict[str, int]:
        world.fresh()
        slow.gate.clear()
        for value in values:
            cached.run("flagdata", partial(world.call, "flagdata", "raw", "", value), source="raw", value=value)
        slow.gate.set()
        counts = dict(cached.cached.counts)
        cached.cached.counts.clear()
        cached.queue.wait()
        cached.cached.settle()
        return counts

    assert [chain(0, 1, 2, 3) for _ in range(3)] == [{"run": 4}, {"restored": 4}, {"restored": 4}]
    plain = World(tmp_path / "plain")
    plain.folder.mkdir()
    plain.fresh()
    for value in range(4):
        plain.call("flagdata", "raw", "", value)
    assert (tmp_path / "raw").read_bytes() == (plain.folder / "raw").read_bytes()
    # Another call in the chain: what follows it is not known.
    assert chain(0, 9, 2) == {"restored": 1, "run": 2}
    assert chain(0, 1, 2, 9) == {"restored": 3, "run": 1}
    cached.close()
