"""Reading what strace wrote: which call opened, made and removed which file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["MARK", "Accesses", "command", "read_trace"]

MARK = "/casaprov-audit/running-"
"""Removing the directory of this name, followed by numbers of calls, says that these calls run from now on."""

_SYSCALLS = (
    "open", "openat", "openat2", "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat",
    "rmdir", "link", "linkat", "symlink", "symlinkat", "truncate", "chdir", "close",
)  # fmt: skip

# 1700000000.123456 openat(AT_FDCWD</tmp/x>, "a", O_RDONLY) = 3</tmp/x/a>
_LINE = re.compile(r"^(?P<time>\d+\.\d+) (?P<name>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_PATH = re.compile(r"(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?\"(?P<path>(?:[^\"\\]|\\.)*)\"")
_CLOSED = re.compile(r"\d+<(/[^>]*)>")


@dataclass
class Accesses:
    """What one call did to files, by absolute path.

    Attributes
    ----------
    held
        Files that were open already when it began: casacore need not open a table again that an earlier task
        left open.
    """

    read: set[Path] = field(default_factory=set)
    written: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)
    held: frozenset[Path] = frozenset()


@dataclass(frozen=True, order=True)
class _Event:
    time: float
    name: str
    paths: tuple[Path, ...]
    flags: str
    thread: int


def command(output: Path) -> list[str]:
    """Return the words to put before a command that is to be traced; each thread gets a file ``output.<id>``."""
    return ["strace", "-ff", "--seccomp-bpf", "-qq", "-y", "-ttt", "-e", f"trace={','.join(_SYSCALLS)}",
            "-e", "signal=none", "-o", str(output)]  # fmt: skip


def read_trace(output: Path, cwd: Path) -> dict[int, Accesses]:
    """Return what each call did; what happened between calls is left out."""
    events = sorted(event for file in output.parent.glob(f"{output.name}.*") for event in _events(file))
    calls: dict[int, Accesses] = {}
    running: tuple[int, ...] = ()
    held: Counter[Path] = Counter()
    own: dict[int, Path] = {}  # working directories of processes that changed theirs
    main = next((event.thread for event in events if str(event.paths[0]).startswith(MARK)), 0)
    for event in events:
        first = str(event.paths[0])
        here = own.get(event.thread, own.get(main, cwd))
        if first.startswith(MARK):
            running = tuple(map(int, filter(None, first.removeprefix(MARK).split("-"))))
            for number in running:
                calls.setdefault(number, Accesses(held=frozenset(+held)))
        elif event.name == "close":
            held[event.paths[0]] -= 1
        elif event.name == "chdir":
            own[event.thread] = Path(os.path.normpath(here / event.paths[0]))
        else:
            paths = tuple(Path(os.path.normpath(here / path)) for path in event.paths)
            if event.name.startswith(("open", "creat")):
                held[paths[0]] += 1
            for number in running:
                _note(calls[number], event, paths)
    return calls


def _note(call: Accesses, event: _Event, paths: tuple[Path, ...]) -> None:
    path = paths[0]
    if event.name.startswith(("open", "creat")):
        if "O_DIRECTORY" in event.flags or "O_PATH" in event.flags:
            return
        if "O_WRONLY" in event.flags or "O_RDWR" in event.flags or event.name == "creat":
            call.written.add(path)
        if "O_WRONLY" not in event.flags and "O_TRUNC" not in event.flags and event.name != "creat":
            call.read.add(path)
    elif event.name.startswith(("unlink", "rmdir")):
        call.removed.add(path)
    elif event.name.startswith("rename"):
        call.removed.add(path)
        call.written.add(paths[-1])
    else:
        call.written.add(paths[-1])


def _events(file: Path) -> Iterator[_Event]:
    thread = int(file.suffix[1:])
    with file.open(encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            found = _LINE.match(line)
            if found is None or (found["result"] == "-1" and MARK not in line):
                continue
            if found["name"] == "close":
                closed = _CLOSED.match(found["arguments"])
                if closed is not None:
                    yield _Event(float(found["time"]), "close", (Path(closed[1]),), "", thread)
                continue
            named = list(_PATH.finditer(found["arguments"]))
            if named:
                paths = tuple(Path(one["folder"] or "") / _unescaped(one["path"]) for one in named)
                flags = found["arguments"][named[-1].end() :]
                yield _Event(float(found["time"]), found["name"], paths, flags, thread)


def _unescaped(text: str) -> str:
    """Undo strace's octal and C escapes."""
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1").decode("utf-8")
