"""Stat stamps, and when they can be trusted."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.files.kinds import is_table
from casaprov.files.stamps import Stamps, StatStamp, is_self_contained, is_settled, settle, stamp
from table_folders import lock_with, table_folder


def _taken(written_ns: int, taken_ns: int) -> Stamps:
    return Stamps((("", StatStamp(1, 0, written_ns, 7)),), taken_ns, linked=False)


def test_an_unchanged_file_keeps_its_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    assert stamp(file) == stamp(file)
    assert hash(stamp(file)) == hash(stamp(file))
    assert stamp(file).size_bytes == 1


def test_nothing_has_a_false_stamp(tmp_path: Path) -> None:
    assert not stamp(tmp_path / "missing")


@pytest.mark.parametrize("change", ["rewrite", "grow", "replace", "touch"])
def test_every_change_of_a_file_changes_its_stamp(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a"
    file.write_text("old")
    before = settle(file)
    assert before is not None
    if change == "rewrite":
        file.write_text("new")
    elif change == "grow":
        file.write_text("longer")
    elif change == "replace":
        times = file.stat()
        (tmp_path / "b").write_text("new")
        os.utime(tmp_path / "b", ns=(times.st_atime_ns, times.st_mtime_ns))
        (tmp_path / "b").rename(file)
    else:
        os.utime(file, ns=(0, before.files[0][1].mtime_ns))
    assert stamp(file) != before


def test_the_lock_of_a_table_does_not_count_and_its_columns_do(tmp_path: Path) -> None:
    table = table_folder(tmp_path / "x.ms")
    table_folder(table / "ANTENNA")
    before = settle(table)
    assert before is not None
    (table / "table.lock").write_bytes(b"opened for writing")
    (table / "ANTENNA" / "table.lock").unlink()
    assert stamp(table) == before
    (table / "ANTENNA" / "table.f0").write_bytes(b"other")
    assert stamp(table).changed_since(before) == ("ANTENNA/table.f0",)


def test_the_rows_in_a_lock_count_and_its_requests_do_not(tmp_path: Path) -> None:
    table = table_folder(tmp_path / "x.ms")
    lock = table_folder(table / "POLARIZATION") / "table.lock"
    lock.write_bytes(lock_with(1))
    before = stamp(table)
    size_bytes = before.size_bytes
    lock.write_bytes(lock_with(1, b"who waits for the table"))
    assert stamp(table) == before
    lock.write_bytes(lock_with(2))
    assert stamp(table).changed_since(before) == ("POLARIZATION/table.lock",)
    lock.unlink()
    assert stamp(table).changed_since(before) == ("POLARIZATION/table.lock",)
    assert stamp(table).size_bytes == size_bytes
    os.mkfifo(lock)
    assert not stamp(table).changed_since(stamp(table))


def test_a_fresh_stamp_is_not_trusted() -> None:
    written = 5_000_123_456
    assert not is_settled(_taken(written, written + 9_000_000))
    assert is_settled(_taken(written, written + 11_000_000))
    soon = _taken(written, written + 2_000_000)
    assert is_settled(soon, 1_000_000)
    assert not is_settled(replace(soon, linked=True), 1_000_000)  # it may lie on another file system


def test_links_are_seen(tmp_path: Path) -> None:
    table = table_folder(tmp_path / "x.ms")
    assert not stamp(table).linked
    (table / "SUB").mkdir()
    (table / "SUB" / "table.f0").symlink_to(table / "table.f0")
    assert stamp(table).linked


def test_whole_seconds_tell_a_coarse_file_system() -> None:
    # FAT: the next step begins after two seconds, and up to a tick
    assert not is_settled(_taken(5_000_000_000, 7_005_000_000))
    assert is_settled(_taken(5_000_000_000, 7_015_000_000))


def test_a_write_right_after_settling_shows(tmp_path: Path) -> None:
    # Without settling, a good part of these rewrites within one clock step of the file system would not show.
    file = tmp_path / "a"
    for turn in range(20):
        file.write_text("old")
        before = settle(file)
        file.write_text("new")
        assert before is not None
        assert stamp(file) != before, f"turn {turn}"


def test_settling_waits_no_longer_than_needed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    began = time.monotonic()
    assert settle(file) is not None
    assert time.monotonic() - began < 1.0


def test_files_from_the_future_never_settle_and_are_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    waited: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: 0)
        assert settle(file, sleep=waited.append, timeout_s=0.1) is None
    assert waited == []  # nobody waits for a time that does not come


def test_selections_and_linked_folders_are_not_self_contained(tmp_path: Path) -> None:
    table = table_folder(tmp_path / "x.ms")
    assert is_self_contained(table, stamp(table))
    selection = table_folder(tmp_path / "selected.ms", b"RefTable")
    assert not is_self_contained(selection, stamp(selection))
    (table / "SOURCE").symlink_to(selection)
    assert not is_self_contained(table, stamp(table))
    single = tmp_path / "file"
    single.write_text("x")
    assert is_self_contained(single, stamp(single))


def test_nothing_is_where_no_name_can_be(tmp_path: Path) -> None:
    assert not stamp(tmp_path / ("x" * 300))
    assert not is_table(tmp_path / ("x" * 300))
