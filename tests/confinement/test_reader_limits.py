"""Limits of readers follow from what they read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casaprov.confinement.reader_limits import reader_limits, reader_watch
from casaprov.errors import UsageError


def test_a_large_file_may_take_longer_and_more_memory_than_a_small_one(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x" * 38_000)
    large.mkdir()
    (large / "part").write_bytes(os.urandom(20_000_000))
    few, many = reader_limits([small]), reader_limits([small, large])
    assert few.cpu is not None
    assert many.cpu is not None
    assert 60 <= few.cpu < 62
    assert 255 < many.cpu < 270
    assert few.memory == many.memory
    assert few.folder_size is None


def test_holes_of_a_file_allow_nothing(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10**12)
    assert reader_limits([tmp_path / "holes"]).cpu == pytest.approx(60, abs=5)


def test_what_is_not_there_has_limits_as_well(tmp_path: Path) -> None:
    assert reader_limits([tmp_path / "nothing"]).cpu == 60


def test_a_wrong_choice_is_told_at_once() -> None:
    with pytest.raises(UsageError):
        reader_watch(["memory=much"])
