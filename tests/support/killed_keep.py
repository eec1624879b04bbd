"""A result is kept in a store that has another one already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from casaprov.recompute.store.eviction import Limits, evict
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from stored_results import a_key, a_manifest, keep, write_tree


def prepare(folder: Path) -> None:
    """Keep a first result."""
    write_tree(folder / "first", **{"table.f1": "shared", "SUB_table.f0": "first"})
    write_tree(folder / "second", **{"table.f1": "shared", "SUB_table.f0": "second"})
    keep(Store(folder / "store"), {"w.ms": folder / "first"}, a_manifest("first"))


def work(folder: Path) -> None:
    """Keep a second one, and drop the first."""
    store = Store(folder / "store")
    keep(store, {"w.ms": folder / "second"}, a_manifest("second", aliases=(a_key("alias"),)))
    store.folder.pin(a_key("second")).touch()
    evict(store.folder, now_s=0, limits=Limits(0))


def look(folder: Path) -> Any:
    """Return which results are found, whether they are damaged, and what is left when the next writer has cleaned up."""
    store = Store(folder / "store", on_notice=lambda _text: None)
    results = [store.lookup(a_key(name)) for name in ("first", "second", "alias")]
    found = [isinstance(result, Manifest) for result in results]
    damaged = [not isinstance(result, Manifest) and result.damaged for result in results]
    evict(store.folder, now_s=0, limits=Limits())
    return {
        "found": found,
        "damaged": damaged,
        "objects": len(list(store.folder.objects())),
        "parts": len(list((folder / "store" / "part").iterdir())),
        "whole": [bool(isinstance(store.lookup(a_key(name)), Manifest)) for name in ("first", "second")] == found[:2],
        "products": [(folder / name / "SUB" / "table.f0").read_text() for name in ("first", "second")],
    }
