"""Replay: run the calls that a crate recorded in an empty folder, and compare every product with its record.

Only known CASA tasks run, with the recorded parameters and every path mapped
into the work folder; nothing of the notebook's code does. Each call goes
through the same :class:`~casaprov.runner.Runner` as in the notebook, so the
replay has a record of its own. CASA, and whatever reads files, is handed in
(:class:`ReplayCasa`).

The parts, in the order they work: ``replays/folders``, ``crate``, ``replays/inputs``, ``replays/plan``,
``replays/execution``, ``replays/judge``, ``replays/report``.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from casaprov.comparison.products import Comparison, Tolerance
from casaprov.confinement.limits import Limits, with_choices
from casaprov.crate import OpenCrate, open_crate
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import CrateError, UsageError
from casaprov.lineage.foreign import foreign_states
from casaprov.lineage.graph import Lineage
from casaprov.recorder import Digester, Recorder
from casaprov.records.model import Activity, Document, Environment, Session, Tier
from casaprov.records.serialise import unstructure
from casaprov.records.wording import now
from casaprov.replays.execution import Execution, place_inputs
from casaprov.replays.folders import JOURNAL, empty_folder, private_folder
from casaprov.replays.inputs import InputFinder, Resolver, find_foreign, find_inputs
from casaprov.replays.judge import Judge
from casaprov.replays.locators import FileLocators
from casaprov.replays.plan import make_plan
from casaprov.replays.progress import OnStep, ignore_step
from casaprov.replays.report import REPORT_FORMAT, ReplayReport, compare_environments
from casaprov.replays.usual_limits import usual_limits
from casaprov.replays.work_folder import Files, WorkFolder, no_space, remove
from casaprov.runner import Results, Runner
from casaprov.tasks.calls import Executor
from casaprov.tasks.specs import load_specs
from casaprov.version import __version__

__all__ = [
    "REPORT_NAME",
    "ReplayCasa",
    "ReplayDigester",
    "ReplayExecutor",
    "ReplayOptions",
    "ReplayReader",
    "replay_crate",
]

REPORT_NAME = "replay-report.json"

_ASK = "Ask its author for a crate made by 'casaprov export'."


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """Options of a replay.

    Attributes
    ----------
    data
        Folders to search for inputs that are not in the crate.
    tolerance
        Differences between numbers to tolerate.
    verify
        Whether a crate whose files do not match its checksums is refused.
    fetch
        Returns resolvers of locators that lead to the network, for the records of a crate; by default it is not used.
    limits
        Limits that the user chose, as ``memory=16GB``; the others are usual ones, see
        :func:`casaprov.replays.usual_limits.usual_limits`.
    cache
        Folder that keeps the results of replayed calls for later replays; None for none.
    """

    data: tuple[Path, ...] = ()
    tolerance: Tolerance = field(default_factory=Tolerance)
    verify: bool = True
    fetch: Callable[[Document], Mapping[str, Resolver]] = lambda _: {}
    limits: tuple[str, ...] = ()
    cache: Path | None = None


class ReplayExecutor(Executor, Files, Protocol):
    """The process that runs the calls of a replay, and changes the files of its work folder."""

    def unable(self, calls: Sequence[Activity]) -> Mapping[str, str]:
        """Return why each of `calls` that cannot be run here cannot, by its id."""
        ...

    def environment(self, folder: Path) -> Environment:
        """Return the environment of the process."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class ReplayResults(Results, Protocol):
    """Results of earlier replays."""

    def close(self) -> None:
        """Keep the remaining results, and end the process that keeps them."""
        ...


class ReplayDigester(Digester, Protocol):
    """The digester of products, for the judge and the recorder."""

    def measure(self, path: Path, *, tier: Tier = "full") -> Measurement:
        """Measure a product; DigestError if it cannot be read."""
        ...


class ReplayReader(Protocol):
    """The processes that read the products of replayed calls, which may be anything."""

    @property
    def digester(self) -> ReplayDigester:
        """Measures products."""
        ...

    def compare(self, original: Path, path: Path, tolerance: Tolerance) -> Comparison:
        """Compare a product with the original; a product that cannot be read is not verifiable."""
        ...

    def same_listing(
        self, recorded: Path, recorded_at: datetime, present: Path, present_at: datetime, moved: Mapping[str, str]
    ) -> bool:
        """Compare two texts but for folders and times (:func:`casaprov.comparison.listings.same_listing`)."""
        ...

    def close(self) -> None:
        """End the processes."""
        ...


class ReplayCasa(Protocol):
    """CASA, and the readers of files, as a replay needs them."""

    @property
    def confined(self) -> bool:
        """True if the kernel confines CASA to the work folder."""
        ...

    @property
    def resolvers(self) -> Mapping[str, Resolver]:
        """Resolvers of locators that lead to CASA's own data, by scheme."""
        ...

    @property
    def measure(self) -> Measure[Measurement]:
        """Measure a candidate for an input, by a process that can write nothing; DigestError if it cannot be read."""
        ...

    def open_executor(self, work: Path, inputs: Iterable[Path], limits: Limits) -> ReplayExecutor:
        """Start CASA for calls that may write in `work` and read `inputs`."""
        ...

    def open_reader(self, readable: Iterable[Path]) -> ReplayReader:
        """Start readers that may read these folders and files, those of the system and of CASA, and nothing else."""
        ...

    def open_results(
        self,
        folder: Path,
        work: Path,
        inputs: Iterable[Path],
        executor: Any,
        environment: Environment,
        measure: Callable[[Path], Future[Measurement]],
    ) -> ReplayResults:
        """Open the results of earlier replays in `folder`, which no session of a user reads.

        Parameters
        ----------
        executor, environment
            The process that runs the calls, and its environment.
        measure
            Starts to measure what is at a path.
        """
        ...

    def open_recorder(
        self, session: Session, journal: Path, digester: Digester, tier: Callable[[Path], Tier]
    ) -> Recorder:
        """Open the record of the replay in the folder `journal`; `tier` says how much of an input is read."""
        ...


def replay_crate(
    crate: Path, work: Path, casa: ReplayCasa, options: ReplayOptions, *, on_step: OnStep = ignore_step
) -> ReplayReport:
    """Replay `crate` in the empty folder `work` and write the report there.

    Raises
    ------
    UsageError
        If `work` is not empty, or a folder of `options` is not there.
    CrateError
        If the crate is damaged, hostile, or holds no records.
    CasaMissing, CasaDataMissing, ConfinementMissing, InputMissing, NoSpace, ReplayError
        If the replay cannot start or go on.
    """
    with_choices(Limits(), options.limits)  # a wrong one is told before anything is unpacked
    for folder in options.data:
        if not folder.is_dir():
            problem = f"{folder} is no folder" if folder.exists() else f"There is no folder {folder}"
            raise UsageError(f"{problem} to search for inputs.", hint="Give a folder that is there with --data.")
    with empty_folder(work) as root, private_folder(root) as private:
        opened = open_crate(crate, private / "crate", verify=options.verify)
        try:
            report = _replay(opened, crate.name, root, private, casa, options, on_step)
        except OSError as error:
            if error.errno == errno.ENOSPC or shutil.disk_usage(root).free == 0:
                raise no_space(str(root)) from error
            raise
        text = json.dumps(unstructure(report), indent=2) + "\n"
        (private / REPORT_NAME).write_text(text, encoding="utf-8")
        # A rename puts the report in the place of a link that a call left; writing would follow the link. It cannot
        # replace a folder.
        if (root / REPORT_NAME).is_dir():
            remove(root / REPORT_NAME)
        (private / REPORT_NAME).replace(root / REPORT_NAME)
    return report


def _replay(
    opened: OpenCrate,
    name: str,
    work: Path,
    private: Path,
    casa: ReplayCasa,
    options: ReplayOptions,
    on_step: OnStep,
) -> ReplayReport:
    started_at = now()
    recorded = opened.document.last_run or opened.document.sessions[-1]
    specs = load_specs()
    tasks = {f"{spec.package}.{spec.task}" for spec in specs.values()}
    lineage = Lineage(opened.document)
    finder = InputFinder(
        resolvers={
            "file": FileLocators(opened.document, options.data).resolve,
            **casa.resolvers,
            **options.fetch(opened.document),
        },
        folders=options.data,
        measure=casa.measure,
        shipped=opened.shipped,
    )
    foreign = find_foreign(foreign_states(lineage, tasks), finder)
    plan = make_plan(lineage, tasks, foreign.keys())
    if not plan.steps:
        raise CrateError("The records of this crate hold no call, so there is nothing to replay.", hint=_ASK)
    inputs = foreign | find_inputs(plan.inputs, opened.document, finder)
    limits = with_choices(usual_limits(opened.document), options.limits)
    with (
        closing(casa.open_executor(work, inputs.values(), limits)) as executor,
        closing(casa.open_reader((work, opened.folder, *inputs.values()))) as reader,
        ExitStack() as opened_results,
    ):
        environment = executor.environment(work)
        # Before anything runs: what this CASA lacks blocks only what depends on it.
        if unable := executor.unable([step.activity for step in plan.steps if step.action == "run"]):
            plan = make_plan(lineage, tasks, foreign.keys(), unable)
        session = Session(
            id="replay",
            started_at=started_at,
            folder=work.as_posix(),
            environment=environment,
            casaprov=__version__,
            notebook=opened.document.notebook,
        )
        folder = WorkFolder(work, executor)
        placed = place_inputs(plan, inputs, folder)
        tiers = {placed[entity.path]: entity.tier for entity in plan.inputs}
        recorder = casa.open_recorder(session, private / JOURNAL, reader.digester, lambda path: tiers.get(path, "full"))
        results = None
        if options.cache is not None:
            measure = reader.digester.submit
            results = casa.open_results(options.cache, work, inputs.values(), executor, environment, measure)
            opened_results.enter_context(closing(results))
        runner = Runner(recorder, recomputation=lambda: results)
        steps, products = Execution(
            plan=plan,
            sessions={recorded.id: recorded for recorded in opened.document.sessions},
            entities=lineage.entities,
            work=folder,
            run=lambda call: runner.run(call, executor),
            specs=specs,
            inputs=inputs,
            placed=placed,
            compare=Judge(opened, reader.digester.measure, reader.compare, reader.same_listing, work, placed).compare,
            tolerance=options.tolerance,
            on_step=on_step,
        ).carry_out()
        recorder.close()
    report = ReplayReport(
        crate=name,
        work=work.as_posix(),
        started_at=started_at,
        ended_at=now(),
        steps=steps,
        products=products,
        environment=compare_environments(recorded.environment, session.environment),
        confined=casa.confined,
        format=REPORT_FORMAT,
        sampled=tuple(entity.path for entity in plan.inputs if entity.tier == "fast"),
    )
    return replace(report, conclusion=report.conclude())
