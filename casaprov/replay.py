"""Replay: run what a crate recorded in an empty folder, and compare.

Only known CASA tasks run, with the recorded parameters and every path mapped
into the work folder; nothing of the notebook's code does. Each call goes
through the same :class:`~casaprov.runner.Runner` as in the notebook, so the
replay has a record of its own. Clock, CASA and readers are passed in.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from casaprov.comparison.products import Comparison, Tolerance
from casaprov.errors import ReplayError, WorkerDied
from casaprov.hashing import digest_record
from casaprov.records.model import Activity, Entity, Outcome, Session, Usage
from casaprov.records.values import from_json, is_exact, to_json
from casaprov.replays.plan import Plan, PlanStep
from casaprov.replays.report import ProductReport, StepReport
from casaprov.replays.work_folder import WorkFolder, no_space
from casaprov.runner import Runner
from casaprov.tasks.calls import Executor, TaskCall, TaskResult
from casaprov.tasks.specs import TaskSpec

__all__ = ["Replay", "place_inputs"]


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
    placed
        Where each lies now, by recorded path (:func:`place_inputs`).
    compare
        Compares a recorded Entity with what is at a path now.
    on_step
        Called before each step runs, with its number from 1 and its Activity.
    """

    plan: Plan
    sessions: Mapping[str, Session]
    work: WorkFolder
    runner: Runner
    executor: Executor
    specs: Mapping[str, TaskSpec]
    inputs: Mapping[str, Path]
    placed: Mapping[str, Path]
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
        lost: set[str] = set()
        for number, planned in enumerate(self.plan.steps, start=1):
            step = self._if_it_can(planned, lost)
            if step.action == "run":
                self.on_step(number, step.activity)
                steps.append(self._run_step(step))
            else:
                self._restore(step)
                steps.append(_not_run(step))
            for usage in step.leaves:
                entity = self.entities[usage.entity]
                if entity.id in self.plan.kept:
                    self.work.keep(entity.path, entity.id)
                products[entity.id] = ProductReport(
                    path=entity.path,
                    kind=entity.kind,
                    made_by=step.activity.id,
                    final=entity.id in final,
                    declared=usage.declared,
                    taken=step.action == "take",
                    comparison=self._verdict(step, usage, entity),
                )
                is_there = step.action != "blocked" or entity.id in {source.id for source, _ in step.restores}
                if not is_there or self._did_not_appear(usage, entity):
                    lost.add(entity.id)
        changed = [_changed_later(entity) for entity in self.plan.products if entity.gap]
        return tuple(steps), (*products.values(), *changed)

    # -- parts ---------------------------------------------------------------

    def _if_it_can(self, step: PlanStep, lost: set[str]) -> PlanStep:
        """Return a step, blocked if something that it uses did not come back after all; what is a copy of that is lost as well."""
        if step.action != "run":
            return step
        missing = [source for source, _ in step.restores if not self._source(source).exists()]
        paths = {path for source, path in step.restores if source in missing}
        lost.update(usage.entity for usage in step.activity.used if self.entities[usage.entity].path in paths)
        # Flag versions, which no parameter names, may be missing.
        named = (usage.entity for usage in step.activity.used if usage.parameter is not None)
        missing += [self.entities[entity] for entity in named if entity in lost]
        if not missing:
            return step
        for path in step.clears:
            self.work.clear(path)
        there = tuple((source, path) for source, path in step.restores if source not in missing)
        return replace(step, action="blocked", reason=f"{missing[0].path} could not be brought back", restores=there)

    def _did_not_appear(self, usage: Usage, entity: Entity) -> bool:
        return not usage.declared and not self.work.place(entity.path).exists()

    def _source(self, state: Entity) -> Path:
        return self.inputs.get(state.id) or self.work.kept(state.id)

    def _run_step(self, step: PlanStep) -> StepReport:
        activity = step.activity
        for path in step.clears:
            self.work.clear(path)
        self._restore(step)
        result = self.runner.run(self._call(activity), self.executor)
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

    def _restore(self, step: PlanStep) -> None:
        for source, path in step.restores:
            self.work.put(self._source(source), path)

    def _call(self, activity: Activity) -> TaskCall:
        folder = Path(self.sessions[activity.session].folder)
        cwd = self.work.place(activity.cwd)
        self.work.make_folder(cwd)

        def new_path(recorded: Path) -> str:
            key = _key(recorded, folder)
            target = self.placed.get(key) or self.work.place(key)
            if target.is_relative_to(self.work.root):
                self.work.make_folder(target.parent)
            return os.path.relpath(target, cwd) if target.is_relative_to(self.work.root) else target.as_posix()

        def is_recorded(path: Path) -> bool:
            return _key(path, folder) in self._paths

        recorded = {name: from_json(value) for name, value in activity.parameters.items()}
        spec = self.specs[activity.task]
        parameters = spec.map_paths(recorded, folder / activity.cwd, new_path, exists=is_recorded)
        for use in (*spec.inputs(parameters, cwd), *spec.outputs(parameters, cwd)):
            if use.role != "used" and not use.path.is_relative_to(self.work.root):
                told = f"The recorded call of {activity.task} would write to {use.path}, outside of the work folder."
                raise ReplayError(told, hint="Do not trust this crate: no record of casaprov leads there.")
        return TaskCall(
            task=activity.task, package=activity.package, parameters=parameters, given=activity.given, cwd=cwd
        )

    def _check_space(self, activity: Activity, result: TaskResult) -> None:
        full = isinstance(result.error, OSError) and result.error.errno == errno.ENOSPC
        if result.error is not None and (full or self.work.is_full()):
            raise no_space(f"{self.work.root} for {activity.task}") from result.error

    def _verdict(self, step: PlanStep, usage: Usage, entity: Entity) -> Comparison:
        if step.action == "blocked":
            return Comparison("not-verifiable", (), f"the call that made it was not replayed: {step.reason}")
        if step.action == "take":
            return Comparison("not-verifiable", (), step.reason)
        if entity.content_digest is None:
            return Comparison("not-verifiable", (), entity.note or "its content was not digested when it was recorded")
        path = self.work.place(entity.path)
        if self.work.leads_outside(entity.path):
            return Comparison("not-verifiable", (), "it is a link that leads out of the work folder")
        if self._did_not_appear(usage, entity):
            return Comparison("not-verifiable", (), "it appeared while the task ran; the task did not make it here")
        if not path.exists():
            return Comparison("missing", (), "the replayed call did not make it")
        found = self.compare(entity, path, self.tolerance)
        if found.verdict == "not-verifiable" and (link := self.work.way_out(entity.path)):
            told = f"{link.relative_to(self.work.root)} is a link that leads out of the work folder; {found.note}"
            return replace(found, note=told)
        return found


def place_inputs(plan: Plan, inputs: Mapping[str, Path], work: WorkFolder) -> dict[str, Path]:
    """Copy into the work folder what the replay could change; a plain file is read where it is."""
    placed: dict[str, Path] = {}
    for entity in plan.inputs:
        found = inputs[entity.id]
        stays = found.is_file() and Path(entity.path).is_absolute() and entity.path not in plan.written
        placed[entity.path] = found if stays else work.put(found, entity.path)
    return placed


def _key(path: Path, folder: Path) -> str:
    """Return the path as records write it."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()


def _changed_later(entity: Entity) -> ProductReport:
    told = "something that is no recorded task changed it after the last call that left it"
    return ProductReport(
        path=entity.path,
        kind=entity.kind,
        made_by="",
        final=True,
        comparison=Comparison("not-verifiable", (), told),
    )


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
