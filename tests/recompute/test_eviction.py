"""Eviction: the limits hold, what is dear to compute stays longer, and nothing that is left lacks a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.hashing import Digest
from casaprov.recompute.store.eviction import Kept, Limits, choose, evict, kept_results
from casaprov.recompute.store.manifest import Entry, Manifest
from casaprov.recompute.store.results import Miss, Store
from stored_results import a_key, a_manifest, keep, write_tree

NOW = 1_000_000.0


def a_result(
    name: str, *, idle: float = 10, seconds: float = 10, size: int = 100, pinned: bool = False, **sizes: int
) -> Kept:
    entry = Entry(
        key=a_key(name), computed_by=name, computed_at="", seconds=seconds, task="", notebook="", aliases=(),
        contents=a_key(name), sizes={a_key(name): size, **{Digest(other): taken for other, taken in sizes.items()}},
    )  # fmt: skip
    return Kept(entry=entry, path=Path(name), used_s=NOW - idle, own_bytes=0, is_pinned=pinned)


def dropped(*results: Kept, limits: Limits) -> list[str]:
    return [kept.entry.computed_by for kept in choose(results, now_s=NOW, limits=limits)]


def test_what_was_used_longest_ago_goes_first() -> None:
    results = [a_result("new", idle=1), a_result("old", idle=3), a_result("older", idle=5)]
    assert dropped(*results, limits=Limits(200)) == ["older"]
    assert dropped(*results, limits=Limits(100)) == ["older", "old"]
    assert dropped(*results, limits=Limits(300)) == []


def test_what_took_long_to_compute_stays_longer() -> None:
    assert dropped(a_result("dear", idle=20, seconds=1000), a_result("cheap", idle=10), limits=Limits(100)) == ["cheap"]
    assert dropped(a_result("dear", idle=2000, seconds=1000), a_result("cheap", idle=1), limits=Limits(100)) == ["dear"]


def test_files_that_others_need_as_well_free_nothing() -> None:
    shared = [a_result(name, idle=idle, size=1, base=1000) for name, idle in (("a", 3), ("b", 2), ("c", 1))]
    assert dropped(*shared, limits=Limits(1002)) == ["a"]
    assert dropped(*shared, limits=Limits(1000)) == ["a", "b", "c"]


def test_what_is_too_old_goes_whatever_the_size() -> None:
    assert dropped(a_result("old", idle=11), a_result("new", idle=9), limits=Limits(max_age_s=10)) == ["old"]


def test_pinned_results_stay() -> None:
    results = [a_result("pinned", idle=100, pinned=True), a_result("new", idle=1)]
    assert dropped(*results, limits=Limits(100, 50)) == ["new"]
    assert dropped(*results, limits=Limits(0, 50)) == ["new"]


@given(
    st.lists(st.tuples(*[st.integers(1, 50)] * 3, st.booleans(), st.integers(0, 4)), max_size=12), st.integers(0, 500)
)
def test_the_limit_holds_and_no_more_than_needed_goes(
    drawn: list[tuple[int, int, int, bool, int]], max_bytes: int
) -> None:
    results = [
        a_result(str(number), idle=idle, seconds=seconds, size=size, pinned=pinned, **{f"shared{shared}": 40})
        for number, (idle, seconds, size, pinned, shared) in enumerate(drawn)
    ]
    gone = choose(results, now_s=NOW, limits=Limits(max_bytes))

    def size(kept: list[Kept]) -> int:
        return sum({digest: taken for each in kept for digest, taken in each.entry.sizes.items()}.values())

    left = [kept for kept in results if kept not in gone]
    assert all(kept.is_pinned for kept in left) or size(left) <= max_bytes
    assert not any(kept.is_pinned for kept in gone)
    if gone:
        assert size([*left, gone[-1]]) > max_bytes


# -- in a folder -------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def keep_one(store: Store, tmp_path: Path, name: str) -> Manifest:
    product = write_tree(tmp_path / name, **{"table.f1": name * 100, "table.f2": "the same"})
    return keep(store, {name: product}, a_manifest(name, aliases=(a_key(f"{name} as well"),)))


def test_a_dropped_result_takes_its_files_names_and_pin_along(store: Store, tmp_path: Path) -> None:
    first, second = keep_one(store, tmp_path, "first"), keep_one(store, tmp_path, "second")
    store.folder.pin(a_key("of a result that is gone")).touch()
    store.folder.result(first.key).touch()
    used = store.folder.result(first.key).stat().st_mtime
    objects = len(list(store.folder.objects()))
    evicted = evict(store.folder, now_s=used + 10, limits=Limits(evictable(store)))
    assert [entry.key for entry in evicted.results] == [second.key]
    assert evicted.objects == 1
    assert evicted.freed_bytes > 600
    assert len(list(store.folder.objects())) == objects - 1
    assert store.lookup(a_key("first as well")) == first
    assert isinstance(store.lookup(a_key("second as well")), Miss)
    assert store.folder.pins() == frozenset()
    assert len(list(store.folder.aliases())) == 1


def evictable(store: Store) -> int:
    """One byte less than all that is in a store."""
    results, _ = kept_results(store.folder)
    sizes = {digest: size for kept in results for digest, size in kept.entry.sizes.items()}
    return sum(sizes.values()) + sum(kept.own_bytes for kept in results) - 1


def test_files_that_no_result_names_are_dropped(store: Store, tmp_path: Path) -> None:
    kept = keep_one(store, tmp_path, "first")
    orphan = store.folder.object(a_key("orphan"))
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_text("a writer was killed")
    (store.folder.result(a_key("damaged")).parent).mkdir(exist_ok=True)
    store.folder.result(a_key("damaged")).write_text("{")
    evicted = evict(store.folder, now_s=NOW, limits=Limits())
    assert (evicted.objects, evicted.results) == (1, ())
    assert not orphan.exists()
    assert store.lookup(kept.key) == kept


def test_keeping_drops_what_is_beyond_the_limit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", limits=Limits(4000))
    for number in range(8):
        keep_one(store, tmp_path, f"call{number}")
        results, _ = kept_results(store.folder)
        assert sum({d: s for k in results for d, s in k.entry.sizes.items()}.values()) < 4000
    assert isinstance(store.lookup(a_key("call0")), Miss)
    assert isinstance(store.lookup(a_key("call7")), Manifest)


def test_folders_of_writers_at_work_stay_and_those_of_dead_ones_go(store: Store, tmp_path: Path) -> None:
    product = write_tree(tmp_path / "a", a="b")
    captured = store.capture({"a": product}, 10)
    dead = store.folder.path / "part" / "dead"
    dead.mkdir()
    dead.with_name("dead.lock").touch()
    orphan = store.folder.path / "part" / "orphan"
    orphan.mkdir()
    (dead / "0").write_text("half a file")
    evict(store.folder, now_s=NOW, limits=Limits())
    assert captured.part.path.exists()
    assert not dead.exists()
    assert not orphan.exists()
    store.discard(captured)
