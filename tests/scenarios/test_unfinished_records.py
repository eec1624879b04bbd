"""Random sequences of calls and other changes: records that are finished later are the same."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from casaprov.digests.measurement import Measurement, measure
from casaprov.files.stamps import Stamps
from casaprov.recording.activities import DeclaredFiles
from casaprov.recording.finish_queue import FinishQueue
from casaprov.recording.write_guard import guard_writes
from casaprov.records.model import Document, Tier
from casaprov.tasks.calls import TaskCall, TaskResult
from recorded_files import HereDigester, Notebook, no_reader


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


@pytest.mark.long
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
