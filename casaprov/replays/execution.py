"""Execution of a plan: the calls run in the work folder one after the other, and each state that they leave is judged.

Every path in a call's parameters is mapped into the work folder. The inputs
that a call could change are copied there first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from casaprov.comparison.products import Comparison, Tolerance
from casaprov.errors import LimitReached, ReplayError, WorkerDied
from casaprov.files.disk_names import folded
from casaprov.hashing import digest_record
from casaprov.records.model import Activity, Entity, Outcome, Session, Usage
from casaprov.records.values import from_json, is_exact, to_json
from casaprov.replays.plan import Plan, PlanStep
from casaprov.replays.progress import Estimate, OnStep, ignore_step
from casaprov.replays.report import ProductReport, StepReport
from casaprov.replays.work_folder import WorkFolder, no_space
from casaprov.tasks.calls import TaskCall, TaskResult
from casaprov.tasks.specs import TaskSpec

__all__ = ["Execution", "place_inputs"]


def place_inputs(plan: Plan, inputs: Mapping[str, Path], work: WorkFolder) -> dict[str, Path]:
    """Copy the inputs that the replay could change into the work folder; a plain file is read where it is.

    Returns
    -------
    dict
        Place of each input, by recorded path.
    """
    placed: dict[str, Path] = {}
    for entity in plan.inputs:
        found = inputs[entity.id]
        stays = found.is_file() and Path(entity.path).is_absolute() and entity.path not in plan.written
        placed[entity.path] = found if stays else work.put(found, entity.path)
    return placed


@dataclass
class Execution:
    """A plan that is carried out.

    Parameters
    ----------
    plan
        The steps.
    sessions, entities
        Recorded sessions and states by id; relative paths start at a session's folder.
    work
        Empty folder to run in.
    run
        Runs a task call under recording.
    specs
        TaskSpec by task name; maps the paths in parameters.
    inputs
        Where each external input was found, by Entity id.
    placed
        Where each input lies now, by recorded path (:func:`place_inputs`).
    compare
        Compares a recorded state with the product at a path.
    """

    plan: Plan
    sessions: Mapping[str, Session]
    entities: Mapping[str, Entity]
    work: WorkFolder
    run: Callable[[TaskCall], TaskResult]
    specs: Mapping[str, TaskSpec]
    inputs: Mapping[str, Path]
    placed: Mapping[str, Path]
    compare: Callable[[Entity, Path, Tolerance], Comparison]
    tolerance: Tolerance = field(default_factory=Tolerance)
    on_step: OnStep = ignore_step

    def __post_init__(self) -> None:
        self._paths = {entity.path for entity in self.entities.values()}
        self._lost: set[str] = set()  # ids of states that did not come back

    def carry_out(self) -> tuple[tuple[StepReport, ...], tuple[ProductReport, ...]]:
        """Run all steps and compare every state they leave.

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
        estimate = Estimate(self.plan.steps)
        for planned in self.plan.steps:
            try:
                step = self._unless_blocked(planned)
                if step.action == "run":
                    self.on_step(estimate.progress(step.activity))
                    steps.append(self._run_step(step))
                    if steps[-1].action == "blocked":  # the process refused the call
                        step = replace(step, action="blocked", reason=steps[-1].reason, restores=())
                else:
                    self._restore(step)
                    steps.append(_not_run(step, taken=_paths_taken(step)))
            except (LimitReached, WorkerDied) as error:
                # The next call gets another process: what does not depend on this one is replayed.
                step = replace(planned, action="blocked", reason=_end_of_process(error), restores=())
                steps.append(replace(_not_run(step, taken=()), stopped=True))
            else:
                self._keep(step)
            for usage in step.leaves:
                entity = self.entities[usage.entity]
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
                    self._lost.add(entity.id)
        changed = [
            _changed_later(entity, taken=entity.id in self.inputs) for entity in self.plan.products if entity.gap
        ]
        return tuple(steps), (*products.values(), *changed)

    # -- before and after a call -----------------------------------------------

    def _unless_blocked(self, step: PlanStep) -> PlanStep:
        """Return a step, blocked if a state that it uses did not come back after all.

        The states that it would have restored from there are lost as well.
        """
        if step.action != "run":
            return step
        missing = [source for source, _ in step.restores if not self._source(source).exists()]
        paths = {path for source, path in step.restores if source in missing}
        self._lost.update(usage.entity for usage in step.activity.used if self.entities[usage.entity].path in paths)
        # A state that no parameter names may be missing: flag versions.
        named = (usage.entity for usage in step.activity.used if usage.parameter is not None)
        missing += [self.entities[entity] for entity in named if entity in self._lost]
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

    def _restore(self, step: PlanStep) -> None:
        try:
            for source, path in step.restores:
                self.work.put(self._source(source), path)
        except (LimitReached, WorkerDied):  # a part of a state may be there now
            paths = {path for _, path in step.restores}
            self._lost.update(usage.entity for usage in step.activity.used if self.entities[usage.entity].path in paths)
            raise

    def _keep(self, step: PlanStep) -> None:
        """Keep the states that a call left and later ones need; one that cannot be kept blocks those."""
        for usage in step.leaves:
            if usage.entity in self.plan.kept:
                try:
                    self.work.keep(self.entities[usage.entity].path, usage.entity)
                except (LimitReached, WorkerDied):
                    self.work.forget(usage.entity)

    # -- a call ----------------------------------------------------------------

    def _run_step(self, step: PlanStep) -> StepReport:
        activity = step.activity
        for path in step.clears:
            self.work.clear(path)
        self._restore(step)
        result = self.run(self._call(activity))
        self._check_space(activity, result)
        if isinstance(result.error, LimitReached | WorkerDied):
            raise result.error
        if isinstance(result.error, ReplayError):  # the process refused the call: it did not run
            return _not_run(replace(step, action="blocked", reason=result.error.message.removesuffix(".")), taken=())
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
            taken=_paths_taken(step),
            restored=result.restored is not None,
        )

    def _call(self, activity: Activity) -> TaskCall:
        """Return the recorded call with every path mapped into the work folder."""
        folder = Path(self.sessions[activity.session].folder)
        # A name below the session's folder may be another name all the same: of these, the longest comes first.
        names = {Path(alias): name for alias, name in sorted(activity.aliases.items(), key=lambda item: -len(item[0]))}
        names.setdefault(folder, "")
        cwd = self.work.place(activity.cwd)
        self.work.make_folder(cwd)

        # Recorded on a disk that does not tell A from a: the parameters may spell a name otherwise than the disk does.
        listed = {
            folded(path): path
            for path in (self.entities[use.entity].path for use in (*activity.used, *activity.generated))
        }

        def recorded_name(path: Path) -> str:
            name = _recorded_name(path, names)
            return name if name in self._paths else listed.get(folded(name), name)

        def new_path(recorded: Path) -> str:
            name = recorded_name(recorded)
            target = self.placed.get(name) or self.work.place(name)
            if not target.is_relative_to(self.work.root):
                return target.as_posix()
            self.work.make_folder(target.parent)
            return os.path.relpath(target, cwd)

        def is_recorded(path: Path) -> bool:
            return recorded_name(path) in self._paths

        recorded = {name: from_json(value) for name, value in activity.parameters.items()}
        spec = self.specs[activity.task]
        parameters = spec.map_paths(recorded, folder / activity.cwd, new_path, exists=is_recorded)
        # The parameters may name files in other ways than as paths, and lead anywhere.
        for use in (*spec.inputs(parameters, cwd), *spec.outputs(parameters, cwd)):
            if use.role != "used" and not use.path.is_relative_to(self.work.root):
                raise ReplayError(
                    f"The recorded call of {activity.task} would write to {use.path}, outside of the work folder.",
                    hint="Do not trust this crate: casaprov records no such call.",
                )
        return TaskCall(
            task=activity.task, package=activity.package, parameters=parameters, given=activity.given, cwd=cwd
        )

    def _check_space(self, activity: Activity, result: TaskResult) -> None:
        full = isinstance(result.error, OSError) and result.error.errno == errno.ENOSPC
        if result.error is not None and (full or self.work.is_full()):
            raise no_space(f"{self.work.root} for {activity.task}") from result.error

    # -- a product -------------------------------------------------------------

    def _verdict(self, step: PlanStep, usage: Usage, entity: Entity) -> Comparison:
        if step.action == "blocked":
            return _not_verifiable(f"the call that made it was not replayed: {step.reason}")
        if step.action == "take":
            return _not_verifiable(step.reason)
        if entity.content_digest is None:
            return _not_verifiable(entity.note or "its content was not digested when it was recorded")
        path = self.work.place(entity.path)
        if self.work.leads_outside(entity.path):
            return _not_verifiable("it is a link that leads out of the work folder")
        if self._did_not_appear(usage, entity):
            return _not_verifiable("it appeared while the task ran; the task did not make it here")
        if not path.exists():
            return Comparison("missing", (), "the replayed call did not make it")
        found = self.compare(entity, path, self.tolerance)
        if found.verdict == "not-verifiable" and (link := self.work.way_out(entity.path)):
            note = f"{link.relative_to(self.work.root)} is a link that leads out of the work folder; {found.note}"
            return replace(found, note=note)
        return found


def _recorded_name(path: Path, names: Mapping[Path, str]) -> str:
    """Return the path as records write it; `names` has the recorded names of folders, the first that fits counts."""
    folder = next((folder for folder in names if path.is_relative_to(folder)), None)
    return path.as_posix() if folder is None else Path(names[folder], path.relative_to(folder)).as_posix()


def _not_verifiable(note: str) -> Comparison:
    return Comparison("not-verifiable", (), note)


def _changed_later(entity: Entity, *, taken: bool) -> ProductReport:
    """Return the report on a product that something outside of tasks changed after the last call that changed it.

    Parameters
    ----------
    taken
        Whether the state came with the crate, for calls that only read it.
    """
    note = "something other than a recorded task changed it after the last call that left it"
    return ProductReport(
        path=entity.path,
        kind=entity.kind,
        made_by="",
        final=True,
        taken=taken,
        comparison=_not_verifiable(f"{note}; it is taken as it is" if taken else note),
    )


def _end_of_process(error: LimitReached | WorkerDied) -> str:
    return f"{error}" if isinstance(error, LimitReached) else f"CASA ended while it ran: {error.message}"


def _paths_taken(step: PlanStep) -> tuple[str, ...]:
    """Return the paths to which a step copies states that no task made."""
    return tuple(path for source, path in step.restores if source.gap or step.action == "take")


def _not_run(step: PlanStep, taken: tuple[str, ...]) -> StepReport:
    return StepReport(
        id=step.activity.id,
        task=step.activity.task,
        action=step.action,
        reason=step.reason,
        recorded_outcome=step.activity.outcome,
        taken=taken,
    )


def _same_return(activity: Activity, returned: Any) -> bool | None:
    """Return True if a return value is the recorded one; None if it has no canonical form."""
    value = to_json(returned)
    if activity.returned_digest is None or not is_exact(value):
        return None
    return digest_record("casaprov/value/1", value) == activity.returned_digest
