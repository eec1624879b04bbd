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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from casaprov.checksum import Measurement
from casaprov.digest import digest_record
from casaprov.errors import CasaprovError, JournalError
from casaprov.journal import Journal
from casaprov.model import Activity, Entity, Failure, Locator, LogSegment, Outcome, Session, Step, Usage
from casaprov.stamps import Stamps, Walk, stamp, walk
from casaprov.taskspec import FileUse, TaskSpec
from casaprov.values import is_exact, summarise, to_json

__all__ = ["Digester", "Opened", "Recorder", "TaskCall", "TaskResult", "now"]

_MAX_RETURNED_BYTES = 4000


def now() -> str:
    """Return the present time as records write it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, kw_only=True)
class TaskCall:
    """A task call as it is about to happen; `parameters` are final, coerced Python values."""

    task: str
    package: str
    parameters: Mapping[str, Any]
    given: tuple[str, ...]
    cwd: Path
    step: Step | None = None


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """How a task call ended: with a value or with an error, and what the log said."""

    returned: Any = None
    error: BaseException | None = None
    log: str = ""


class Digester(Protocol):
    """What measures files for the recorder (:class:`casaprov.checksum.Digester`)."""

    def submit(self, path: Path) -> Future[Measurement]:
        """Start to measure a file or table."""
        ...


@dataclass
class Opened:
    """A call that has begun: what its end needs to know about its beginning."""

    call: TaskCall
    activity: Activity
    spec: TaskSpec | None
    uses: tuple[FileUse, ...]
    stamps: dict[Path, Stamps]
    pending: dict[Path, Future[Measurement]]
    walked: Walk
    changing: dict[Path, Entity] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)
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
        states: Mapping[str, Entity] | None = None,
        clock: Callable[[], str] = now,
    ) -> None:
        self._journal = journal
        self._digester = digester
        self._specs = specs
        self._locate = locate
        self._states = dict(states or {})
        self._clock = clock
        self._lock = threading.RLock()
        self._calls = 0
        self._entities = 0
        self._written: set[str] = set()
        self._open: dict[int, list[Opened]] = {}

    @property
    def session(self) -> Session:
        """The session that is recorded."""
        return self._journal.session

    def entity(self, entity_id: str) -> Entity | None:
        """Return a current Entity by its id, None if its path has moved on."""
        return next((e for e in self._states.values() if e.id == entity_id), None)

    # -- begin ---------------------------------------------------------------

    def begin(self, call: TaskCall) -> Opened:
        """Record that `call` is about to run. What it changes is digested before this returns."""
        began = time.monotonic()
        spec = self._specs.get(call.task)
        uses = spec.inputs(call.parameters, call.cwd) if spec else _guess_inputs(call)
        outputs = spec.outputs(call.parameters, call.cwd) if spec else ()
        # What a call deletes need not be read for that.
        pending = {use.path: self._digester.submit(use.path) for use in uses if use.role != "deleted"}
        with self._lock:
            self._calls += 1
            number = self._calls
            parents = self._open.setdefault(threading.get_ident(), [])
        opened = Opened(
            call=call,
            activity=Activity(
                id=f"{self.session.id}/{number:04d}",
                session=self.session.id,
                task=call.task,
                package=call.package,
                started_at=self._clock(),
                outcome="unfinished",
                cwd=self.key(call.cwd),
                parameters={name: to_json(value) for name, value in call.parameters.items()},
                given=call.given,
                spec_known=spec is not None,
                parent=parents[-1].activity.id if parents else None,
                step=call.step,
            ),
            spec=spec,
            uses=uses,
            stamps={use.path: stamp(use.path) for use in (*uses, *outputs)},
            pending=pending,
            walked=walk(call.cwd),
        )
        for use in uses:
            if use.role == "changed":
                opened.changing[use.path] = self._known(
                    opened, use.path, self._measured(opened, pending[use.path], use.path)
                )
        self._write(self._journal.begin, opened, opened.activity, list(opened.changing.values()))
        for parent in parents:
            parent.children.add(opened.activity.id)
        parents.append(opened)
        opened.waited_s += time.monotonic() - began
        return opened

    # -- end -----------------------------------------------------------------

    def end(self, opened: Opened, result: TaskResult) -> tuple[Activity, tuple[Entity, ...]]:
        """Record how a call ended; return its Activity and the Entities it names."""
        began = time.monotonic()
        ended_at = self._clock()
        parents = self._open.get(threading.get_ident(), [])
        if opened in parents:
            del parents[parents.index(opened) :]
        used, generated = self._used(opened), []
        entities = {entity.id: entity for _, entity in used}
        for parameter, path, declared in self._written_paths(opened):
            entity = self._generated(opened, path, entities)
            if entity is not None:
                entities[entity.id] = entity
                generated.append(Usage(entity=entity.id, parameter=parameter, declared=declared))
        deleted = self._deleted(opened)
        returned = to_json(result.returned)
        activity = replace(
            opened.activity,
            ended_at=ended_at,
            outcome=_outcome(result.error),
            used=tuple(usage for usage, _ in used),
            generated=tuple(generated),
            deleted=deleted,
            returned=summarise(returned, _MAX_RETURNED_BYTES),
            returned_digest=digest_record("casaprov/value/1", returned) if is_exact(returned) else None,
            failure=_failure(result.error),
            log=self._log(opened, result.log),
        )
        opened.waited_s += time.monotonic() - began
        activity = replace(activity, waited_s=round(opened.waited_s, 4), problems=tuple(opened.problems))
        self._write(self._journal.end, opened, activity, list(entities.values()))
        return replace(activity, problems=tuple(opened.problems)), tuple(entities.values())

    def close(self) -> None:
        """Record that the session ends here."""
        self._journal.close(self._clock())

    def key(self, path: Path) -> str:
        """Return `path` as records write it: relative to the session's folder if below it."""
        folder = Path(self.session.folder)
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.as_posix()

    # -- parts ---------------------------------------------------------------

    def _used(self, opened: Opened) -> list[tuple[Usage, Entity]]:
        found = []
        for use in opened.uses:
            entity = opened.changing.get(use.path)
            if use.role == "deleted":
                entity = self._states.get(self.key(use.path))
                if entity is None:
                    continue
            elif entity is None:
                entity = self._known(opened, use.path, self._measured(opened, opened.pending[use.path], use.path))
                opened.changing[use.path] = entity
            found.append((Usage(entity=entity.id, parameter=use.parameter), entity))
        return found

    def _written_paths(self, opened: Opened) -> list[tuple[str | None, Path, bool]]:
        """Paths whose stamps the call changed: (parameter, path, declared)."""
        outputs = opened.spec.outputs(opened.call.parameters, opened.call.cwd) if opened.spec else ()
        named: dict[Path, tuple[str | None, bool]] = {}
        for use in outputs:
            named.setdefault(use.path, (use.parameter, True))
        for use in opened.uses:
            named.setdefault(use.path, (use.parameter, use.role == "changed"))
        before, after = opened.walked, walk(opened.call.cwd)
        opened.problems.extend(problem for problem in after.problems if problem not in opened.problems)
        for path in after.changed_since(before):
            named.setdefault(path, (None, False))
        return [
            (parameter, path, declared)
            for path, (parameter, declared) in named.items()
            if path.exists() and (path not in opened.stamps or stamp(path) != opened.stamps[path])
        ]

    def _deleted(self, opened: Opened) -> tuple[str, ...]:
        gone = [path for path in opened.stamps if opened.stamps[path] and not path.exists()]
        gone += [path for path in opened.walked.paths() if not path.exists() and path not in gone]
        with self._lock:
            for path in gone:
                self._states.pop(self.key(path), None)
        return tuple(self.key(path) for path in gone)

    def _measured(self, opened: Opened, future: Future[Measurement], path: Path) -> Measurement | CasaprovError:
        try:
            return future.result()
        except CasaprovError as error:
            opened.problems.append(f"{self.key(path)} could not be digested: {error.message}")
            return error

    def _known(self, opened: Opened, path: Path, measured: Measurement | CasaprovError) -> Entity:
        """Return the Entity that is at `path` now; a new one if its content is not the recorded one."""
        with self._lock:
            current = self._states.get(self.key(path))
            if isinstance(measured, CasaprovError):
                return current or self._entity(
                    path, kind="File", content_digest=None, size_bytes=0, note=measured.message
                )
            if current is not None and current.content_digest == measured.content_digest:
                return current
            self._store_tree(opened, measured)
            return self._entity(
                path,
                **_content(measured),
                revision_of=current.id if current else None,
                gap=current is not None,
                locators=() if current else self._locate(path),
            )

    def _generated(self, opened: Opened, path: Path, known: Mapping[str, Entity]) -> Entity | None:
        """Return the new state that the call left at `path`; None if the content is what it was."""
        measured = self._measured(opened, self._digester.submit(path), path)
        before = opened.changing.get(path)
        with self._lock:
            if isinstance(measured, CasaprovError):
                return self._entity(
                    path,
                    kind="File",
                    content_digest=None,
                    size_bytes=0,
                    note=measured.message,
                    generated_by=opened.activity.id,
                )
            if before is not None and before.content_digest == measured.content_digest:
                return None
            current = self._states.get(self.key(path))
            if (
                current
                and current.content_digest == measured.content_digest
                and current.generated_by in opened.children
            ):
                return current
            self._store_tree(opened, measured)
            revised = before if before is not None and before.id in known else None
            return self._entity(
                path, **_content(measured), generated_by=opened.activity.id, revision_of=revised.id if revised else None
            )

    def _entity(self, path: Path, **facts: Any) -> Entity:
        self._entities += 1
        entity = Entity(id=f"{self.session.id}/e{self._entities:04d}", path=self.key(path), **facts)
        self._states[entity.path] = entity
        return entity

    def _store_tree(self, opened: Opened, measured: Measurement) -> None:
        if measured.tree is not None:
            try:
                self._journal.write_tree(measured.content_digest, measured.tree)
            except JournalError as error:
                opened.problems.append(str(error))

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


def _content(measured: Measurement) -> dict[str, Any]:
    return {
        "kind": measured.kind,
        "content_digest": measured.content_digest,
        "byte_digest": measured.byte_digest,
        "size_bytes": measured.size_bytes,
    }


def _guess_inputs(call: TaskCall) -> tuple[FileUse, ...]:
    """Without a TaskSpec, a parameter that names an existing file is taken as an input."""
    found: dict[Path, FileUse] = {}
    for name, value in call.parameters.items():
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and text.strip() and "\0" not in text and len(text) < 4096:
                path = call.cwd / Path(text).expanduser()
                try:
                    if path.exists() and path != call.cwd:
                        found.setdefault(path, FileUse("used", name, path))
                except OSError:
                    continue
    return tuple(found.values())


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "completed"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


def _failure(error: BaseException | None) -> Failure | None:
    if error is None:
        return None
    # An exception from another process carries the name of its class there.
    return Failure(type=getattr(error, "type", type(error).__name__), message=str(error))
