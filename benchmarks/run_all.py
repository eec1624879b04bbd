"""Run all benchmarks and write one table.

    make bench
    python benchmarks/run_all.py [--output benchmarks/results.md] [--quick] [--large] [--only b c]

Each group of benchmarks is a script beside this one, which can be run alone. One
that fails is a line of the table. On two cores all of them take about half an hour
and need 15 GB of disk in the cache and the temporary folder; ``--quick`` shows in
ten minutes that they work, with numbers that mean little. Nothing else should run meanwhile.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import measuring
from measuring import Finding, failed, read, table

__all__ = ["GROUPS", "machine"]

HERE = Path(__file__).resolve().parent

GROUPS: dict[str, tuple[str, str, list[str], list[str]]] = {
    "a": ("recording.py", "NGC 5921 with and without recording", ["--repeats", "5"], ["--repeats", "1"]),
    "b": ("full_digest.py", "full content digest", ["--repeats", "5"], ["--repeats", "1", "--size", "0.2"]),
    "c": ("incremental_digest.py", "digest after a task", ["--repeats", "5"], ["--repeats", "1", "--size", "0.2"]),
    "d": ("short_calls.py", "short calls", ["--repeats", "3"], ["--repeats", "1", "--size", "0.2", "--calls", "50"]),
    "e": ("growth.py", "growth", ["--repeats", "2"], ["--sizes", "0.2", "0.4", "--calls", "10", "50", "--tables", "5"]),
    "f": ("other_tools.py", "other recorders", ["--repeats", "1"], ["--repeats", "1"]),
    "g": ("start.py", "import and notebook growth", ["--repeats", "9"], ["--repeats", "3"]),
    "h": ("kernel_start.py", "start of the CASA kernel", ["--repeats", "5"], ["--repeats", "1"]),
    "j": ("yielding.py", "busy processes beside the example", ["--repeats", "5"], ["--repeats", "1"]),
    "k": ("chains.py", "chains of calls", ["--repeats", "3"], ["--repeats", "1", "--calls", "20"]),
    "l": ("recomputing.py", "re-computation", ["--repeats", "3"], ["--repeats", "1"]),
    "m": ("large_folders.py", "large folders", ["--repeats", "3"], ["--repeats", "1", "--calls", "10"]),
    "i": ("column_cost.py", "cost of a column", ["--repeats", "3"], ["--repeats", "1", "--size", "0.2"]),
}
"""Script, what it measures, its arguments, and those for a quick look, by letter."""

_PACKAGES = ("casaprov", "casatasks", "python-casacore", "numpy", "ipython")


def machine() -> str:
    """Describe the machine and the versions in one paragraph."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GB of memory, Linux {platform.release()}. "
        f"Python {platform.python_version()}, {packages}; commit {_commit()}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, check=False, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def run(letter: str, cache: Path, *, quick: bool, large: bool) -> list[Finding]:
    """Run one group in a process of its own; return what it found."""
    script, what, usual, short = GROUPS[letter]
    arguments = [*(short if quick else usual), *(["--large"] if large and script == "growth.py" else [])]
    with tempfile.TemporaryDirectory(prefix="casaprov-bench-") as folder:
        output = Path(folder, "findings.jsonl")
        measuring.say(f"({letter}) {script} {shlex.join(arguments)}")
        command = [sys.executable, str(HERE / script), *arguments, "--cache", str(cache), "--output", str(output)]
        done = subprocess.run(command, check=False)
        if done.returncode or not output.exists():
            return [failed(letter, what, f"{script} ended with status {done.returncode}")]
        return read(output)


def page(findings: list[Finding], load: float, *, quick: bool, took_s: float) -> str:
    """Write the page of results."""
    command = "python benchmarks/run_all.py --quick" if quick else "make bench"
    measured = f"Measured {time.strftime('%Y-%m-%d')} by `{command}` in {took_s / 60:.0f} minutes"
    reading = (
        "The sides of a comparison are measured in turns (A B A B ...). Its number is the median of the ratios of "
        "the pairs; beside it the smallest and the largest ratio, the number of pairs, and the medians of both sides. "
        "What is measured and why: [performance](../docs/explanation/performance.md)."
    )
    facts = f"{measured}; load before it {load:.1f}. {machine()}"
    lines = ["# Benchmarks", "", facts, "", reading, "", table(findings)]
    if quick:
        lines[2:2] = ["**A quick look: small data, measured once. These numbers are not results.**", ""]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the chosen groups and write the page."""
    parser = measuring.parser(__doc__, repeats=None)
    parser.add_argument("--quick", action="store_true", help="small data, once: shows that everything works")
    parser.add_argument("--large", action="store_true", help="10 GB as well, in the group (e)")
    parser.add_argument("--only", nargs="+", choices=sorted(GROUPS), default=sorted(GROUPS), help="these groups alone")
    options = measuring.options(parser)
    chosen = options.chosen
    began, load, found = time.monotonic(), os.getloadavg()[0], []
    for letter in chosen["only"]:
        found += run(letter, options.cache, quick=chosen["quick"], large=chosen["large"])
    text = page(found, load, quick=chosen["quick"], took_s=time.monotonic() - began)
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
