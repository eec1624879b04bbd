"""What the kernel saw a call do, against what the record says of it."""

from __future__ import annotations

import fnmatch
import json
import os
import site
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from audit.recording import JOURNAL
from audit.trace import Accesses
from casaprov.casa.installed import data
from casaprov.journal.document import read_document
from casaprov.records.model import Activity
from checkout import ROOT

__all__ = ["Difference", "Explanation", "differences", "explanations", "recorded_calls"]


@dataclass(frozen=True, order=True)
class Difference:
    """That a call did something which its record does not say, or the other way round.

    Attributes
    ----------
    what
        ``read``, ``written``, ``removed``: done and not recorded. ``found``: recorded, but not declared by the
        task's table. ``not read``, ``not written``, ``not removed``: recorded and not done.
    path
        Relative to the audited folder if below it.
    """

    call: int
    task: str
    what: str
    path: str


@dataclass(frozen=True)
class Explanation:
    """Why a difference is none."""

    task: str
    what: tuple[str, ...]
    path: str
    reason: str

    def explains(self, difference: Difference) -> bool:
        """Say whether this is the reason of `difference`."""
        return (
            fnmatch.fnmatchcase(difference.task, self.task)
            and difference.what in self.what
            and fnmatch.fnmatchcase(difference.path, self.path)
        )


@dataclass(frozen=True)
class Recorded:
    """What the record says of a call; paths are absolute."""

    activity: Activity
    used: frozenset[Path]
    generated: frozenset[Path]
    deleted: frozenset[Path]
    undeclared: frozenset[Path]


def explanations(file: Path) -> tuple[Explanation, ...]:
    """Read the list of explained differences."""
    with file.open("rb") as stream:
        lines = tomllib.load(stream)["explained"]
    return tuple(
        Explanation(line.get("task", "*"), tuple(line["what"]), line["path"], line["reason"]) for line in lines
    )


def recorded_calls(folder: Path) -> tuple[Recorded, ...]:
    """Read the record, in the order in which calls began."""
    document = read_document(folder / ".casaprov" / JOURNAL, f"{JOURNAL}.ipynb")
    paths = {entity.id: folder / entity.path for entity in document.entities}
    return tuple(
        Recorded(
            activity=activity,
            used=frozenset(paths[usage.entity] for usage in activity.used),
            generated=frozenset(paths[usage.entity] for usage in activity.generated),
            deleted=frozenset(folder / path for path in activity.deleted),
            undeclared=frozenset(paths[usage.entity] for usage in activity.generated if not usage.declared),
        )
        for activity in sorted(document.activities, key=lambda activity: activity.id)
    )


def differences(
    folder: Path, calls: Iterable[Recorded], accesses: dict[int, Accesses], snapshots: Path
) -> Iterator[Difference]:
    """Yield every difference; calls are numbered from 1 as they began."""
    before, after = _states(folder, snapshots)
    for number, recorded in enumerate(calls, start=1):
        did = accesses.get(number, Accesses())
        task = recorded.activity.task
        for what, paths in _differing(folder, recorded, did, before[number], after.get(number, before[number])):
            for path in sorted(paths):
                name = path.relative_to(folder) if path.is_relative_to(folder) else path
                yield Difference(number, task, what, name.as_posix())


def _differing(
    folder: Path, said: Recorded, did: Accesses, before: dict[Path, str], after: dict[Path, str]
) -> Iterator[tuple[str, set[Path]]]:
    outside = {path for path in did.read | did.written if not path.is_relative_to(folder) and not _is_system(path)}
    read = (did.read & (before.keys() | outside)) - _casa_logs(did.read)
    altered = {path for path in after if before.get(path) != after[path]} | (did.written & outside)
    altered -= _casa_logs(altered)
    gone = before.keys() - after.keys()
    yield "read", {path for path in read if not _below(path, said.used | said.deleted)}
    yield "written", {path for path in altered if not _below(path, said.generated)}
    yield "removed", {path for path in gone if not _below(path, said.generated | said.deleted)}
    yield "found", set(said.undeclared)
    if said.activity.outcome != "completed":
        return  # the record says what it was about to use
    yield (
        "not read",
        {path for path in said.used - said.deleted if not _any_below(path, did.read | did.written | did.held)},
    )
    yield "not written", {path for path in said.generated if not _any_below(path, did.written | did.held)}
    yield "not removed", {path for path in said.deleted if not _any_below(path, gone)}


def _states(folder: Path, snapshots: Path) -> tuple[dict[int, dict[Path, str]], dict[int, dict[Path, str]]]:
    """Files and digests of their bytes before and after each call."""
    states: dict[str, dict[int, dict[Path, str]]] = {"before": {}, "after": {}}
    state: dict[Path, str] = {}
    for line in snapshots.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        state = {path: digest for path, digest in state.items() if os.path.relpath(path, folder) not in told["gone"]}
        state |= {folder / name: digest for name, digest in told["changed"].items()}
        states[told["when"]][told["call"]] = state
    return states["before"], states["after"]


def _below(path: Path, places: frozenset[Path]) -> bool:
    return path in places or not places.isdisjoint(path.parents)


def _any_below(place: Path, paths: Iterable[Path]) -> bool:
    return any(path == place or place in path.parents for path in paths)


def _casa_logs(paths: Iterable[Path]) -> set[Path]:
    return {path for path in paths if fnmatch.fnmatchcase(path.name, "casa-*.log")}


def _is_system(path: Path) -> bool:
    """Say whether a path is the system's, Python's or CASA's own."""
    # Casaprov keeps digests while tasks run; tests give it a cache of its own after this module is loaded.
    cache = Path(platformdirs.user_cache_dir("casaprov"))
    return any(path.is_relative_to(place) for place in (*_SYSTEM, cache))


_SYSTEM = tuple(
    Path(place)
    for place in (
        "/proc", "/dev", "/sys", "/etc", "/usr", "/lib", "/lib64", "/bin", "/var/lib",
        sys.prefix, sys.base_prefix, *site.getsitepackages(), Path.home() / ".casa",
        ROOT, *data.data_folders(),
        os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"),
    )
)  # fmt: skip
