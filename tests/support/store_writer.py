"""A process that keeps, restores and evicts results in a store, until it is killed.

``store_writer.py STORE FOLDER SEED``: the contents that a key stands for are made from the key, so that each process
can tell whether a result is the right one. A wrong one ends the process with exit code 3.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from casaprov.errors import NotKept, NotRestored
from casaprov.recompute.restore import restore
from casaprov.recompute.store.eviction import Limits, evict
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from stored_results import a_key, a_manifest, keep

KEYS = 12


def contents(number: int) -> dict[str, str]:
    """Files of the product of a call; some are shared between calls."""
    return {"table.f1": f"shared {number % 3}" * 500, "table.f2": f"own {number}" * 300, "table.lock": str(number)}


def main(folder: Path, place: Path, seed: int) -> int:
    """Work until the end of the process."""
    draw = random.Random(seed)
    damaged: list[str] = []
    store = Store(folder, on_notice=lambda text: damaged.append(text) if "damaged" in text else None)
    while True:
        number = draw.randrange(KEYS)
        product = place / "w.ms"
        if draw.random() < 0.1:
            evict(store.folder, now_s=0, limits=Limits(draw.choice([0, 30_000, 60_000])))
        found = store.lookup(a_key(str(number)))
        if damaged:
            sys.stderr.write(damaged[0])
            return 4
        try:
            if isinstance(found, Manifest):
                restore(store, found, {"w.ms": product}, intents=place / "intents")
                if {path.name: path.read_text() for path in product.iterdir()} != contents(number):
                    return 3
            else:
                product.mkdir(exist_ok=True)
                for name, text in contents(number).items():
                    (product / name).write_text(text)
                keep(store, {"w.ms": product}, a_manifest(str(number)))
        except (NotKept, NotRestored) as error:
            sys.stdout.write(f"{error}\n")
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
