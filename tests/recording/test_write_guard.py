"""Code that is no call: it waits before it changes files that are still read."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from casaprov.recording.write_guard import guard_writes
from waiting_notebook import LONG_S, Waiting, digest_of, held, in_thread


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


def test_only_programs_of_the_read_only_thread_do_not_wait(waiting: Waiting) -> None:
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


def test_a_change_that_python_does_not_see_is_in_the_record(waiting: Waiting) -> None:
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
