"""Replay: run what a crate recorded in an empty folder, and compare.

Only known CASA tasks run, with the recorded parameters and every path mapped
into the work folder; nothing of the notebook's code does. Each call goes
through the same :class:`~casaprov.runner.Runner` as in the notebook, so the
replay has a record of its own. Clock, CASA and readers are passed in.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from casaprov.calls import Executor, TaskCall, TaskResult
from casaprov.checksum import Measurement
from casaprov.compare import Comparison, Tolerance
from casaprov.digest import digest_record
from casaprov.errors import NoSpace, ReplayError, WorkerDied
from casaprov.model import Activity, Entity, Environment, Outcome, Session
from casaprov.plan import Plan, PlanStep
from casaprov.runner import Runner
from casaprov.taskspec import TaskSpec
from casaprov.values import from_json, is_exact, to_json

__all__ = [
    "EnvironmentDifference",
    "ProductReport",
    "Replay",
    "ReplayReport",
    "StepReport",
    "compare_environments",
    "same_but_for_folder",
]

_log = logging.getLogger(__name__)

_MIN_FREE_BYTES = 2**20
_MAX_TEXT_BYTES = 10 * 2**20


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What became of one recorded call.

    Attributes
    ----------
    action
        ``run``, ``leave-out`` or ``blocked``; `reason` says why for the last two.
    same_return
        Whether the return value is the recorded one; None where it cannot be said.
    """

    id: str
    task: str
    action: str
    reason: str = ""
    recorded_outcome: Outcome
    outcome: Outcome | None = None
    failure: str = ""
    seconds: float | None = None
    same_return: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ProductReport:
    """The verdict on one product.

    Attributes
    ----------
    final
        False for a state that a later call changed or replaced.
    """

    path: str
    kind: str
    made_by: str
    final: bool
    comparison: Comparison


@dataclass(frozen=True, kw_only=True)
class EnvironmentDifference:
    """A setting that is not what it was at recording."""

    name: str
    recorded: str
    now: str


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """All that a replay found out."""

    crate: str
    work: str
    started_at: str
    ended_at: str
    steps: tuple[StepReport, ...]
    products: tuple[ProductReport, ...]
    environment: tuple[EnvironmentDifference, ...] = ()
    format: str = "casaprov/replay-report/1"

    @property
    def blocked(self) -> tuple[StepReport, ...]:
        """Steps that could not be run."""
        return tuple(step for step in self.steps if step.action == "blocked")

    @property
    def differing(self) -> tuple[ProductReport, ...]:
        """Final products that are not verified."""
        good = ("identical", "same-content", "within-tolerance")
        return tuple(p for p in self.products if p.final and p.comparison.verdict not in good)


@dataclass
class Replay:
    """A replay in progress.

    Parameters
    ----------
    plan
        What to run.
    sessions
        Recorded sessions by id; they tell where recorded paths start.
    work
        Empty folder to run in.
    runner, executor
        Record and run the calls.
    specs
        TaskSpec by task name; maps the paths in parameters.
    inputs
        Where each external input was found, by Entity id.
    measure
        Measures a path.
    compare
        Compares a recorded Entity with what is at a path now.
    on_step
        Called before each step runs, with its number from 1 and its Activity.
    """

    plan: Plan
    sessions: Mapping[str, Session]
    work: Path
    runner: Runner
    executor: Executor
    specs: Mapping[str, TaskSpec]
    inputs: Mapping[str, Path]
    measure: Callable[[Path], Measurement]
    compare: Callable[[Entity, Path, Tolerance], Comparison]
    entities: Mapping[str, Entity]
    tolerance: Tolerance = field(default_factory=Tolerance)
    on_step: Callable[[int, Activity], None] = lambda _number, _activity: None

    def __post_init__(self) -> None:
        self._paths = {entity.path for entity in self.entities.values()}

    def run(self) -> tuple[tuple[StepReport, ...], tuple[ProductReport, ...]]:
        """Run all steps and compare every state they make.

        Raises
        ------
        NoSpace
            If the work folder's file system is full.
        ReplayError
            If CASA itself cannot be used any more.
        """
        final = {entity.id for entity in self.plan.products}
        steps: list[StepReport] = []
        products: dict[str, ProductReport] = {}
        placed = self._place_inputs()
        for number, step in enumerate(self.plan.steps, start=1):
            if step.action == "run":
                self.on_step(number, step.activity)
                steps.append(self._run_step(step, placed))
            else:
                steps.append(_not_run(step))
            if step.action != "leave-out":
                for entity in self._generated(step.activity):
                    comparison = self._verdict(step, entity)
                    products[entity.id] = ProductReport(
                        path=entity.path,
                        kind=entity.kind,
                        made_by=step.activity.id,
                        final=entity.id in final,
                        comparison=comparison,
                    )
        return tuple(steps), tuple(products.values())

    def place(self, path: str) -> Path:
        """Return where a recorded path lies in the work folder.

        Raises
        ------
        ReplayError
            If it would lie outside; no record of casaprov says so.
        """
        below = Path("_elsewhere", path.lstrip("/")) if path.startswith("/") else Path(path)
        target = Path(os.path.normpath(self.work / below))
        if not target.is_relative_to(self.work) or (self.work / ".casaprov") in (target, *target.parents):
            raise ReplayError(
                f"The record names the path {path!r}, which lies outside of the work folder.",
                hint="This crate was not written by casaprov; do not trust it.",
            )
        return target

    # -- parts ---------------------------------------------------------------

    def _place_inputs(self) -> dict[str, Path]:
        """Copy what the replay could change; a plain file is read where it is."""
        placed: dict[str, Path] = {}
        for entity in self.plan.inputs:
            found = self.inputs[entity.id]
            if found.is_dir() or not Path(entity.path).is_absolute():
                target = self.place(entity.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(found, target)
                placed[entity.path] = target
            else:
                placed[entity.path] = found
        return placed

    def _run_step(self, step: PlanStep, placed: Mapping[str, Path]) -> StepReport:
        activity = step.activity
        for path in step.clears:
            if self.place(path) != self.work:
                _remove(self.place(path))
        result = self.runner.run(self._call(activity, placed), self.executor)
        self._check_space(activity, result)
        if isinstance(result.error, WorkerDied):
            raise ReplayError(
                f"CASA ended while it ran {activity.task}: {result.error.message}",
                hint="The log in the work folder says what it did last.",
            ) from result.error
        if isinstance(result.error, ReplayError):
            raise result.error
        outcome: Outcome = "completed" if result.error is None else "failed"
        return StepReport(
            id=activity.id,
            task=activity.task,
            action="run",
            recorded_outcome=activity.outcome,
            outcome=outcome,
            failure=str(result.error) if result.error is not None else "",
            seconds=activity.seconds,
            same_return=_same_return(activity, result.returned) if outcome == activity.outcome else False,
        )

    def _call(self, activity: Activity, placed: Mapping[str, Path]) -> TaskCall:
        folder = Path(self.sessions[activity.session].folder)
        cwd = self.place(activity.cwd)
        cwd.mkdir(parents=True, exist_ok=True)

        def new_path(recorded: Path) -> str:
            key = _key(recorded, folder)
            target = placed.get(key) or self.place(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            return os.path.relpath(target, cwd) if target.is_relative_to(self.work) else target.as_posix()

        def is_recorded(path: Path) -> bool:
            return _key(path, folder) in self._paths

        recorded = {name: from_json(value) for name, value in activity.parameters.items()}
        parameters = self.specs[activity.task].map_paths(recorded, folder / activity.cwd, new_path, exists=is_recorded)
        return TaskCall(
            task=activity.task, package=activity.package, parameters=parameters, given=activity.given, cwd=cwd
        )

    def _check_space(self, activity: Activity, result: TaskResult) -> None:
        full = isinstance(result.error, OSError) and result.error.errno == errno.ENOSPC
        if result.error is not None and (full or shutil.disk_usage(self.work).free < _MIN_FREE_BYTES):
            raise NoSpace(
                f"There is no space left in the work folder {self.work} for {activity.task}.",
                hint="Give a folder on a larger disk with --work; the crate and its inputs are unharmed.",
            ) from result.error

    def _generated(self, activity: Activity) -> list[Entity]:
        return [self.entities[usage.entity] for usage in activity.generated]

    def _verdict(self, step: PlanStep, entity: Entity) -> Comparison:
        if step.action == "blocked":
            return Comparison("not-verifiable", (), f"the call that made it was not replayed: {step.reason}")
        if entity.content_digest is None:
            return Comparison("not-verifiable", (), entity.note or "its content was not digested when it was recorded")
        path = self.place(entity.path)
        if not path.exists():
            return Comparison("missing", (), "the replayed call did not make it")
        return self.compare(entity, path, self.tolerance)


def compare_environments(recorded: Environment, present: Environment) -> tuple[EnvironmentDifference, ...]:
    """List every setting that differs, the most telling first; host and git state do not count."""
    found: list[EnvironmentDifference] = []
    for item in fields(Environment):
        if item.name in ("host", "git", "container"):
            continue
        before, after = getattr(recorded, item.name), getattr(present, item.name)
        if isinstance(before, dict):
            names = sorted(before.keys() | after.keys())
            pairs = [(f"{item.name}.{name}", before.get(name, ""), after.get(name, "")) for name in names]
        else:
            pairs = [(item.name, before, after)]
        found += [EnvironmentDifference(name=name, recorded=a, now=b) for name, a, b in pairs if a != b]
    return tuple(found)


def same_but_for_folder(original: Path, recorded_folder: str, present: Path, work: str) -> bool:
    """Tell whether two texts are equal once the recorded folder is called as the work folder.

    Listings such as listobs' name the data by absolute path.
    """
    if max(original.stat().st_size, present.stat().st_size) > _MAX_TEXT_BYTES:
        return False
    text = original.read_bytes()
    return text.replace(recorded_folder.encode(), work.encode()) == present.read_bytes()


def _key(path: Path, folder: Path) -> str:
    """Return the path as records write it."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _not_run(step: PlanStep) -> StepReport:
    return StepReport(
        id=step.activity.id,
        task=step.activity.task,
        action=step.action,
        reason=step.reason,
        recorded_outcome=step.activity.outcome,
    )


def _same_return(activity: Activity, returned: Any) -> bool | None:
    value = to_json(returned)
    if activity.returned_digest is None or not is_exact(value):
        return None
    return digest_record("casaprov/value/1", value) == activity.returned_digest


def _copy(source: Path, target: Path) -> None:
    try:
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target)
    except OSError as error:
        _remove(target)
        if error.errno == errno.ENOSPC:
            raise NoSpace(
                f"There is no space left for a copy of the input {source} at {target}.",
                hint="Give a folder on a larger disk with --work; the input is unharmed.",
            ) from error
        raise ReplayError(f"The input {source} cannot be copied to {target}: {error}.") from error
    except shutil.Error as error:
        _remove(target)
        raise ReplayError(f"The input {source} cannot be copied to {target}: {error}.") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
