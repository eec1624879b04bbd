"""The recorder: begin and end of a task call become an Activity.

What a call reads and changes is digested before it starts (what it only
reads, while it runs), what it wrote is digested after it ended, and a walk of
the working directory before and after finds what nobody declared. Clock, ids,
digester, specs and locators are passed in; the recorder touches nothing but
the files it measures and the journal it writes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from casaprov.calls import FileTable, TaskCall, TaskResult, error_text
from casaprov.checksum import Measurement
from casaprov.digest import digest_record
from casaprov.errors import CasaprovError, JournalError
from casaprov.gaps import Pauses, describe_gap
from casaprov.journal import Journal
from casaprov.model import Activity, Checksum, Entity, Locator, LogSegment, Session, Tier, Usage
from casaprov.stamps import Stamps, Walk, stamp, walk
from casaprov.states import States
from casaprov.taskspec import FileUse, TaskSpec, guess_inputs
from casaprov.values import is_exact, summarise, to_json

__all__ = ["Digester", "Opened", "Recorder", "now"]

_MAX_RETURNED_BYTES = 4000


def now() -> str:
    """Return the present time as records write it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Digester(Protocol):
    """What measures files for the recorder (:class:`casaprov.digester.Digester`)."""

    def submit(self, path: Path, *, tier: Tier = "full") -> Future[Measurement]:
        """Start to measure a file or table."""
        ...


@dataclass
class Opened:
    """A call that has begun: what its end needs to know about its beginning.

    Attributes
    ----------
    between
        States that the call itself left between the calls that it made.
    """

    call: TaskCall
    activity: Activity
    files: FileTable | None
    uses: tuple[FileUse, ...]
    stamps: dict[Path, Stamps]
    pending: dict[Path, Future[Measurement]]
    walked: Walk
    found: dict[Path, Entity] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)
    between: dict[str, Entity] = field(default_factory=dict)
    waited_s: float = 0.0
    problems: list[str] = field(default_factory=list)


class Recorder:
    """Turns task calls into Activities and Entities of one session.

    Parameters
    ----------
    journal
        Where records go; also names the session.
    digester
        Measures files, in other processes.
    specs
        TaskSpec by task name.
    locate
        Tells where else an external input can be found.
    states
        Last known Entity of each path, from earlier sessions of the notebook.
    checksums
        Tells what an archive says of an external input that is not read as a whole.
    tier
        Tells how much is read of a path that is not known yet; a known one stays in its tier.
    clock
        Returns the present time as records write it.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        digester: Digester,
        specs: Mapping[str, TaskSpec],
        locate: Callable[[Path], tuple[Locator, ...]] = lambda _: (),
        checksums: Callable[[Path], tuple[Checksum, ...]] = lambda _: (),
        tier: Callable[[Path], Tier] = lambda _: "full",
        states: Mapping[str, Entity] | None = None,
        clock: Callable[[], str] = now,
    ) -> None:
        self._journal = journal
        self._digester = digester
        self._specs = specs
        self._pauses = Pauses()
        told = (self._describe_gap, checksums, self._pauses.describe_new)
        self._states = States(journal.session, states or {}, locate, *told)
        self._tier = tier
        self._clock = clock
        self._lock = threading.Lock()
        self._calls = 0
        self._names: dict[str, str] = {}
        self._written: set[str] = set()
        # Of the thread or the asyncio task: what is under way there, the outermost first.
        self._open: ContextVar[tuple[Opened, ...]] = ContextVar("casaprov_open", default=())

    @property
    def session(self) -> Session:
        """The session that is recorded."""
        return self._journal.session

    # -- begin ---------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a call is under way in this thread or asyncio task."""
        return bool(self._open.get())

    def begin(self, call: TaskCall, files: FileTable | None = None, *, encloses: bool = True) -> Opened:
        """Record that `call` is about to run. What it changes is digested before this returns.

        Parameters
        ----------
        files
            What is declared about its files; by default what the TaskSpec says.
        encloses
            Whether calls until its end are calls that it makes.
        """
        began = time.monotonic()
        files = files or self._spec(call)
        uses = files.inputs(call.parameters, call.cwd) if files else guess_inputs(call.parameters, call.cwd)
        outputs = files.outputs(call.parameters, call.cwd) if files else ()
        # What a call deletes need not be read for that.
        read = [use.path for use in uses if use.role != "deleted"]
        pending = {path: self._digester.submit(path, tier=self._tier_of(path)) for path in read}
        with self._lock:
            self._calls += 1
            number = self._calls
        parents = self._open.get()
        walked = walk(call.cwd)
        opened = Opened(
            call=call,
            activity=Activity(
                id=f"{self.session.id}/{number:04d}",
                session=self.session.id,
                task=call.task,
                package=call.package,
                started_at=self._clock(),
                outcome="unfinished",
                cwd=self._states.key(call.cwd),
                parameters={name: to_json(value) for name, value in call.parameters.items()},
                given=call.given,
                replaced={name: to_json(value) for name, value in call.replaced.items()},
                spec_known=files is not None,
                parent=parents[-1].activity.id if parents else None,
                step=call.step,
            ),
            files=files,
            uses=uses,
            stamps={use.path: walked.at(use.path) for use in (*uses, *outputs)},
            pending=pending,
            walked=walked,
        )
        self._names[opened.activity.id] = call.task
        for use in uses:
            if use.role == "changed":
                opened.found[use.path] = self._found(opened, use.path, parents)
        self._write(self._journal.begin, opened, opened.activity, list(opened.found.values()))
        for parent in parents:
            parent.children.add(opened.activity.id)
        if encloses:
            self._open.set((*parents, opened))
        opened.waited_s += time.monotonic() - began
        return opened

    # -- end -----------------------------------------------------------------

    def end(self, opened: Opened, result: TaskResult) -> tuple[Activity, tuple[Entity, ...]]:
        """Record how a call ended; return its Activity and the Entities it names.

        If that is interrupted or fails, the record says how the call ended all the same.
        """
        ended_at = self._clock()
        parents = self._open.get()
        if opened in parents:
            parents = parents[: parents.index(opened)]
            self._open.set(parents)
        try:
            return self._ended(opened, result, ended_at, parents)
        except BaseException as error:
            told = f"What it read and wrote was not recorded ({type(error).__name__}: {error_text(error)})."
            opened.problems.append(told)
            activity = replace(opened.activity, ended_at=ended_at, outcome=result.outcome, failure=result.failure)
            activity = replace(activity, problems=tuple(opened.problems))
            self._write(self._journal.end, opened, activity, list(opened.found.values()))
            raise

    def _ended(
        self, opened: Opened, result: TaskResult, ended_at: str, parents: tuple[Opened, ...]
    ) -> tuple[Activity, tuple[Entity, ...]]:
        began = time.monotonic()
        used = self._used(opened, parents)
        generated = [Usage(entity=entity, declared=False) for entity in opened.between]
        entities = {entity.id: entity for _, entity in used} | opened.between
        written = self._written_paths(opened)
        # All are under way before the first is waited for.
        tiers = {path: entity.tier for path, entity in opened.found.items()}
        pending = {path: self._digester.submit(path, tier=tiers.get(path, "full")) for _, path, _ in written}
        for parameter, path, declared in written:
            entity = self._left(opened, path, pending[path], declared=declared)
            if entity is not None:
                entities[entity.id] = entity
                generated = [usage for usage in generated if usage.entity != entity.id]
                generated.append(Usage(entity=entity.id, parameter=parameter, declared=declared))
        deleted = self._deleted(opened)
        returned = to_json(result.returned)
        activity = replace(
            opened.activity,
            ended_at=ended_at,
            outcome=result.outcome,
            used=tuple(usage for usage, _ in used),
            generated=tuple(generated),
            deleted=deleted,
            returned=summarise(returned, _MAX_RETURNED_BYTES),
            returned_digest=digest_record("casaprov/value/1", returned) if is_exact(returned) else None,
            failure=result.failure,
            log=self._log(opened, result.log),
        )
        opened.waited_s += time.monotonic() - began
        activity = replace(activity, waited_s=round(opened.waited_s, 4), problems=tuple(opened.problems))
        self._write(self._journal.end, opened, activity, list(entities.values()))
        return replace(activity, problems=tuple(opened.problems)), tuple(entities.values())

    def measure_with(self, digester: Digester) -> None:
        """Measure with another digester from the next call on."""
        self._digester = digester

    def was_paused(self, since: str, until: str) -> None:
        """Take note that nothing was recorded between two times: what changed then has that for a reason."""
        self._pauses.add(since, until, self._calls)

    def close(self) -> None:
        """Record that the session ends here."""
        self._journal.close(self._clock())

    # -- parts ---------------------------------------------------------------

    def _spec(self, call: TaskCall) -> TaskSpec | None:
        spec = self._specs.get(call.task)
        return spec if spec is not None and spec.package == call.package else None

    def _tier_of(self, path: Path) -> Tier:
        known = self._states.at(path)
        return known.tier if known is not None else self._tier(path)

    def _found(self, opened: Opened, path: Path, parents: tuple[Opened, ...]) -> Entity:
        """Return the state of `path` that the call finds; what its caller left there is the caller's."""
        measured = self._measured(opened, path, opened.pending[path])
        maker = parents[-1] if parents and _changed_within(parents[-1], path, self._states.at(path)) else None
        within = maker.activity.id if maker else None
        entity = self._states.found(path, measured, by=opened.activity.id, within=within)
        if maker is not None and entity.generated_by == maker.activity.id:
            maker.between[entity.id] = entity
        return entity

    def _describe_gap(self, before: Entity, now: Measurement, after: str, until: str) -> str:
        tree = self._journal.read_tree(before.content_digest)
        told = describe_gap(before, tree, now, after=self._named(after), until=self._named(until))
        number = int(after.rpartition("/")[2]) if after in self._names else 0
        return told + self._pauses.describe(after_call=number)

    def _named(self, call: str) -> str:
        number = call.rpartition("/")[2]
        if call in self._names:
            return f"call {number} ({self._names[call]})"
        return f"call {number} of an earlier session" if call else "an earlier session"

    def _used(self, opened: Opened, parents: tuple[Opened, ...]) -> list[tuple[Usage, Entity]]:
        used = []
        for use in opened.uses:
            if use.role == "used":
                opened.found[use.path] = self._found(opened, use.path, parents)
            entity = opened.found.get(use.path) or self._states.at(use.path)
            if entity is not None:  # what is deleted need not be known
                used.append((Usage(entity=entity.id, parameter=use.parameter), entity))
        return used

    def _written_paths(self, opened: Opened) -> list[tuple[str | None, Path, bool]]:
        """Paths whose stamps the call changed: (parameter, path, declared)."""
        outputs = opened.files.outputs(opened.call.parameters, opened.call.cwd) if opened.files else ()
        named: dict[Path, tuple[str | None, bool]] = {}
        for use in outputs:
            named.setdefault(use.path, (use.parameter, True))
        for use in opened.uses:
            named.setdefault(use.path, (use.parameter, use.role == "changed" and opened.files is not None))
        before, after = opened.walked, walk(opened.call.cwd)
        opened.problems.extend(problem for problem in after.problems if problem not in opened.problems)
        for path in after.changed_since(before):
            if named.keys().isdisjoint(path.parents):  # a file of a folder that is named is part of it
                named.setdefault(path, (None, False))
        return [
            (parameter, path, declared)
            for path, (parameter, declared) in named.items()
            if path.exists() and (path not in opened.stamps or after.at(path) != opened.stamps[path])
        ]

    def _left(self, opened: Opened, path: Path, future: Future[Measurement], *, declared: bool) -> Entity | None:
        """Return the new state that the call left at `path`; None if the content is what it was."""
        return self._states.left(
            path,
            self._measured(opened, path, future),
            by=opened.activity.id,
            children=opened.children,
            before=opened.found.get(path),
            declared=declared,
        )

    def _deleted(self, opened: Opened) -> tuple[str, ...]:
        gone = [path for path in opened.stamps if opened.stamps[path] and not path.exists()]
        gone += [path for path in opened.walked.paths() if not path.exists() and path not in gone]
        for path in gone:
            self._states.gone(path)
        return tuple(self._states.key(path) for path in gone)

    def _measured(self, opened: Opened, path: Path, future: Future[Measurement]) -> Measurement | CasaprovError:
        """Wait for a measurement and keep its tree."""
        try:
            measured = future.result()
        except CasaprovError as error:
            opened.problems.append(f"{self._states.key(path)} could not be digested: {error.message}")
            return error
        if measured.tree is not None:
            try:
                self._journal.write_tree(measured.content_digest, measured.tree)
            except JournalError as error:
                opened.problems.append(str(error))
        return measured

    def _log(self, opened: Opened, text: str) -> LogSegment | None:
        if not text:
            return None
        lines = text.splitlines()
        number = opened.activity.id.rpartition("/")[2]
        try:
            path = self._journal.write_log(f"{number}-{opened.call.task}", text)
        except JournalError as error:
            opened.problems.append(str(error))
            return None
        levels = [line.split("\t")[1] for line in lines if line.count("\t") > 1]
        return LogSegment(path=path, lines=len(lines), warnings=levels.count("WARN"), errors=levels.count("SEVERE"))

    def _write(
        self,
        write: Callable[[Activity, list[Entity]], None],
        opened: Opened,
        activity: Activity,
        entities: list[Entity],
    ) -> None:
        with self._lock:
            new = [entity for entity in entities if entity.id not in self._written]
            try:
                write(activity, new)
            except JournalError as error:
                opened.problems.append(str(error))
            else:
                self._written.update(entity.id for entity in new)


def _changed_within(opened: Opened, path: Path, current: Entity | None) -> bool:
    """Tell whether something changed `path` after a call began."""
    if current is not None and current.generated_by in {opened.activity.id, *opened.children}:
        return True
    before = opened.stamps.get(path)
    if before is None and path.is_relative_to(opened.walked.folder):
        name = path.relative_to(opened.walked.folder).as_posix()
        before = opened.walked.products.get(name)
        if before is None:
            return opened.walked.complete
    return before is not None and stamp(path) != before
