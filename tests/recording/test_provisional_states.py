"""Records by stamps: a process that is killed before the digests leaves them, and the next session knows them."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import replace

import pytest

from casaprov.casa.session import open_recorder
from casaprov.files.stamps import stamp
from casaprov.lineage.graph import Lineage
from casaprov.recording.activities import DeclaredFiles
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Entity
from casaprov.tasks.calls import TaskCall, TaskResult
from recorded_files import HereDigester, Notebook
from records import SESSION
from waiting_notebook import LONG_S, GatedDigester, Waiting, digest_of, in_thread


def test_a_process_that_is_killed_leaves_what_was_known(waiting: Waiting) -> None:
    document = waiting.document()  # what the journal says now is what it says for ever
    (activity,) = document.activities
    assert activity.outcome == "completed"
    assert activity.problems == ("It had not been digested when this was written.",)
    (usage,) = activity.generated
    entity = Lineage(document).entities[usage.entity]
    assert (entity.path, entity.content_digest, usage.parameter, usage.declared) == ("out.txt", None, "target", True)
    (usage,) = activity.used
    entity = Lineage(document).entities[usage.entity]
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
    assert Lineage(document).entities[second.used[0].entity].content_digest == digest_of(b"made")


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
    assert Lineage(waiting.document()).entities[usage.entity].stamp == found


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
    assert Lineage(waiting.document()).entities[first.generated[0].entity].path == "out.txt"
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
