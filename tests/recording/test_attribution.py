"""Whose file it is: a call is credited with nothing that other calls, notebooks or programs made meanwhile."""

from __future__ import annotations

import contextvars
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.crate import pack
from casaprov.crates.checking.validation import check_crate
from casaprov.crates.payload import PayloadPolicy, choose_payload, observed_items
from casaprov.digests.measurement import Measurement, measure
from casaprov.files import folder_view
from casaprov.files.stamps import settle
from casaprov.recording.attribution import _TICK_S, _births_of_children, _since_boot_s
from casaprov.records.model import Activity, Entity, Tier
from casaprov.tasks.calls import TaskResult
from change_reports import watched
from recorded_files import Notebook, no_reader

Record = tuple[Activity, tuple[Entity, ...]]


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    (tmp_path / "in.txt").write_text("raw")
    return Notebook(tmp_path)


@contextmanager
def colleague(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that was at work before, and writes a file for each line that it reads."""
    command = ["sh", "-c", 'echo ready; while read name; do eval "echo x > $name"; echo done; done']
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # The system tells births in ticks: one a tick before the call may count as one in it.
        while max(_births_of_children()) > _since_boot_s() - 3 * _TICK_S:
            os.sched_yield()
        yield process
        assert process.stdin is not None
        process.stdin.close()


def write(process: subprocess.Popen[str], name: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    process.stdout.readline()


def left(record: Record) -> list[str]:
    entities = {entity.id: entity.path for entity in record[1]}
    return [entities[usage.entity] for usage in record[0].generated]


@watched
def test_what_another_program_changes_is_told_and_is_no_product(notebook: Notebook) -> None:
    with colleague(notebook.folder) as process:
        call = notebook.begin("look", file="in.txt")
        write(process, "mynotes.txt")
        write(process, "in.txt")
        (notebook.folder / "own.txt").write_text("x")
        record = notebook.recorder.end(call, TaskResult())
        assert left(record) == ["own.txt"]
        assert record[0].observed == ("mynotes.txt",)
        assert record[0].problems == ()
        # The next call finds that its input was changed by no recorded call.
        again = notebook.recorder.end(notebook.begin("look", file="in.txt"), TaskResult())
    assert [entity.gap for entity in again[1]] == [True]


def test_what_a_program_makes_that_the_call_started_is_its_own(notebook: Notebook) -> None:
    call = notebook.begin("look", file="in.txt")
    subprocess.run(["sh", "-c", "echo x > by_child.txt"], cwd=notebook.folder, check=True)
    running = subprocess.Popen(
        ["sh", "-c", "echo x > by_daemon.txt; echo done; read end"],
        cwd=notebook.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with running:
        assert running.stdout is not None
        running.stdout.readline()
        record = notebook.recorder.end(call, TaskResult())
        assert running.stdin is not None
        running.stdin.close()
    assert left(record) == ["by_child.txt", "by_daemon.txt"]
    assert record[0].observed == ()


@watched
def test_a_program_that_a_thread_starts_for_the_call_is_its_own(notebook: Notebook) -> None:
    """IPython runs the programs of a cell in a thread that is there all the time."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        call = notebook.begin("look", file="in.txt")
        pool.submit(subprocess.run, ["touch", "by_child.txt"], cwd=notebook.folder, check=True).result()
        assert left(notebook.recorder.end(call, TaskResult())) == ["by_child.txt"]


@watched
def test_what_was_there_before_the_call_started_a_program_is_no_work_of_the_program(notebook: Notebook) -> None:
    with colleague(notebook.folder) as process:
        call = notebook.begin("look", file="in.txt")
        write(process, "theirs.txt")
        settle(notebook.folder / "theirs.txt")
        subprocess.run(["touch", "by_child.txt"], cwd=notebook.folder, check=True)
        record = notebook.recorder.end(call, TaskResult())
    assert left(record) == ["by_child.txt"]
    assert record[0].observed == ("theirs.txt",)


@watched
@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
def test_files_of_another_user_are_not_told_of(notebook: Notebook) -> None:
    with colleague(notebook.folder) as process:
        call = notebook.begin("look", file="in.txt")
        write(process, "theirs.txt")
        os.chown(notebook.folder / "theirs.txt", 12345, 12345)
        record = notebook.recorder.end(call, TaskResult())
    assert (left(record), record[0].observed) == ([], ())


@watched
def test_an_input_that_another_program_removes_is_not_deleted_by_the_call(notebook: Notebook) -> None:
    with colleague(notebook.folder) as process:
        call = notebook.begin("look", file="in.txt")
        write(process, "other; rm in.txt")
        record = notebook.recorder.end(call, TaskResult())
    assert record[0].deleted == ()


@watched
def test_of_many_files_in_a_folder_the_folder_is_named(notebook: Notebook) -> None:
    (notebook.folder / "weblog").mkdir()
    with colleague(notebook.folder) as process:
        call = notebook.begin("look", file="in.txt")
        write(process, "/dev/null; seq 150 | sed s,^,weblog/, | xargs touch; touch t.txt")
        record = notebook.recorder.end(call, TaskResult())
    assert record[0].observed == ("t.txt", "weblog")


@pytest.mark.parametrize("reported", [pytest.param(True, marks=watched), False])
def test_of_two_calls_at_once_each_has_what_it_declares(
    notebook: Notebook, reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reported:
        monkeypatch.setattr(folder_view, "_view_of", lambda _: None)
    names = ("a.txt", "b.txt")
    contexts = [contextvars.copy_context() for _ in names]
    calls = [c.run(notebook.begin, "copy", source="in.txt", target=n) for c, n in zip(contexts, names, strict=True)]
    for name in names:
        (notebook.folder / name).write_text(name)
    (notebook.folder / "whose.txt").write_text("x")
    records = [
        context.run(notebook.recorder.end, call, TaskResult()) for context, call in zip(contexts, calls, strict=True)
    ]
    assert list(map(left, records)) == [["a.txt"], ["b.txt"]]
    assert [record[0].observed for record in records] == [("whose.txt",), ("whose.txt",)]
    after = notebook.recorder.end(notebook.begin("look", file="in.txt"), TaskResult())
    assert after[0].observed == ()


@pytest.mark.parametrize("reported", [pytest.param(True, marks=watched), False])
def test_what_a_neighbouring_notebook_declares_is_its_own(
    notebook: Notebook, reported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reported:
        monkeypatch.setattr(folder_view, "_view_of", lambda _: None)
    monkeypatch.setattr("casaprov.recording.attribution.seconds", lambda _: time.time())
    neighbour = Notebook(notebook.folder, name="m", session="20260501T100000-fedcba")
    call = notebook.begin("look", file="in.txt")
    with_end = neighbour.begin("copy", source="in.txt", target="m.txt")
    subprocess.run(["sh", "-c", "echo x > m.txt; echo x > under_way.txt"], cwd=notebook.folder, check=True)
    neighbour.recorder.end(with_end, TaskResult())
    neighbour.begin("copy", source="in.txt", target="under_way.txt")
    record = notebook.recorder.end(call, TaskResult())
    assert left(record) == []
    assert record[0].observed == ()


@watched
def test_what_was_observed_is_shipped_if_it_is_asked_for(notebook: Notebook, tmp_path: Path) -> None:
    with colleague(notebook.folder) as process:
        call = notebook.begin("copy", source="in.txt", target="out.txt")
        write(process, "mynotes.txt")
        (notebook.folder / "out.txt").write_text("x")
        notebook.recorder.end(call, TaskResult())
    notebook.recorder.close()
    document = notebook.document()
    folders = {session.id: notebook.folder for session in document.sessions}
    (tmp_path / "n.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')

    def measured(path: Path, *, tier: Tier = "full") -> Measurement:
        return measure(path, no_reader, no_reader)

    policy = PayloadPolicy()
    items = choose_payload(document, folders, policy, measure=measured)
    assert "mynotes.txt" not in {item.entity.path for item in items}
    extra = observed_items(document, folders, policy, measured)
    assert [(item.entity.path, item.decision) for item in extra] == [("mynotes.txt", "shipped")]
    whole = replace(document, entities=(*document.entities, *(item.entity for item in extra)))
    out = tmp_path / "n.crate.zip"
    pack(whole, notebook=tmp_path / "n.ipynb", journal=notebook.journal.folder, items=(*items, *extra), out=out)
    assert check_crate(out) == ()
