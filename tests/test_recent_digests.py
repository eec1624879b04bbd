"""What was measured last is known at once, and on disk before the session ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from casaprov.recent_digests import RecentDigests


class SlowDisk:
    """A cache that writes when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entries: dict[str, tuple[str, Any]] = {}
        self.asked: list[str] = []

    def get(self, name: str, stamp: str) -> Any:
        self.asked.append(name)
        kept, value = self.entries.get(name, ("", None))
        return value if kept == stamp else None

    def put(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        assert self.go.wait(10)
        self.entries |= {name: (stamp, value) for name, stamp, value in entries}

    def forget(self, name: str) -> None:
        self.entries.pop(name, None)

    def size_bytes(self) -> int:
        return len(self.entries)

    def close(self) -> None:
        self.asked.append("close")


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


def test_what_is_forgotten_is_so_although_it_was_still_to_be_kept() -> None:
    disk = SlowDisk()
    recent = RecentDigests(disk)
    recent.put([("a", "now", 1)])
    threading.Timer(0.05, disk.go.set).start()
    recent.forget("a")
    assert recent.get("a", "now") is None
    assert not disk.entries


def test_what_was_asked_for_longest_ago_leaves_memory_first() -> None:
    disk = SlowDisk()
    disk.go.set()
    recent = RecentDigests(disk)
    for number in range(2000):
        recent.put([(str(number), "now", number)])
        assert recent.get("0", "now") == 0
    assert recent.get("1999", "now") == 1999
    assert not disk.asked
    recent.get("1", "now")
    assert disk.asked == ["1"]
    recent.close()
    assert recent.size_bytes() == 2000
