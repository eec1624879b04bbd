"""The store of results on a large product: seconds to capture, keep, find and restore it.

    python benchmarks/store.py FOLDER [--size 3.5]

The folder decides the file system, which needs three times the space.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from casaprov.casa.installed.held import held_reason
from casaprov.digests.measurement import Measurement
from casaprov.files.copying import can_clone
from casaprov.hashing import digest_bytes
from casaprov.recompute.restore import restore
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store

_PIECE_BYTES = 2**20
_COLUMNS, _SUB_TABLES = 5, 17


def make_product(path: Path, size_bytes: int) -> None:
    """Make a tree like that of a MeasurementSet: some large files, many small ones."""
    for number in range(_SUB_TABLES):
        folder = path / f"SUB{number}"
        folder.mkdir(parents=True)
        for name in ("table.f0", "table.f0i", "table.info", "table.lock"):
            (folder / name).write_bytes(os.urandom(20_000))
    for number in range(_COLUMNS):
        with (path / f"table.f{number}").open("wb") as file:
            for _ in range(size_bytes // _COLUMNS // _PIECE_BYTES):
                file.write(os.urandom(_PIECE_BYTES))


def measure(folder: Path, size_bytes: int) -> dict[str, float]:
    """Return the duration of each step, in seconds."""
    seconds: dict[str, float] = {}

    def timed(step: str, function: Callable[[], Any]) -> Any:
        began = time.monotonic()
        value = function()
        seconds[step] = round(time.monotonic() - began, 3)
        return value

    product, store = folder / "w.ms", Store(folder / "store")
    make_product(product, size_bytes)
    os.sync()
    key = digest_bytes(b"call")
    captured = timed("capture", lambda: store.capture({"w.ms": product}, 1e6))
    content = Measurement(kind="Table", content_digest=key, size_bytes=size_bytes)
    manifest = Manifest(key=key, computed_by="benchmark/0001", computed_at="", seconds=1e6)
    timed("keep", lambda: store.keep(captured, manifest, {"w.ms": (captured.stamps["w.ms"], content)}))

    def put_back(step: str) -> None:
        found = timed(f"look-up, {step}", lambda: store.lookup(key))
        targets = {"w.ms": product}
        timed(f"restore, {step}", lambda: restore(store, found, targets, intents=folder / "intents", held=held_reason))

    product.rename(folder / "moved")
    put_back("missing")
    with (product / "table.f0").open("r+b") as file:
        file.write(b"changed")
    put_back("changed")
    put_back("equal")
    timed("look-up, first on a host", lambda: Store(folder / "store").lookup(key))
    return seconds


def main() -> None:
    """Measure in the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=float, default=3.5, help="size of the product in GB")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(dir=options.folder))
    size = int(options.size * 1e9)
    try:
        print(json.dumps({"clones": can_clone(place), "bytes": size, **measure(place, size)}, indent=1))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
