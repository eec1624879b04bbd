"""Replaying a crate with the CASA that is installed here: everything put together."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from casaprov.casa.installed.data import data_folders
from casaprov.casa.sandbox.executor import CasaProcess
from casaprov.casa.sandbox.product_readers import ProductReaders
from casaprov.casa.session import open_recorder
from casaprov.comparison.listings import same_listing
from casaprov.comparison.products import Comparison, Tolerance, compare_trees
from casaprov.crate import OpenCrate, open_crate
from casaprov.digests.digester import Digester
from casaprov.errors import CrateError, DigestError, InputMissing, MissingDependency, UsageError, WorkerDied
from casaprov.records.model import Activity, Entity, Environment, Session
from casaprov.records.serialise import unstructure
from casaprov.records.wording import now
from casaprov.replay import Replay, place_inputs
from casaprov.replays.inputs import InputFinder
from casaprov.replays.plan import Plan, foreign_states, make_plan
from casaprov.replays.report import REPORT_FORMAT, ReplayReport, compare_environments
from casaprov.replays.work_folder import WorkFolder, no_space
from casaprov.runner import Runner
from casaprov.tasks.specs import load_specs
from casaprov.version import __version__

__all__ = ["REPORT_NAME", "ReplayOptions", "replay_crate"]

REPORT_NAME = "replay-report.json"

_ASK = "Ask its author for a crate made by 'casaprov export'."


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """How to replay.

    Attributes
    ----------
    data
        Folders to search for inputs that are not in the crate.
    verify
        Whether a crate whose files do not match its checksums is refused.
    python
        Interpreter whose CASA runs the tasks.
    confined
        Whether the kernel confines it to the work folder.
    """

    data: tuple[Path, ...] = ()
    tolerance: Tolerance = field(default_factory=Tolerance)
    verify: bool = True
    python: str = sys.executable
    confined: bool = True


def replay_crate(
    crate: Path,
    work: Path,
    digester: Digester,
    options: ReplayOptions,
    *,
    on_step: Callable[[int, Activity], None] = lambda _number, _activity: None,
) -> ReplayReport:
    """Replay `crate` in the empty folder `work` and write the report there.

    Raises
    ------
    UsageError
        If `work` is not empty, or a folder or program of `options` is not there.
    CrateError
        If the crate is damaged, hostile, or holds no records.
    CasaMissing, CasaDataMissing, ConfinementMissing, InputMissing, NoSpace, ReplayError
        If the replay cannot start or go on.
    """
    options = _checked(options)
    made = not work.exists()
    work = _empty_folder(work)
    with _removed_if_empty(work, made=made), _private_folder(work) as private:
        opened = open_crate(crate, private / "crate", verify=options.verify)
        try:
            report = _replay(opened, crate.name, work, private, digester, options, on_step)
        except OSError as error:
            raise _full(work, error) from error
        text = json.dumps(unstructure(report), indent=2) + "\n"
        (private / REPORT_NAME).write_text(text, encoding="utf-8")
        # A rename puts the report in the place of a link; writing would follow it.
        (private / REPORT_NAME).replace(work / REPORT_NAME)
    return report


def _replay(
    opened: OpenCrate,
    name: str,
    work: Path,
    private: Path,
    digester: Digester,
    options: ReplayOptions,
    on_step: Callable[[int, Activity], None],
) -> ReplayReport:
    started_at = now()
    specs = load_specs()
    tasks = {f"{spec.package}.{spec.task}" for spec in specs.values()}
    finder = _finder(opened, digester, options.data)
    foreign = _at_hand(foreign_states(opened.document, tasks), finder)
    plan = make_plan(opened.document, tasks, foreign.keys())
    if not plan.steps:
        raise CrateError("The records of this crate hold no call, so there is nothing to replay.", hint=_ASK)
    inputs = foreign | _find_inputs(plan, opened, finder)
    executor = CasaProcess(work, inputs=inputs.values(), python=options.python, confined=options.confined)
    readers = ProductReaders(digester, (work, opened.folder, *inputs.values()), confined=options.confined)
    try:
        if unable := executor.unable({step.activity.package for step in plan.steps if step.action == "run"}):
            plan = make_plan(opened.document, tasks, foreign.keys(), unable)
        environment = _environment(executor, work, options)
        folder = WorkFolder(work, executor)
        session = Session(
            id="replay",
            started_at=started_at,
            folder=work.as_posix(),
            environment=environment,
            casaprov=__version__,
            notebook=opened.document.notebook,
        )
        placed = place_inputs(plan, inputs, folder)
        tiers = {placed[entity.path]: entity.tier for entity in plan.inputs}
        recorder = open_recorder(session, private / "replay", readers.digester, lambda path: tiers.get(path, "full"))
        steps, products = Replay(
            plan=plan,
            sessions={session.id: session for session in opened.document.sessions},
            work=folder,
            runner=Runner(recorder),
            executor=executor,
            specs=specs,
            inputs=inputs,
            placed=placed,
            compare=_Judge(opened, readers, work, placed).compare,
            entities={entity.id: entity for entity in opened.document.entities},
            tolerance=options.tolerance,
            on_step=on_step,
        ).run()
        recorder.close()
    finally:
        executor.close()
        readers.close()
    return ReplayReport(
        crate=name,
        work=work.as_posix(),
        started_at=started_at,
        ended_at=now(),
        steps=steps,
        products=products,
        environment=compare_environments(opened.document.sessions[-1].environment, environment),
        confined=options.confined,
        format=REPORT_FORMAT,
        sampled=tuple(entity.path for entity in plan.inputs if entity.tier == "fast"),
    )


def _checked(options: ReplayOptions) -> ReplayOptions:
    """Return the options with an absolute path of the interpreter: the child does not start where the user is."""
    for folder in options.data:
        if not folder.is_dir():
            told = f"{folder} is no folder" if folder.exists() else f"There is no folder {folder}"
            raise UsageError(f"{told} to search for inputs.", hint="Give one that is there with --data.")
    python = shutil.which(options.python)
    if python is None:
        raise UsageError(f"There is no program {options.python}.", hint="Name a Python that has CASA with --python.")
    # Not resolved: the link that a virtual environment's Python is tells which environment it is.
    return replace(options, python=os.path.abspath(python))  # noqa: PTH100


def _environment(executor: CasaProcess, work: Path, options: ReplayOptions) -> Environment:
    try:
        return executor.environment(work)
    except WorkerDied as error:
        if options.python == sys.executable:
            raise
        told = f"{options.python} cannot run CASA for casaprov. {error.message}"
        hint = f"casaprov and CASA must be installed there: {options.python} -m pip install 'casaprov[casa]'"
        raise MissingDependency(told, hint=hint) from error


@contextmanager
def _removed_if_empty(work: Path, *, made: bool) -> Iterator[None]:
    """Leave no empty folder behind where the replay did not even start."""
    try:
        yield
    finally:
        if made and not any(work.iterdir()):
            work.rmdir()


@contextmanager
def _private_folder(work: Path) -> Iterator[Path]:
    """Make a folder beside the work folder, out of reach of what runs there; its record ends up inside."""
    parent = work.parent if os.access(work.parent, os.W_OK) and _same_disk(work, work.parent) else None
    private = Path(tempfile.mkdtemp(prefix=f".{work.name}-", dir=parent))
    try:
        yield private
    finally:
        own = work / ".casaprov"
        if own.is_symlink():
            own.unlink()
        else:
            shutil.rmtree(own, ignore_errors=True)
        if (private / "replay").is_dir():
            with suppress(OSError):  # the record of a replay on a full disk
                own.mkdir()
                shutil.move(private / "replay", own / "replay")
        shutil.rmtree(private, ignore_errors=True)


def _same_disk(first: Path, second: Path) -> bool:
    return first.stat().st_dev == second.stat().st_dev


def _empty_folder(work: Path) -> Path:
    if work.exists() and (not work.is_dir() or any(work.iterdir())):
        raise UsageError(
            f"The work folder {work} is {'not empty' if work.is_dir() else 'a file'}.",
            hint="Name an empty or new folder with --work; nothing was touched.",
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The work folder {work} cannot be made: {error.strerror}.", hint="Name another one with --work."
        ) from error
    return work.resolve()


def _finder(opened: OpenCrate, digester: Digester, folders: Sequence[Path]) -> InputFinder:
    return InputFinder(
        resolvers={"casadata": _in_casa_data, "file": _where_it_was},
        folders=folders,
        measure=digester.measure,
        shipped=opened.shipped,
    )


def _at_hand(states: Iterable[Entity], finder: InputFinder) -> dict[str, Path]:
    """Find the files of those states that are in the crate or in the given folders."""
    found: dict[str, Path] = {}
    for entity in states:
        if entity.content_digest is not None:
            with suppress(InputMissing):
                found[entity.id] = finder.find(entity)
    return found


def _find_inputs(plan: Plan, opened: OpenCrate, finder: InputFinder) -> dict[str, Path]:
    changed = {e.revision_of: e.generated_by for e in opened.document.entities if e.revision_of and e.generated_by}
    calls = {a.id: f"{number} ({a.task})" for number, a in enumerate(opened.document.activities, start=1)}
    found: dict[str, Path] = {}
    for entity in plan.inputs:
        try:
            found[entity.id] = finder.find(entity)
        except InputMissing as error:
            if entity.id not in changed:
                raise
            told = f"{error.message} Call {calls[changed[entity.id]]} of the notebook itself changed it in place."
            hint = "Give a folder that holds the original, or what it was copied from, with --data FOLDER."
            raise InputMissing(told, hint=hint) from error
    return found


def _in_casa_data(value: str) -> Path | None:
    if Path(value).is_absolute() or ".." in Path(value).parts:
        return None
    places = (folder / value for folder in data_folders())
    return next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110 - Path's raises for long names


def _where_it_was(value: str) -> Path | None:
    return Path(value) if Path(value).is_absolute() else None


class _Judge:
    """Compares a product with its record, and with the original itself where the crate ships it."""

    def __init__(self, opened: OpenCrate, readers: ProductReaders, work: Path, placed: Mapping[str, Path]) -> None:
        self._opened = opened
        self._readers = readers
        self._calls = {activity.id: activity for activity in opened.document.activities}
        self._moved = {path: place.as_posix() for path, place in placed.items() if Path(path).is_absolute()}
        self._moved |= {session.folder: work.as_posix() for session in opened.document.sessions}

    def compare(self, entity: Entity, path: Path, tolerance: Tolerance) -> Comparison:
        tree = self._opened.tree(entity)
        recorded = json.loads(tree.read_text(encoding="utf-8")) if tree is not None else None
        try:
            measured = self._readers.digester.measure(path, tier=entity.tier)
        except DigestError as error:
            return Comparison("not-verifiable", (), error.message)
        found = compare_trees(recorded, entity.content_digest, entity.byte_digest, measured, tolerance)
        original = self._opened.shipped(entity)
        if found.verdict != "differs" or original is None:
            return found
        if entity.kind == "File" and self._same_listing(entity, original, path):
            return Comparison("same-content", (), "the same text, but for folders and the time of writing")
        return self._readers.compare(original, path, tolerance)

    def _same_listing(self, entity: Entity, original: Path, path: Path) -> bool:
        call = self._calls.get(entity.generated_by or "")
        if call is None:
            return False
        return same_listing(original, datetime.fromisoformat(call.started_at), path, datetime.now(UTC), self._moved)


def _full(work: Path, error: OSError) -> Exception:
    if error.errno == errno.ENOSPC or shutil.disk_usage(work).free == 0:
        return no_space(str(work))
    return error
