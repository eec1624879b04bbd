"""States that no task can make again: copies beside the journal, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casaprov.hashing import digest_bytes
from casaprov.journal.kept_states import KeptStates, kept_state
from casaprov.records.model import Entity


def a_state(name: str) -> Entity:
    return Entity(id=f"s/{name}", path=name, kind="Table", content_digest=digest_bytes(name.encode()), size_bytes=9)


def a_table(folder: Path, name: str, size: int = 1000) -> Path:
    path = folder / name
    (path / "ANTENNA").mkdir(parents=True)
    (path / "table.dat").write_bytes(b"x" * size)
    (path / "ANTENNA" / "table.f0").write_bytes(name.encode())
    return path


def test_a_table_is_kept_whole_and_a_later_change_of_the_original_does_not_reach_it(tmp_path: Path) -> None:
    table, state = a_table(tmp_path, "n.ms"), a_state("n.ms")
    kept = KeptStates(tmp_path / "journal", lambda: 10**6)
    assert kept.keep(table, state)
    (table / "ANTENNA" / "table.f0").write_bytes(b"other")
    copy = kept_state(tmp_path / "journal", state.content_digest)
    assert copy is not None
    assert (copy / "ANTENNA" / "table.f0").read_bytes() == b"n.ms"
    assert sorted(p.name for p in copy.iterdir()) == ["ANTENNA", "table.dat"]
    assert kept.keep(table, state)  # by its content: it is not copied again
    assert (copy / "ANTENNA" / "table.f0").read_bytes() == b"n.ms"


@pytest.mark.parametrize("limit", [0, 999])
def test_what_is_larger_than_the_limit_is_not_copied(tmp_path: Path, limit: int) -> None:
    table, state = a_table(tmp_path, "n.ms"), a_state("n.ms")
    assert not KeptStates(tmp_path / "journal", lambda: limit).keep(table, state)
    assert kept_state(tmp_path / "journal", state.content_digest) is None


def test_a_table_with_a_link_in_it_leaves_nothing(tmp_path: Path) -> None:
    table, state = a_table(tmp_path, "n.ms"), a_state("n.ms")
    (table / "out").symlink_to("/etc")
    assert not KeptStates(tmp_path / "journal", lambda: 10**6).keep(table, state)
    assert list((tmp_path / "journal" / "kept").iterdir()) == []


def test_what_changes_while_it_is_copied_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, state = a_table(tmp_path, "n.ms"), a_state("n.ms")
    kept = KeptStates(tmp_path / "journal", lambda: 10**6)
    copy = kept._copy

    def copy_slowly(source: Path, target: Path) -> None:
        copy(source, target)
        if source == table:
            (table / "late").write_bytes(b"")

    monkeypatch.setattr(kept, "_copy", copy_slowly)
    assert not kept.keep(table, state)
    assert list((tmp_path / "journal" / "kept").iterdir()) == []


def test_copies_that_were_used_longest_ago_make_room(tmp_path: Path) -> None:
    kept = KeptStates(tmp_path / "journal", lambda: 1100)
    states = [a_state(f"{number}.ms") for number in range(12)]
    for age, state in enumerate(states):
        assert kept.keep(a_table(tmp_path, state.path), state)
        place = kept_state(tmp_path / "journal", state.content_digest)
        assert place is not None
        os.utime(place, (age, age))
    present = [state.path for state in states if kept_state(tmp_path / "journal", state.content_digest)]
    assert present == [state.path for state in states[-len(present) :]]
    assert 9 <= len(present) < len(states)
