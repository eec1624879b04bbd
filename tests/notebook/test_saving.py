"""The server extension: saving a notebook brings the index along, and is never stopped or delayed by it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager, LargeFileManager
from nbformat import sign

from casaprov.journal.writer import Journal
from casaprov.notebook import server
from casaprov.notebook.bundle import BUNDLE_MIME
from casaprov.notebook.index import sync_notebook
from casaprov.notebook.journals import Journals
from casaprov.records.model import Activity
from casaprov.records.schema import validate_record
from sample_records import Reduction, journaled

SESSION = "20260501-a1b2"
NAME = "my reduction.ipynb"


@pytest.fixture(autouse=True)
def signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep signatures of notebooks in memory, not beside the user's in a database that is never closed."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setattr(sign, "SQLiteSignatureStore", lambda _file: sign.MemorySignatureStore())


@pytest.fixture
def sample(tmp_path: Path) -> Reduction:
    return journaled(tmp_path / "nb")


@pytest.fixture
def contents(sample: Reduction) -> Any:
    return _extended(LargeFileManager(root_dir=str(sample.folder)))


def _extended(contents: Any, wait_s: float | None = None) -> Any:
    if wait_s is None:
        started(SimpleNamespace(contents_manager=contents))
    else:
        contents.register_pre_save_hook(server.SaveHook(wait_s))
    return contents


def started(serving: Any, load_others: Callable[[], None] = lambda: None) -> None:
    """Start a server with its extensions: casaprov's first, by its name."""
    later: list[Callable[[], None]] = []
    serving.io_loop = SimpleNamespace(add_callback=later.append)
    server._load_jupyter_server_extension(serving)
    load_others()
    for callback in later:
        callback()


def cell(name: str, *sessions: str) -> dict[str, Any]:
    outputs = [
        {"output_type": "display_data", "metadata": {}, "data": {BUNDLE_MIME: {"session": session, "calls": []}}}
        for session in sessions
    ]
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "source": f"# {name}",
        "outputs": outputs,
        "execution_count": None,
    }


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def save(contents: Any, content: dict[str, Any], name: str = NAME) -> dict[str, Any]:
    """Save as a front end does, and return the metadata in the file."""
    done = contents.save({"type": "notebook", "format": "json", "content": content}, name)
    if asyncio.iscoroutine(done):
        asyncio.run(done)
    written: dict[str, Any] = json.loads((Path(contents.root_dir) / name).read_text())["metadata"]
    nbformat.validate(nbformat.read(Path(contents.root_dir) / name, as_version=4))
    return written


def calls(metadata: dict[str, Any]) -> list[str]:
    validate_record(metadata["casaprov"], "notebook-metadata-1")
    return [call["id"] for call in metadata["casaprov"]["calls"]]


def other_session(sample: Reduction, name: str, *activities: Activity) -> Journal:
    session = replace(sample.document.sessions[0], id=name, started_at="2026-06-01T10:00:00+00:00")
    journal = Journal(sample.journal, session)
    for number, activity in enumerate(activities, start=1):
        journal.end(replace(activity, id=f"{name}/{number:04d}", session=name, used=(), generated=(), log=None))
    return journal


@pytest.mark.parametrize("kind", [LargeFileManager, AsyncLargeFileManager])
def test_saving_writes_the_index_that_sync_writes(sample: Reduction, kind: type) -> None:
    contents = _extended(kind(root_dir=str(sample.folder)))
    written = save(contents, notebook(cell("cell-2", SESSION)))
    assert len(calls(written)) == len(sample.document.activities)
    assert written["casaprov"]["calls"][1]["cell"] == "cell-2"
    assert sync_notebook(sample.notebook) == written["casaprov"]


def test_saving_twice_is_saving_once(contents: Any, sample: Reduction) -> None:
    save(contents, notebook(cell("a", SESSION)))
    before = sample.notebook.read_bytes()
    save(contents, json.loads(before))
    assert sample.notebook.read_bytes() == before


def test_a_contents_manager_that_another_extension_puts_in_its_place_saves_the_index(sample: Reduction) -> None:
    serving = SimpleNamespace(contents_manager=LargeFileManager(root_dir=str(sample.folder)))
    other = LargeFileManager(root_dir=str(sample.folder))
    started(serving, lambda: setattr(serving, "contents_manager", other))
    assert len(calls(save(other, notebook(cell("a", SESSION))))) == len(sample.document.activities)


def test_what_was_recorded_since_is_in_the_next_save(contents: Any, sample: Reduction) -> None:
    before = calls(save(contents, notebook(cell("a", SESSION))))
    last = replace(sample.document.activities[1], id=f"{SESSION}/0009")
    Journal(sample.journal, sample.document.sessions[0]).end(last)
    assert calls(save(contents, notebook(cell("a", SESSION)))) == [*before, last.id]


def test_a_notebook_without_casaprov_is_left_alone(contents: Any, sample: Reduction) -> None:
    assert save(contents, notebook(cell("x"), kept=1), "plain.ipynb") == {"kept": 1}
    # the journals of a notebook that once had this name are not its own
    assert save(contents, notebook(cell("x"))) == {}
    assert not (sample.folder / ".casaprov" / "plain").exists()


def test_a_notebook_with_cleared_outputs_keeps_its_index(contents: Any, sample: Reduction) -> None:
    # A front end holds the metadata as it loaded them: the index of the last save is not among them.
    assert len(calls(save(contents, notebook(cell("cell-1"), cell("cell-2"))))) == len(sample.document.activities)


def test_a_renamed_and_a_copied_notebook_find_their_journal(contents: Any, sample: Reduction) -> None:
    written = save(contents, notebook(cell("a", SESSION)), "renamed.ipynb")
    assert written["casaprov"]["sessions"][0]["journal"] == f".casaprov/{sample.notebook.stem}/{SESSION}.jsonl"
    assert len(calls(written)) == len(sample.document.activities)
    # also when its outputs were cleared after the rename
    assert calls(save(contents, notebook(cell("a"), **written), "renamed.ipynb")) == calls(written)


def test_sessions_before_and_after_a_rename_are_both_there(contents: Any, sample: Reduction) -> None:
    renamed = replace(sample, journal=sample.folder / ".casaprov" / "renamed")
    other_session(renamed, "20260601-ffff", sample.document.activities[1])
    found = calls(save(contents, notebook(cell("a", SESSION), cell("b", "20260601-ffff")), "renamed.ipynb"))
    assert found == [*(a.id for a in sample.document.activities), "20260601-ffff/0001"]


def test_a_copy_without_its_journal_keeps_what_the_index_says(contents: Any, sample: Reduction, tmp_path: Path) -> None:
    written = save(contents, notebook(cell("a", SESSION)))
    away = _extended(LargeFileManager(root_dir=str(tmp_path)))
    (tmp_path / "away").mkdir()
    assert save(away, notebook(cell("a", SESSION), **written), "away/copy.ipynb") == written
    # and calls of a new session are added to them
    here = replace(sample, journal=tmp_path / "away" / ".casaprov" / "copy")
    other_session(here, "20260601-ffff", sample.document.activities[1])
    again = save(away, notebook(cell("a", SESSION), cell("b", "20260601-ffff"), **written), "away/copy.ipynb")
    assert calls(again) == [*calls(written), "20260601-ffff/0001"]


def test_the_users_own_hook_runs_as_well(contents: Any) -> None:
    def own(model: dict[str, Any], path: str, contents_manager: Any) -> None:
        model["content"]["metadata"]["own"] = path

    contents.pre_save_hook = own
    written = save(contents, notebook(cell("a", SESSION)))
    assert written["own"] == NAME
    assert calls(written)


@pytest.mark.parametrize(
    "index",
    ["mine", 3, [], {"theirs": True}, {"format": "casaprov/notebook-metadata/2", "calls": {}}],
)
def test_what_others_wrote_there_stays(contents: Any, index: Any) -> None:
    assert save(contents, notebook(cell("a", SESSION), casaprov=index))["casaprov"] == index


@pytest.mark.parametrize(
    "facts",
    [{"calls": 3}, {"sessions": [3], "calls": [{"id": 3}]}, {"sessions": [{"id": "../../x"}], "calls": []}],
)
def test_a_damaged_index_is_replaced_or_left(contents: Any, facts: dict[str, Any]) -> None:
    index = {"format": "casaprov/notebook-metadata/1", **facts}
    assert save(contents, notebook(cell("a"), casaprov=index), "other.ipynb")["casaprov"] == index
    assert calls(save(contents, notebook(cell("a", SESSION), casaprov=index)))


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\xfe", b"{}\n", b"[" * 100_000 + b"\n", b'{"type": "session", "session": 3}\n'],
)
def test_a_journal_that_is_damaged_from_its_start_stops_no_save(
    contents: Any, sample: Reduction, damage: bytes
) -> None:
    (sample.journal / f"{SESSION}.jsonl").write_bytes(damage)
    assert save(contents, notebook(cell("a", SESSION), kept=1)) == {"kept": 1}


def test_of_a_journal_with_damaged_lines_the_rest_is_used(contents: Any, sample: Reduction) -> None:
    path = sample.journal / f"{SESSION}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], b"\xff broken\n", *lines[3:-2], lines[-2][:50]]))
    assert len(calls(save(contents, notebook(cell("a", SESSION))))) == len(sample.document.activities) - 1


def test_a_line_that_is_being_written_is_read_when_it_is_whole(sample: Reduction) -> None:
    path = sample.journal / f"{SESSION}.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    following = Journals()
    assert following.read([path])[0].calls[-1][0].outcome == "unfinished"
    with path.open("ab") as file:
        file.write(data[-20:])
    assert following.read([path])[0].calls[-1][0].outcome == "completed"
    path.write_bytes(data[: len(data) // 2])  # another file under the same name
    assert len(following.read([path])[0].calls) < len(sample.document.activities)


@pytest.mark.parametrize(
    "content",
    [
        {"cells": 3, "metadata": {}},
        {"cells": [{"cell_type": "code", "outputs": [3, {"data": {BUNDLE_MIME: 3}}], "source": [3]}], "metadata": {}},
        {"cells": [], "metadata": 3},
        {"worksheets": [], "metadata": {}, "nbformat": 3},
        {},
    ],
)
def test_odd_notebooks_come_through_the_hook_as_they_are(
    sample: Reduction, content: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    before = json.dumps(content)
    manager = LargeFileManager(root_dir=str(sample.folder))
    server.SaveHook()({"type": "notebook", "content": content}, NAME, manager)
    assert json.dumps(content) == before
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_other_files_are_not_looked_at(contents: Any, sample: Reduction) -> None:
    contents.save({"type": "file", "format": "text", "content": "x"}, "a.txt")
    contents.save({"type": "directory"}, "folder")
    assert (sample.folder / "a.txt").read_text() == "x"


def test_a_failure_is_logged_and_the_notebook_saved(
    contents: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_given: Any) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr("casaprov.notebook.server.lift", fail)
    assert save(contents, notebook(cell("a", SESSION), kept=1)) == {"kept": 1}
    assert "my reduction.ipynb is saved without its index (MemoryError: no memory)" in caplog.text


def test_a_journal_on_a_file_system_that_hangs_delays_a_save_once(sample: Reduction) -> None:
    (sample.journal / f"{SESSION}.jsonl").rename(sample.folder / "journal")
    os.mkfifo(sample.journal / f"{SESSION}.jsonl")  # whoever opens it waits for a writer
    contents = _extended(LargeFileManager(root_dir=str(sample.folder)), wait_s=0.2)
    took = []
    for _ in range(3):
        start = time.monotonic()
        assert save(contents, notebook(cell("a", SESSION), kept=1)) == {"kept": 1}
        took.append(time.monotonic() - start)
    assert 0.2 <= took[0] < 5
    assert sum(took[1:]) < took[0] + 0.2
    # It answers at last; who reads may have had enough before all is written.
    with contextlib.suppress(BrokenPipeError), (sample.journal / f"{SESSION}.jsonl").open("wb") as pipe:
        pipe.write((sample.folder / "journal").read_bytes())
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "casaprov-index"][-1:] == [True]


def test_a_long_journal_is_read_once_and_then_only_its_end(sample: Reduction) -> None:
    activity = replace(sample.document.activities[1], used=(), generated=())
    journal = other_session(sample, "20260601-ffff", *[activity] * 1000)
    hook = server.SaveHook(wait_s=60)
    manager = LargeFileManager(root_dir=str(sample.folder))
    took = []
    for number in range(1001, 1004):
        journal.end(replace(activity, id=f"20260601-ffff/{number}", session="20260601-ffff"))
        content = notebook(cell("a", "20260601-ffff"))
        start = time.monotonic()
        hook({"type": "notebook", "content": content}, NAME, manager)
        took.append(time.monotonic() - start)
        assert len(content["metadata"]["casaprov"]["calls"]) == number
    assert min(took[1:]) < took[0] / 4


def test_the_extension_is_enabled_by_being_installed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jupyter", "server", "extension", "list"]
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), "NO_COLOR": "1"}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "casaprov.notebook.server" in told.stdout + told.stderr
    assert "casaprov.notebook.server 0." in told.stdout + told.stderr
