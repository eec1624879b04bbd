"""A restore of three products: one is replaced, one is made, one is removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from casaprov.files.regular import digest_file
from casaprov.files.stamps import StatStamp
from casaprov.recompute import restore as module
from casaprov.recompute.restore import recover, restore
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from stored_results import a_key, keep, tree, write_tree

if "PARTS" in os.environ:  # exchange the files that differ, however small those are that do not
    module._SAVED_BYTES = 1

NAMES = ("w.ms", "new.cal", "gone.txt")


def prepare(folder: Path) -> None:
    """Keep a result, and make another state in its place."""
    products = {name: folder / name for name in NAMES}
    write_tree(products["w.ms"], **{"table.f1": "new", "table.f0": "values" * 20, "SUB_table.f0": "same"})
    write_tree(products["new.cal"], **{"table.f1": "new"})
    keep(Store(folder / "store"), products)
    (folder / "new.cal").rename(folder / "elsewhere")
    write_tree(products["w.ms"], **{"table.f1": "old", "table.f2": "others", "SUB_table.f0": "same"})
    (folder / "w.ms" / "table.f0").unlink()
    (folder / "gone.txt").write_text("old")


def work(folder: Path) -> None:
    """Restore it."""
    store = Store(folder / "store")
    manifest = store.lookup(a_key("call"))
    assert isinstance(manifest, Manifest)
    for name in ("SUB/table.f0", "table.f0"):  # known from an earlier call
        file = folder / "w.ms" / name
        if file.exists():
            store.known.put([(file, StatStamp.of(file.lstat()), digest_file(file))])
    restore(store, manifest, {name: folder / name for name in NAMES}, intents=folder / "intents")


def look(folder: Path) -> Any:
    """Return the state of each product as it is found, and that of all files after the next session has begun."""
    found = [tree(folder / name) for name in NAMES]
    recover(folder / "intents")
    left = [path.name for path in (*folder.iterdir(), *(folder / "intents").glob("*"))]
    return {
        "found": found,
        "recovered": [tree(folder / name) for name in NAMES],
        "left": sorted(set(left) - {*NAMES, "store", "elsewhere", "intents"}),
    }
