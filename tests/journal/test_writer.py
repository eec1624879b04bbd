"""The journal: records from before a crash are still there."""

from __future__ import annotations

import json
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casaprov.errors import JournalError
from casaprov.hashing import digest_bytes
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder, journals, present_folders, tree_path
from casaprov.journal.reader import read_session
from casaprov.journal.writer import Journal
from casaprov.records.model import Activity, Entity, Environment, Session, Usage

SESSION = Session(
    id="20260501T100000-abcdef",
    started_at="2026-05-01T10:00:00.000000+00:00",
    folder="/data/ngc5921",
    environment=Environment(casatasks="6.7.0.31", python="3.11.7"),
    casaprov="0.1.0",
    notebook="ngc5921.ipynb",
)
MS = Entity(
    id="20260501T100000-abcdef/e0001",
    path="ngc5921.ms",
    kind="MeasurementSet",
    content_digest=digest_bytes(b"ms"),
    size_bytes=36_000_000,
)
CALL = Activity(
    id="20260501T100000-abcdef/0001",
    session=SESSION.id,
    task="gaincal",
    package="casatasks",
    started_at="2026-05-01T10:00:01.000000+00:00",
    outcome="unfinished",
    cwd=".",
    parameters={"vis": "ngc5921.ms"},
    given=("vis",),
)
DONE = replace(
    CALL, outcome="completed", ended_at="2026-05-01T10:00:02.500000+00:00", used=(Usage(entity=MS.id, parameter="vis"),)
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / ".casaprov" / "ngc5921", SESSION)


def test_the_journal_lies_beside_its_notebook() -> None:
    assert journal_folder(Path("/data/ngc5921.ipynb")) == Path("/data/.casaprov/ngc5921")


def test_a_session_without_calls_leaves_nothing_behind(journal: Journal) -> None:
    journal.close("2026-05-01T10:00:03.000000+00:00")
    assert not journal.folder.exists()


def test_a_finished_session_reads_back(journal: Journal) -> None:
    journal.begin(CALL)
    journal.end(DONE, [MS])
    journal.close("2026-05-01T10:00:03.000000+00:00")
    document = read_document(journal.folder, "ngc5921.ipynb")
    assert document.activities == (DONE,)
    assert document.entities == (MS,)
    assert document.sessions[0].closed
    assert document.sessions[0].ended_at == "2026-05-01T10:00:03.000000+00:00"
    assert DONE.seconds == 1.5


def test_a_call_without_an_end_is_unfinished(journal: Journal) -> None:
    journal.begin(CALL, [MS])
    record = read_session(journal.path)
    assert record.activities[0].outcome == "unfinished"
    assert record.entities == (MS,)
    assert not record.session.closed


@settings(max_examples=40)
@given(cut=st.integers(min_value=1, max_value=5000))
def test_a_torn_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    journal = Journal(tmp_path_factory.mktemp("torn"), SESSION)
    journal.begin(CALL)
    journal.end(DONE, [MS])
    whole = journal.path.read_bytes()
    first = whole.index(b"\n") + 1
    kept = whole[: max(first, len(whole) - cut)]
    journal.path.write_bytes(kept)
    record = read_session(journal.path)
    complete = kept[first:].count(b"\n")
    # A last line is complete without its newline too.
    assert [a.outcome for a in record.activities] in (
        [["unfinished"], ["completed"]][complete - 1 : complete + 1] if complete else [[], ["unfinished"]]
    )


@pytest.mark.parametrize("lost", ["", "zeros", "torn", "first two"])
def test_a_journal_without_its_first_line_keeps_its_calls(journal: Journal, lost: str) -> None:
    journal.begin(CALL)
    journal.end(DONE, [MS])
    after = replace(DONE, id=f"{SESSION.id}/0002")
    journal.end(after)
    first, begin, *rest = journal.path.read_bytes().splitlines(keepends=True)
    start = {"": b"", "zeros": bytes(4096), "torn": first[40:], "first two": b"\0\n"}[lost]
    journal.path.write_bytes(start + b"".join([begin, *rest] if lost != "first two" else rest[1:]))
    document = read_document(journal.folder, "ngc5921.ipynb")
    assert document.sessions[0].id == SESSION.id
    if lost == "first two":  # the line with the state is lost as well
        assert [replace(a, problems=()) for a in document.activities] == [replace(after, used=())]
        assert "1 of the states" in document.activities[0].problems[0]
    else:
        assert document.activities == (DONE, after)
        assert document.entities == (MS,)


def test_every_line_is_on_the_disk_soon_and_no_call_waits_for_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, synced = threading.Event(), []

    def fsync(descriptor: int) -> None:
        may_end.wait(60)
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    journal.begin(CALL)
    journal.end(DONE, [MS])  # neither waits
    assert synced == []
    may_end.set()
    journal.close("2026-05-01T10:00:03.000000+00:00")
    written = journal.path.stat()
    assert (written.st_ino, written.st_size) in synced
    assert journal.folder.stat().st_ino in {inode for inode, _ in synced}


def test_a_line_that_is_being_written_is_not_taken_for_torn(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    journal.begin(CALL, [MS])
    with journal.path.open("ab") as file:
        file.write(b'{"type": "end", "activ')
    document = read_document(journal.folder, "ngc5921.ipynb", whole_lines=True)
    assert document.activities == (CALL,)
    assert caplog.messages == []
    assert read_session(journal.path).damaged == (3,)


def test_garbage_between_lines_is_counted_and_passed_over(journal: Journal) -> None:
    journal.begin(CALL)
    with journal.path.open("ab") as file:
        file.write(b'\xff\x00 no json\n{"type": "unheard of"}\n')
    journal.end(DONE, [MS])
    record = read_session(journal.path)
    assert record.damaged == (3, 4)
    assert record.activities == (DONE,)


def test_sessions_are_read_oldest_first(journal: Journal, tmp_path: Path) -> None:
    later = replace(SESSION, id="z-later", started_at="2026-05-02T10:00:00.000000+00:00")
    earlier = replace(SESSION, id="a-later-by-name", started_at="2026-04-02T10:00:00.000000+00:00")
    for session in (later, SESSION, earlier):
        Journal(tmp_path / "j", session).begin(replace(CALL, id=f"{session.id}/0001", session=session.id))
    assert [s.id for s in read_document(tmp_path / "j", "n").sessions] == [earlier.id, SESSION.id, later.id]


def test_no_journal_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="load_ext casaprov"):
        read_document(tmp_path / "nothing", "ngc5921.ipynb")


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"type": "close"}\n')
    with pytest.raises(JournalError, match="does not begin with a session"):
        read_document(tmp_path, "n")


def test_a_folder_that_cannot_be_written_is_a_journal_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with pytest.raises(JournalError, match="cannot be written"):
        Journal(blocker / "folder", SESSION).begin(CALL)


def test_a_tree_is_stored_once_under_its_digest(journal: Journal) -> None:
    digest = digest_bytes(b"content")
    journal.write_tree(digest, {"b": 1, "a": 2})
    journal.write_tree(digest, {"never": "written"})
    assert tree_path(journal.folder, digest).read_text() == '{"a":2,"b":1}'
    assert [path.name for path in (journal.folder / "trees").iterdir()] == [f"{digest[7:]}.json"]


@contextmanager
def space_for(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this size, as on a full disk: the write that crosses it is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_line_that_finds_no_space_leaves_nothing_of_itself(journal: Journal) -> None:
    journal.begin(CALL)
    before = journal.path.read_bytes()
    with space_for(len(before) + 10), pytest.raises(JournalError, match="cannot be written"):
        journal.end(DONE, [MS])
    assert journal.path.read_bytes() == before
    journal.end(DONE, [MS])
    assert read_session(journal.path).damaged == ()
    assert read_session(journal.path).activities == (DONE,)


def test_lines_that_found_no_space_are_written_when_there_is(journal: Journal) -> None:
    later = replace(CALL, id=f"{SESSION.id}/0002")
    journal.begin(CALL)
    with space_for(journal.path.stat().st_size + 10):
        for write, activity in ((journal.end, DONE), (journal.begin, later)):
            with pytest.raises(JournalError, match="as soon as there is space"):
                write(activity, [MS])
    journal.close("2026-05-01T10:00:03.000000+00:00")
    record = read_session(journal.path)
    assert record.activities == (DONE, later)
    assert record.session.closed
    assert record.damaged == ()


def test_a_journal_that_somebody_removed_is_written_again(journal: Journal) -> None:
    later = replace(CALL, id=f"{SESSION.id}/0002")
    journal.begin(CALL)
    journal.end(DONE, [MS])
    for _ in range(2):
        shutil.rmtree(journal.folder.parent)
        journal.begin(later)
    journal.close("2026-05-01T10:00:03.000000+00:00")
    record = read_session(journal.path)
    assert record.activities == (DONE, later)
    assert record.entities == (MS,)
    assert record.session.closed
    assert record.damaged == ()


def test_a_removed_journal_for_which_there_is_no_space_is_not_lost(journal: Journal) -> None:
    journal.begin(CALL)
    shutil.rmtree(journal.folder)
    with space_for(10), pytest.raises(JournalError):
        journal.end(DONE, [MS])
    journal.close("2026-05-01T10:00:03.000000+00:00")
    assert read_session(journal.path).activities == (DONE,)


def test_nothing_is_written_where_the_notebook_is_not_any_more(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    journal = Journal(old / ".casaprov" / "n", SESSION)
    journal.begin(CALL)
    old.rename(new)
    for write in (
        lambda: journal.end(DONE, [MS]),
        lambda: journal.write_log("0001-split", "log"),
        lambda: journal.write_tree(digest_bytes(b"content"), {}),
    ):
        with pytest.raises(JournalError, match=r"old was moved or removed.*[Rr]estart the kernel"):
            write()
    assert not old.exists()
    new.rename(old)
    journal.close("2026-05-01T10:00:03.000000+00:00")
    assert read_session(journal.path).activities == (DONE,)


def test_no_space_for_the_first_line_leaves_no_journal(journal: Journal) -> None:
    with space_for(10), pytest.raises(JournalError):
        journal.begin(CALL)
    assert list(journal.folder.iterdir()) == []


def test_a_line_after_a_torn_one_is_whole(journal: Journal) -> None:
    journal.begin(CALL)
    with journal.path.open("ab") as file:
        file.write(b'{"type":"begin","acti')
    journal.end(DONE, [MS])
    record = read_session(journal.path)
    assert record.damaged == (3,)
    assert record.activities == (DONE,)


@pytest.mark.parametrize("left", [b"", b'{"type":"session","for'])
def test_a_journal_without_a_line_is_passed_over_in_silence(
    journal: Journal, left: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    journal.begin(CALL)
    (journal.folder / "20260430T100000-000000.jsonl").write_bytes(left)
    assert read_document(journal.folder, "n").sessions == (SESSION,)
    assert journals(journal.folder) == (journal.path,)
    assert caplog.records == []


def test_a_folder_of_empty_journals_holds_no_record(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(JournalError, match="load_ext casaprov"):
        read_document(tmp_path, "ngc5921.ipynb")


def test_threads_may_store_the_same_tree(journal: Journal) -> None:
    large = {"columns": [str(number) for number in range(50_000)]}
    for content in (b"1", b"2", b"3", b"4"):
        with ThreadPoolExecutor(8) as pool:
            written = [pool.submit(journal.write_tree, digest_bytes(content), large) for _ in range(8)]
        assert [future.exception() for future in written] == [None] * 8
    assert len(list((journal.folder / "trees").iterdir())) == 4


@pytest.mark.parametrize("place", [".", "reduction", "../scratch"])
def test_folders_of_sessions_move_with_the_journal(tmp_path: Path, place: str) -> None:
    session = replace(SESSION, folder=str((tmp_path / "old" / "nb" / place).resolve()))
    journal = Journal(journal_folder(tmp_path / "old" / "nb" / "n.ipynb"), session)
    journal.begin(CALL)
    Path(session.folder).mkdir(exist_ok=True)
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    for there in ("old", "new"):
        folder = journal_folder(tmp_path / there / "nb" / "n.ipynb")
        (found,) = present_folders(folder, read_document(folder, "n.ipynb")).values()
        assert found.resolve() == (tmp_path / there / "nb" / place).resolve()


def test_a_folder_that_did_not_move_along_is_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "nb").mkdir()
    session = replace(SESSION, folder=str(tmp_path / "nb" / "scratch"))
    journal = Journal(journal_folder(tmp_path / "nb" / "n.ipynb"), session)
    journal.begin(CALL)
    assert present_folders(journal.folder, read_document(journal.folder, "n")) == {session.id: Path(session.folder)}


def test_journals_that_do_not_say_where_the_folder_lies_mean_that_of_the_notebook(tmp_path: Path) -> None:
    journal = Journal(journal_folder(tmp_path / "n.ipynb"), SESSION)
    journal.begin(CALL)
    first, rest = journal.path.read_text().split("\n", 1)
    journal.path.write_text(json.dumps({k: v for k, v in json.loads(first).items() if k != "place"}) + "\n" + rest)
    assert present_folders(journal.folder, read_document(journal.folder, "n")) == {SESSION.id: tmp_path}
