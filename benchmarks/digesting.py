"""Digest a product with workers that are running already, in a process of its own.

    python benchmarks/digesting.py PATH

What a long-lived kernel does: the workers are started, and have imported what
they need, before the clock starts. Nothing is known of the product: neither this
process nor the cache on disk has seen it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from measuring import TIMEOUT_S
from memory import PeakMemory

if TYPE_CHECKING:
    from casaprov.digests.digester import Digester

__all__ = ["Digested", "digest_warm", "nothing_cached", "warm_digester"]

_SMALL = ("ANTENNA", "SPECTRAL_WINDOW", "FEED", "FIELD")


@dataclass(frozen=True)
class Digested:
    """What a digest cost.

    Attributes
    ----------
    pss_mb, rss_mb
        Largest sum over all worker processes; zero where memory was not sampled.
    """

    seconds: float
    digest: str
    pss_mb: float
    rss_mb: float


def digest_warm(path: Path, *, memory: bool = False) -> Digested:
    """Digest a product with warm workers; sampling their memory takes time of its own."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as cache:
        command = [sys.executable, __file__, str(path), *(["--memory"] if memory else [])]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=nothing_cached(cache), timeout=TIMEOUT_S
        )
    if done.returncode:
        raise RuntimeError(f"{path.name} was not digested: {done.stderr.strip()[-500:]}")
    return Digested(**json.loads(done.stdout.splitlines()[-1]))


def nothing_cached(folder: str) -> dict[str, str]:
    """Environment in which casaprov's cache of digests is an empty one, in `folder`."""
    return {**os.environ, "XDG_CACHE_HOME": folder}


def warm_digester(path: Path) -> Digester:
    """Open a Digester whose workers have imported what a product like `path` needs."""
    from casaprov.readers.installed import open_digester

    digester = open_digester()
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        # Copies: what is known of them says nothing about the product.
        small = [shutil.copytree(path / name, Path(folder, name)) for name in _SMALL if (path / name).is_dir()]
        for future in [digester.submit(Path(one)) for one in small]:
            future.result()
    return digester


def _digest(path: Path, *, memory: bool) -> Digested:
    digester = warm_digester(path)
    peak = PeakMemory()
    with peak if memory else nullcontext():
        began = time.perf_counter()
        measured = digester.measure(path)
        took = time.perf_counter() - began
    digester.close()
    return Digested(took, str(measured.content_digest), peak.pss_mb, peak.rss_mb)


def main() -> None:
    """Digest the product that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="a table")
    parser.add_argument("--memory", action="store_true", help="sample the memory of the workers")
    chosen = parser.parse_args()
    print(json.dumps(vars(_digest(chosen.path.resolve(), memory=chosen.memory))))


if __name__ == "__main__":
    main()
