"""What was measured last is known at once, and on disk before the session ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from casaprov.digests.disk_cache import DigestCache
from casaprov.digests.memory_cache import RecentDigests

# As a kernel ends: its cache is closed when Python, by its version, begins no thread any more.
ENDING = """
import atexit, sys, time
from pathlib import Path
from casaprov.digests.disk_cache import DigestCache
from casaprov.digests.memory_cache import RecentDigests

def end():
    recent.put([("late", "now", 2)])
    recent.close()
    print(time.monotonic() - began < 2, DigestCache(path, max_bytes=10**6).get("late", "now"))

path = Path(sys.argv[1])
recent = RecentDigests(DigestCache(path, max_bytes=10**6))
began = time.monotonic()
atexit.register(end)
"""


class SlowDisk:
    """A cache that writes when the test asks it to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Event()
        self.entries: dict[str, tuple[str, Any]] = {}
        self.asked: list[str] = []
        self.written: list[int] = []

    def get(self, name: str, stamp: str) -> Any:
        self.asked.append(name)
        kept, value = self.entries.get(name, ("", None))
        return value if kept == stamp else None

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        self.begun.set()
        assert self.go.wait(10)
        found = {name: (stamp, value) for name, stamp, value in entries}
        self.written.append(len(found))
        self.entries |= found

    def size_bytes(self) -> int:
        return len(self.entries)

    def rest(self) -> None: ...

    def close(self) -> None:
        self.asked.append("close")


def _wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_was_put_is_known_before_it_is_on_disk_and_there_when_the_session_ends() -> None:
    disk = SlowDisk()
    recent = RecentDigests(disk)
    recent.put((name, "now", {"digest": name}) for name in ("a", "b"))
    assert recent.get("a", "now") == {"digest": "a"}
    assert not disk.entries
    assert not disk.asked
    disk.go.set()
    recent.close()
    assert set(disk.entries) == {"a", "b"}
    assert disk.asked == ["close"]


def test_another_stamp_is_looked_for_on_disk_once() -> None:
    disk = SlowDisk()
    disk.entries["a"] = ("then", 1)
    recent = RecentDigests(disk)
    assert recent.get("a", "now") is None
    assert [recent.get("a", "then"), recent.get("a", "then")] == [1, 1]
    assert disk.asked == ["a", "a"]


def test_what_changes_again_and_again_is_written_once() -> None:
    disk = SlowDisk()
    disk.go.set()
    recent = RecentDigests(disk, delay_s=1)
    for number in range(5):
        recent.put([("a", str(number), number), (str(number), "now", number)])
    assert not disk.written
    _wait_until(lambda: bool(disk.written))
    assert disk.written == [6]
    assert disk.entries["a"] == ("4", 4)
    recent.put([("b", "now", 1)])  # after it was written, the next one waits anew
    recent.close()
    assert disk.written == [6, 1]


def test_who_closes_waits_for_what_is_being_written() -> None:
    disk = SlowDisk()
    recent = RecentDigests(disk, delay_s=0)
    recent.put([("a", "now", 1)])
    assert disk.begun.wait(10)
    threading.Timer(0.2, disk.go.set).start()
    recent.close()
    assert disk.entries == {"a": ("now", 1)}
    assert disk.asked == ["close"]


def test_what_python_ends_before_it_is_written_is_written_when_it_is_closed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, tmp_path / "c.sqlite"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True 2\n", "")


def test_what_was_asked_for_longest_ago_leaves_memory_first() -> None:
    disk = SlowDisk()
    disk.go.set()
    recent = RecentDigests(disk)
    for number in range(2000):
        recent.put([(str(number), "now", number)])
        assert recent.get("0", "now") == 0
    assert [recent.get(name, "now") for name in ("1999", "1")] == [1999, 1]  # not on disk yet, or it would be lost
    assert not disk.asked
    recent.close()
    assert recent.get("0", "now") == 0
    assert disk.asked == ["close"]
    recent.get("2", "now")
    assert disk.asked == ["close", "2"]
    assert recent.size_bytes() == 2000


def test_without_a_disk_values_are_known_until_the_end() -> None:
    recent = RecentDigests(None, delay_s=0)
    recent.put([("a", "1", 2)])
    assert (recent.get("a", "1"), recent.get("a", "2"), recent.get("b", "1")) == (2, None, None)
    assert recent.size_bytes() == 0
    recent.close()


def test_a_cache_that_rests_has_written_all_and_holds_no_file_open(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    recent = RecentDigests(DigestCache(file, max_bytes=10**6))
    recent.put([("a", "now", 1)])
    recent.rest()
    assert file not in {path.resolve() for path in Path("/proc/self/fd").iterdir() if path.exists()}
    with closing(RecentDigests(DigestCache(file, max_bytes=10**6))) as another:
        assert another.get("a", "now") == 1
    recent.put([("b", "now", 2)])
    assert recent.get("b", "now") == 2
    recent.close()
