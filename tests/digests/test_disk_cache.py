"""The cache of digests: found again, never wrong, bounded, made anew when it is damaged."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cache_users import write_and_read
from casaprov.digests.disk_cache import DigestCache


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "below" / "digests.sqlite"


def _open(file: Path | None, max_bytes: int = 10**7) -> closing[DigestCache]:
    return closing(DigestCache(file, max_bytes=max_bytes))


def test_what_was_put_is_found_under_its_stamp_only(file: Path) -> None:
    with _open(file) as cache:
        cache.put([("a", "1", {"x": [1, None]}), ("b", "1", "two")])
        assert cache.get("a", "1") == {"x": [1, None]}
        assert cache.get("a", "2") is None
        assert cache.get("c", "1") is None
        cache.put([("a", "2", "later")])
        assert (cache.get("a", "1"), cache.get("a", "2")) == (None, "later")
    with _open(file) as later:
        assert later.get("a", "2") == "later"


def test_names_of_any_bytes_have_a_place_and_cannot_be_read(file: Path) -> None:
    name = os.fsdecode(b"product:/data/\xff\xfe secret")
    with _open(file) as cache:
        cache.put([(name, "1", 1)])
        assert cache.get(name, "1") == 1
    assert b"secret" not in file.read_bytes()


def test_what_was_used_longest_ago_goes_first(file: Path) -> None:
    with _open(file, max_bytes=200_000) as cache:
        for n in range(60):
            cache.put([(f"n{n}", "1", os.urandom(5000).hex())])
            assert file.stat().st_size <= 200_000
        found = [n for n in range(60) if cache.get(f"n{n}", "1") is not None]
        assert found == list(range(found[0], 60))
        assert len(found) > 10


@pytest.mark.parametrize("damage", ["text", "middle", "empty", "truncated"])
def test_a_damaged_file_is_made_anew(file: Path, damage: str) -> None:
    with _open(file) as cache:
        cache.put([(f"n{n}", "1", "x" * 3000) for n in range(50)])
    data = bytearray(file.read_bytes())
    if damage == "text":
        data = bytearray(b"this is no database, it is a text file of somebody" * 100)
    elif damage == "middle":
        data[5000:-5000] = os.urandom(len(data) - 10_000)
    else:
        data = data[: len(data) // 2 if damage == "truncated" else 0]
    file.write_bytes(data)
    with _open(file) as cache:
        found = [cache.get(f"n{n}", "1") for n in range(50)]
        assert set(found) <= {None, "x" * 3000}
        cache.put([("new", "1", "value")])
        cache.put([("new", "1", "value")])
        assert cache.get("new", "1") == "value"


def test_a_value_that_was_changed_is_not_believed(file: Path) -> None:
    with _open(file) as cache:
        cache.put([("a", "1", "right"), ("b", "1", "wrong")])
    with closing(sqlite3.connect(file)) as connection, connection:
        values = [row[0] for row in connection.execute("SELECT value FROM entries")]
        connection.execute("UPDATE entries SET value = ?", (values[0],))
    with _open(file) as cache:
        assert {cache.get("a", "1"), cache.get("b", "1")} <= {None, "right", "wrong"}
        assert cache.get("a", "1") in (None, "right")
        assert cache.get("b", "1") in (None, "wrong")


def test_a_file_of_another_version_is_made_anew(file: Path) -> None:
    with _open(file) as cache:
        cache.put([("a", "1", 1)])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with _open(file) as cache:
        assert cache.get("a", "1") is None
        cache.put([("a", "1", 2)])
        assert cache.get("a", "1") == 2


@pytest.mark.parametrize("obstacle", ["a file in the way", "a folder in its place"])
def test_where_no_file_can_be_entries_are_kept_in_memory(tmp_path: Path, obstacle: str) -> None:
    if obstacle == "a file in the way":
        (tmp_path / "below").write_text("x")
        file = tmp_path / "below" / "digests.sqlite"
    else:
        file = tmp_path / "digests.sqlite"
        file.mkdir()
    with _open(file) as cache:
        cache.put([("a", "1", 1)])
        cache.put([("a", "1", 1)])
        assert cache.get("a", "1") == 1


def test_nobody_waits_twice_for_a_file_that_another_process_holds(file: Path) -> None:
    with _open(file) as cache:
        cache.put([("a", "1", 1)])
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            for _ in range(20):
                cache.get("a", "1")
                cache.put([("b", "1", 1)])
            assert time.monotonic() - began < 3
            assert cache.get("b", "1") == 1


def test_after_it_was_closed_nothing_is_found_and_nothing_raised(file: Path) -> None:
    cache = DigestCache(file, max_bytes=10**6)
    cache.put([("a", "1", 1)])
    cache.close()
    cache.put([("a", "1", 2)])
    assert cache.get("a", "1") is None


def test_processes_and_threads_share_it(file: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_and_read, args=(file, n)) for n in range(3)]
    for process in processes:
        process.start()
    threads = [threading.Thread(target=write_and_read, args=(file, 10 + n)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert stat.S_ISREG(file.stat().st_mode)


class CacheMachine(RuleBasedStateMachine):
    """Whatever happens, a value that is found is the last one that was put under this name and stamp."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = DigestCache(None, max_bytes=60_000)
        self.put: dict[str, tuple[str, Any]] = {}

    @rule(name=st.sampled_from("abcdef"), stamp=st.sampled_from("12"), size=st.integers(0, 20_000))
    def keep(self, name: str, stamp: str, size: int) -> None:
        value = [stamp, os.urandom(size).hex()]
        self.cache.put([(name, stamp, value)])
        self.put[name] = (stamp, value)

    @invariant()
    def found_is_what_was_put(self) -> None:
        for name in "abcdef":
            for stamp in "12":
                found = self.cache.get(name, stamp)
                assert found is None or self.put[name] == (stamp, found)
        assert self.cache.size_bytes() < 120_000

    def teardown(self) -> None:
        self.cache.close()


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=20, stateful_step_count=20)
