"""(b) The content digest of a whole MeasurementSet, against hashing its bytes.

    python benchmarks/full_digest.py [--size 3.5] [--repeats 3]

Against ``hashlib.sha256`` over its files in one thread, BLAKE3 (one thread, and
as many as it likes), ``sha256sum`` of coreutils, and ``dvc add --no-commit`` of
the same folder in an empty DVC repository. casaprov digests once with workers
that are running (as in a notebook), once as the command ``casaprov digest``. All
files are read once before, so that each side finds them in the page cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import measuring
from digesting import digest_warm, nothing_cached
from environments import program, version_of
from measuring import TIMEOUT_S, Finding, Goal, compared, guarded, in_turns, number
from simulated import NOMINAL_GB, read_once, simulated_ms, size_of

HASHLIB = Goal(1.3, "≤ 1.3")
DVC = Goal(0.5, "≤ 0.5")
MEMORY = Goal(500, "≤ 500 MB")

# Hashes all files below argv[1] with argv[2], and tells how long that took.
_HASH = """
import json, os, sys, time
if sys.argv[2] == "sha256":
    from hashlib import sha256 as make
else:
    from blake3 import blake3 as make
buffer = bytearray(2**18)
view = memoryview(buffer)
began = time.perf_counter()
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        if sys.argv[2] == "blake3":
            make(max_threads=make.AUTO).update_mmap(path).digest()
            continue
        hasher = make()
        with open(path, "rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                hasher.update(view[:count])
        hasher.digest()
print(json.dumps(time.perf_counter() - began))
"""


def hash_files(ms: Path, how: str, python: str = sys.executable) -> float:
    """Seconds to hash the files of a folder: ``sha256``, ``blake3`` or ``blake3-one-thread``."""
    command = [python, "-c", _HASH, str(ms), how]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    took: float = json.loads(done.stdout)
    return took


def digest_command(ms: Path) -> float:
    """Seconds of ``casaprov digest``, from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as cache:
        command = [sys.executable, "-m", "casaprov", "digest", str(ms)]
        return _seconds(command, env=nothing_cached(cache))


def sha256sum(ms: Path) -> float:
    """Seconds of ``sha256sum`` over all files."""
    return _seconds(["find", str(ms), "-type", "f", "-exec", "sha256sum", "{}", "+"])


def dvc_add(dvc: Path, ms: Path) -> float:
    """Seconds of ``dvc add --no-commit``; DVC has seen nothing of the folder before."""
    with tempfile.TemporaryDirectory(prefix="dvc-", dir=ms.parent) as name:
        # Hard links: DVC takes no folder outside its repository, and only reads here.
        shutil.copytree(ms, Path(name, ms.name), copy_function=os.link)
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": f"{name}/.site"}
        for command in (["init", "-q", "--no-scm"], ["config", "core.analytics", "false"]):
            subprocess.run([dvc, *command], cwd=name, check=True, capture_output=True, env=environment)
        return _seconds([str(dvc), "add", "-q", "--no-commit", ms.name], cwd=name, env=environment)


def _seconds(command: list[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=env, timeout=TIMEOUT_S)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return took


def measure(cache: Path, size_gb: float, repeats: int) -> list[Finding]:
    """Measure all sides in turns."""
    ms = simulated_ms(cache, size_gb)
    read_once(ms)
    warm: Callable[[], float] = lambda: digest_warm(ms).seconds  # noqa: E731
    sides: dict[str, Callable[[], float]] = {
        "digest": warm,
        "command": lambda: digest_command(ms),
        "hashlib.sha256, one thread": lambda: hash_files(ms, "sha256"),
        "coreutils sha256sum": lambda: sha256sum(ms),
    }
    missing: list[Finding] = []

    def blake3() -> list[Finding]:
        python = str(program(cache, "blake3", "python"))
        sides["BLAKE3, one thread"] = lambda: hash_files(ms, "blake3-one-thread", python)
        sides["BLAKE3, threads as it likes"] = lambda: hash_files(ms, "blake3", python)
        return []

    def dvc() -> list[Finding]:
        tool = program(cache, "dvc", "dvc")
        dvc_add(tool, ms)  # its first start compiles Python files
        sides[f"{version_of(cache, 'dvc')}, dvc add --no-commit"] = lambda: dvc_add(tool, ms)
        return []

    missing += guarded("b", "full digest / BLAKE3", blake3)
    missing += guarded("b", "full digest / dvc add --no-commit", dvc)
    found = in_turns(sides, repeats)
    size, goals = f"{size_of(ms) / 1e9:.2f} GB", size_gb >= NOMINAL_GB
    told = [_against("digest", name, found, size, goals=goals) for name in sides if name not in ("digest", "command")]
    told += [_against("command", name, found, size, goals=goals) for name in sides if "sha256" in name or "dvc" in name]
    peak = [digest_warm(ms, memory=True) for _ in range(min(repeats, 2))]
    told.append(_memory("b", f"PSS of all workers, full digest of {size}", [one.pss_mb for one in peak]))
    told.append(_memory("b", f"RSS of all workers, full digest of {size}", [one.rss_mb for one in peak]))
    return told + missing


def _against(ours: str, other: str, found: Mapping[str, list[float]], size: str, *, goals: bool) -> Finding:
    goal = HASHLIB if goals and "hashlib" in other else DVC if goals and "dvc" in other else None
    name = "full digest" if ours == "digest" else "`casaprov digest`, from start to end"
    return compared("b", f"{name} / {other}", found[ours], found[other], goal=goal, note=size)


def _memory(letter: str, what: str, sizes_mb: list[float]) -> Finding:
    return Finding(letter=letter, what=what, number=number(sizes_mb), unit="MB", goal=MEMORY)


def main() -> None:
    """Measure, and tell."""
    parser = measuring.parser(__doc__)
    parser.add_argument(
        "--size", type=float, default=3.5, metavar="GB", help="size of the MeasurementSet (default 3.5)"
    )
    options = measuring.options(parser)
    size = options.chosen["size"]
    measuring.tell(guarded("b", "full digest", lambda: measure(options.cache, size, options.repeats)), options.output)


if __name__ == "__main__":
    main()
