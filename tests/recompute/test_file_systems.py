"""File systems: clones where they can be made, copies elsewhere, and nothing lost on full or read-only ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.errors import NotKept, NotRestored
from casaprov.files.copying import can_clone
from casaprov.recompute.restore import restore
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from mounted import mounted
from stored_results import a_key, a_manifest, keep, recorded, tree, write_tree

CLONES = {"xfs": True, "btrfs": True, "ext4": False, "tmpfs": False}


@pytest.fixture(params=CLONES)
def file_system(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    with mounted(request.param, tmp_path) as folder:
        yield request.param, folder


def a_product(folder: Path) -> Path:
    path = write_tree(folder / "w.ms", **{"table.f1": "data" * 5000, "SUB_table.f0": "below", "table.lock": "rows"})
    with (path / "sparse").open("wb") as file:
        file.truncate(3 * 2**20)
        file.seek(2**20)
        file.write(b"island")
    return path


def test_products_are_cloned_or_copied_and_come_back(file_system: tuple[str, Path]) -> None:
    kind, folder = file_system
    notices: list[str] = []
    store = Store(folder / "store", on_notice=notices.append)
    product = a_product(folder)
    before = tree(product)
    assert can_clone(folder) == CLONES[kind]
    captured = store.capture({"w.ms": product}, 10)
    assert (captured.copied_bytes == 0) == CLONES[kind]
    store.keep(captured, a_manifest(), recorded(captured, {"w.ms": product}))
    assert ["cannot be cloned by the file system" in notice for notice in notices] == [] if CLONES[kind] else [True]
    found = store.lookup(a_key("call"))
    assert isinstance(found, Manifest)
    for change in ("missing", "other", "changed"):
        if change == "changed":
            (product / "table.f1").write_text("written in place")
        else:
            product.rename(folder / change)
        if change == "other":
            write_tree(product, other="file")
        assert store.lookup(a_key("call")) == found
        restore(store, found, {"w.ms": product}, intents=folder / "intents")
        assert tree(product) == before
    assert len(notices) == (not CLONES[kind])
    (product / "table.f1").write_text("written in place")
    assert store.lookup(a_key("call")) == found
    assert not list(folder.glob(".casaprov*"))


@pytest.mark.parametrize(("data", "other"), [("xfs", "ext4"), ("ext4", "tmpfs")])
def test_a_store_on_another_file_system_copies(tmp_path: Path, data: str, other: str) -> None:
    with mounted(data, tmp_path) as folder, mounted(other, tmp_path) as elsewhere:
        notices: list[str] = []
        store = Store(elsewhere / "store", on_notice=notices.append)
        product = a_product(folder)
        before = tree(product)
        keep(store, {"w.ms": product})
        assert ["between the file systems" in notice for notice in notices] == [True]
        product.rename(folder / "moved")
        found = store.lookup(a_key("call"))
        assert isinstance(found, Manifest)
        restore(store, found, {"w.ms": product}, intents=folder / "intents")
        assert tree(product) == before


def test_a_full_store_keeps_nothing_and_what_it_has_stays(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, size_mb=1) as folder:
        notices: list[str] = []
        store = Store(folder / "store", on_notice=notices.append)
        small, large = write_tree(tmp_path / "small", a="b"), tmp_path / "large"
        first = keep(store, {"p": small})
        large.write_bytes(os.urandom(2**20))
        for name in ("second", "third"):
            with pytest.raises(NotKept, match="No space left"):
                keep(store, {"p": large}, a_manifest(name))
        assert ["has no space left" in notice for notice in notices].count(True) == 1
        assert list((folder / "store" / "part").iterdir()) == []
        assert store.lookup(first.key) == first


def test_a_store_that_may_only_be_read_serves_results(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path) as folder:
        store = Store(folder / "store")
        product = a_product(tmp_path)
        before = tree(product)
        keep(store, {"w.ms": product})
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        notices: list[str] = []
        reader = Store(folder / "store", on_notice=notices.append)
        found = reader.lookup(a_key("call"))
        assert isinstance(found, Manifest)
        product.rename(tmp_path / "moved")
        restore(reader, found, {"w.ms": product}, intents=tmp_path / "intents")
        assert tree(product) == before
        with pytest.raises(NotKept, match="may not be written"):
            keep(reader, {"w.ms": product}, a_manifest("second"))
        assert [notice for notice in notices if "cloned" not in notice] == []


@pytest.mark.parametrize("full", ["products", "intents"])
def test_a_restore_without_space_leaves_everything_as_it_was(tmp_path: Path, full: str) -> None:
    with mounted("tmpfs", tmp_path, size_mb=1) as folder:
        store = Store(tmp_path / "store")
        data = folder if full == "products" else tmp_path
        product = data / "w.ms"
        product.mkdir()
        (product / "table.f1").write_bytes(os.urandom(600_000 if full == "products" else 1000))
        kept = keep(store, {"w.ms": product})
        (product / "table.f1").write_bytes(os.urandom(600_000))
        if full == "intents":
            fill(folder)
        before = tree(product)
        with pytest.raises(NotRestored, match="No space left"):
            restore(store, kept, {"w.ms": product}, intents=folder / "intents")
        assert tree(product) == before
        assert not list(data.glob(".casaprov*"))


def fill(folder: Path) -> None:
    """Fill a file system, its inodes' own pages included."""
    with (folder / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return
