"""Replaying a kept crate: ``casaprov replay`` as a child, confined and within limits."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from casaprov.archive.deposits import Verdict, VerdictSummary
from casaprov.archive.settings import ReplaySettings
from casaprov.archive.work.limits import Limits, Outcome, run_limited

__all__ = ["Replayed", "casa_version", "replay", "verdict_of"]

_GOOD = ("identical", "same-content", "within-tolerance")
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "KEY", "CREDENTIAL", "AWS_", "JUPYTERHUB_")
_PUBLIC_REPORT_KEYS = ("crate", "work")
_MISSING = re.compile(r"^Error: The input (.+?) \([^()]+, \d+ bytes\) cannot be found", re.MULTILINE)
_EXCEEDED = {
    "time": "it took longer than {seconds} s",
    "memory": "it took more than {memory} bytes of memory",
    "disk": "it wrote more than {disk} bytes",
    "processes": "it started more than {processes} processes",
    "lease": "another worker took it over",
}


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A verdict, and the report that it follows from; None if there was no replay."""

    verdict: Verdict
    report: dict[str, Any] | None = None


def replay(
    crate: Path,
    scratch: Path,
    settings: ReplaySettings,
    *,
    clock: Callable[[], datetime],
    on_wait: Callable[[], bool] = lambda: True,
) -> Replayed:
    """Replay a crate in a folder of its own below `scratch`, which is removed afterwards."""
    limits = Limits(
        max_memory=settings.max_memory,
        max_disk=settings.max_disk,
        max_seconds=settings.max_seconds,
        max_processes=settings.max_processes,
    )
    command = [
        settings.python or sys.executable,
        "-P",
        "-m",
        "casaprov",
        "replay",
        str(crate),
        "--json",
        "--work",
        "work",
    ]
    for folder in settings.data:
        command += ["--data", str(Path(folder).absolute())]
    begun = clock()
    with tempfile.TemporaryDirectory(prefix="replay-", dir=scratch, ignore_cleanup_errors=True) as folder:
        outcome = run_limited(
            command, Path(folder), limits, environment=_environment(folder, os.environ), on_wait=on_wait
        )
    seconds = (clock() - begun).total_seconds()
    hidden = (str(scratch), str(crate.parent), *settings.data)
    return verdict_of(outcome, limits, at=clock(), seconds=seconds, hidden=hidden)


def _environment(folder: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: nothing secret, and temporary files where they count and are removed."""
    kept = {name: value for name, value in environment.items() if not any(word in name.upper() for word in _SECRETS)}
    return {**kept, "TMPDIR": folder, "COLUMNS": "120", "NO_COLOR": "1"}


def verdict_of(
    outcome: Outcome, limits: Limits, *, at: datetime, seconds: float, hidden: tuple[str, ...] = ()
) -> Replayed:
    """Return the verdict that follows from the end of a replay; `hidden` paths are not shown."""
    if outcome.exceeded:
        why = _EXCEEDED[outcome.exceeded].format(
            seconds=limits.max_seconds,
            memory=limits.max_memory,
            disk=limits.max_disk,
            processes=limits.max_processes,
        )
        return _not_replayed(f"The replay was ended: {why}.", at, seconds)
    try:
        report = json.loads(outcome.output)
    except ValueError:
        report = None
    if not isinstance(report, dict) or outcome.code not in (0, 1, 3, 4):
        return _not_replayed(_why(outcome.errors, hidden), at, seconds)
    for key in _PUBLIC_REPORT_KEYS:
        report.pop(key, None)
    judged = [p for p in report["products"] if p["final"] and p.get("declared", True) and not p.get("taken", False)]
    counts = dict(Counter(product["comparison"]["verdict"] for product in judged))
    blocked = [step for step in report["steps"] if step["action"] == "blocked"]
    casa = _casa_of(report)
    if blocked:
        verdict = Verdict(
            at=at,
            summary=VerdictSummary.NOT_REPLAYED,
            casa=casa,
            counts=counts,
            note=f"Not replayed: {_clean(blocked[0]['reason'], hidden)}",
            seconds=seconds,
        )
        return Replayed(verdict=verdict, report=report)
    bad = next((product for product in judged if product["comparison"]["verdict"] not in _GOOD), None)
    note = f"{bad['path']}: {bad['comparison']['verdict']}" if bad else ""
    otherwise = any(step.get("outcome") not in (None, step["recorded_outcome"]) for step in report["steps"])
    if otherwise and not note:
        note = "A call ended otherwise than it was recorded."
    summary = VerdictSummary.DIFFERS if bad or otherwise else VerdictSummary.VERIFIED
    verdict = Verdict(at=at, summary=summary, casa=casa, counts=counts, note=note, seconds=seconds)
    return Replayed(verdict=verdict, report=report)


def _why(errors: str, hidden: tuple[str, ...]) -> str:
    """Return the reason for a replay without a report, from the errors that it wrote for its user."""
    if missing := _MISSING.search(errors):
        return f"Not replayed: the input {_clean(missing[1], hidden)} is not in the archive."
    lines = [line for line in errors.splitlines() if line.strip()]
    shown = next((line for line in reversed(lines) if line.startswith("Error: ")), lines[-1] if lines else "")
    return f"The replay could not be carried out. {_clean(shown.removeprefix('Error: '), hidden)}".strip()


def _not_replayed(note: str, at: datetime, seconds: float) -> Replayed:
    verdict = Verdict(at=at, summary=VerdictSummary.NOT_REPLAYED, counts={}, note=note, seconds=seconds)
    return Replayed(verdict=verdict)


def _clean(text: str, hidden: tuple[str, ...]) -> str:
    for path in hidden:
        text = text.replace(path, "…")
    return text[:500]


def _casa_of(report: Mapping[str, Any]) -> str:
    """Return the version of the CASA that replayed: the report names it only where it differs."""
    for difference in report.get("environment", ()):
        if difference["name"] == "casatasks":
            return str(difference["now"])
    return ""


def casa_version(settings: ReplaySettings) -> str:
    """Return the version of the CASA that replays, asked of its Python; empty if it has none."""
    code = "from importlib.metadata import version; print(version('casatasks'))"
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(max_memory=2**31, max_disk=2**20, max_seconds=60, max_processes=8)
        outcome = run_limited([settings.python or sys.executable, "-c", code], Path(folder), limits)
    return outcome.output.decode("utf-8", "replace").strip() if outcome.code == 0 else ""
