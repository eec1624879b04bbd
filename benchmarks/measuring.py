"""Paired measurements and the one table that they go into.

A benchmark measures its sides in turns (A B A B ...), so that whatever else the
machine does hits both, and tells what it found as :class:`Finding` values. Each
number has its spread: of a comparison, that of the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import platformdirs

__all__ = ["TIMEOUT_S", "Finding", "Goal", "Number", "Options", "compared", "in_turns", "number", "table", "tell"]

T = TypeVar("T")
_CACHE_VARIABLE = "CASAPROV_BENCH_CACHE"

TIMEOUT_S = 1800
"""What has not ended by then never will: it becomes a line of the table that says so."""


@dataclass(frozen=True)
class Number:
    """A measured number: median, smallest and largest of the measurements, and how many there were."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Goal:
    """What a number must not exceed; ``text`` is how the table says it."""

    most: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A line of the table.

    Attributes
    ----------
    letter
        The group of benchmarks that it belongs to.
    what
        What was measured; of a comparison, the two sides with ``/`` between.
    number
        None if it could not be measured; `note` says why.
    goal
        None for a number that is told for information.
    sides
        Medians of both sides of a comparison, as text.
    """

    letter: str
    what: str
    number: Number | None
    unit: str = ""
    goal: Goal | None = None
    sides: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line of every benchmark can choose."""

    repeats: int
    cache: Path
    output: Path | None
    chosen: Mapping[str, Any] = field(default_factory=dict)


def in_turns(sides: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Measure each side `repeats` times, one after the other: A B A B ..."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name, side in sides.items():
            say(f"{turn + 1}/{repeats} {name}")
            found[name].append(side())
    return found


def say(what: str) -> None:
    """Say what is measured now, on stderr: a benchmark takes minutes."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def number(values: Sequence[float]) -> Number:
    """Median and spread of measurements."""
    return Number(statistics.median(values), min(values), max(values), len(values))


def compared(
    letter: str,
    what: str,
    ones: Sequence[float],
    others: Sequence[float],
    *,
    unit: str = "s",
    goal: Goal | None = None,
    note: str = "",
) -> Finding:
    """Compare two sides that were measured in turns, by the ratios of their pairs.

    Raises
    ------
    ValueError
        If the sides were not measured equally often.
    """
    ratios = number([one / other for one, other in zip(ones, others, strict=True)])
    sides = f"{statistics.median(ones):.3g} {unit} / {statistics.median(others):.3g} {unit}"
    return Finding(letter=letter, what=what, number=ratios, goal=goal, sides=sides, note=note)


def failed(letter: str, what: str, error: BaseException | str) -> Finding:
    """Say that something could not be measured, and why."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return Finding(letter=letter, what=what, number=None, note=lines[-1][:300])


def table(findings: Sequence[Finding]) -> str:
    """Write findings as a table in Markdown, in the order of their letters."""
    lines = ["| | what | median | min to max | n | sides | goal | |", "|---|---|---|---|---|---|---|---|"]
    lines += [_line(finding) for finding in sorted(findings, key=lambda finding: finding.letter)]
    return "\n".join(lines)


def _line(found: Finding) -> str:
    what = found.what + (f" ({found.note})" if found.note else "")
    if found.number is None:
        cells = [f"({found.letter})", what, "not measured", "", "", "", found.goal.text if found.goal else "", ""]
    else:
        unit = f" {found.unit}" if found.unit else ""
        verdict = ("reached" if found.number.median <= found.goal.most else "**not reached**") if found.goal else ""
        cells = [
            f"({found.letter})",
            what,
            f"{_short(found.number.median)}{unit}",
            f"{_short(found.number.low)} to {_short(found.number.high)}",
            str(found.number.count),
            found.sides,
            found.goal.text if found.goal else "",
            verdict,
        ]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def parser(description: str | None, *, repeats: int | None = 3) -> argparse.ArgumentParser:
    """Return the command line that all benchmarks share; without ``--repeats`` if that is None."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if repeats is not None:
        made.add_argument(
            "--repeats", type=int, default=repeats, metavar="N", help=f"measure each side N times (default {repeats})"
        )
    made.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get(_CACHE_VARIABLE) or platformdirs.user_cache_path("casaprov-bench")),
        metavar="FOLDER",
        help=f"where simulated data and other tools stay for the next time (default ${_CACHE_VARIABLE}, or %(default)s)",
    )
    made.add_argument("--output", type=Path, metavar="FILE", help="append the findings to FILE, as JSON lines")
    return made


def options(made: argparse.ArgumentParser) -> Options:
    """Read the command line."""
    chosen = vars(made.parse_args())
    repeats, cache, output = chosen.pop("repeats", 1), chosen.pop("cache"), chosen.pop("output")
    if repeats < 1:
        made.error("--repeats is at least 1")
    cache.mkdir(parents=True, exist_ok=True)
    return Options(repeats=repeats, cache=cache.resolve(), output=output, chosen=chosen)


def tell(findings: Sequence[Finding], output: Path | None) -> None:
    """Print findings, and append them to a file for the table of all benchmarks."""
    print(table(findings))
    if output is not None:
        with output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(finding)) + "\n" for finding in findings)


def read(output: Path) -> list[Finding]:
    """Read the findings that :func:`tell` appended to a file."""
    found = []
    for line in output.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        told["number"] = Number(**told["number"]) if told["number"] else None
        told["goal"] = Goal(**told["goal"]) if told["goal"] else None
        found.append(Finding(**told))
    return found


def guarded(letter: str, what: str, measure: Callable[[], Sequence[Finding]]) -> list[Finding]:
    """Measure; what fails becomes a line that says why, and the other benchmarks go on."""
    try:
        return list(measure())
    except Exception as error:  # noqa: BLE001 - any tool may fail in any way
        traceback.print_exc()
        return [failed(letter, what, error)]
