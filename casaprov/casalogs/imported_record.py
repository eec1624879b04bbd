"""A record of a reduction that was made before casaprov, from the calls in its logs.

What a log does not say stays unknown: the content of files at that time, what changed outside of tasks, and the folder
that CASA worked in, for which the present folder of the reduction stands. Files that are still there are digested now,
and say so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from casaprov.casalogs.logged_calls import LoggedCall, LoggedSession, read_sessions
from casaprov.casalogs.past_files import PastFiles, PastUse, past_files
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import DigestError, UsageError
from casaprov.hashing import Digest, digest_bytes
from casaprov.journal.folder import journals
from casaprov.journal.writer import Journal
from casaprov.records.model import Activity, Entity, Environment, Kind, Locator, LogSegment, Session, Step, Usage
from casaprov.records.values import to_json
from casaprov.records.wording import counted
from casaprov.tasks.specs import TaskSpec, load_specs
from casaprov.version import __version__

__all__ = ["ImportedCell", "ImportedRecord", "import_logs"]

_UNKNOWN = "Its content at that time is not known: CASA's log does not hold it."
_FOUND = "Digested on {day}, after the calls; the log does not tell whether it had this content then."
_CHANGED = "It was written on {day}, after the last call in the log that names it."
_NO_PARAMETERS = "The parameters in CASA's log cannot be read; the log segment has their text."
_FAILED = "CASA's log does not tell what the failed call left."
_NO_END = "CASA's log does not hold the end of the call."

_LOG_STEP = timedelta(seconds=2)  # times of a log are whole seconds
_MOST_NAMES = 6

_KINDS: Mapping[str, Kind] = {
    "vis": "MeasurementSet",
    "outputvis": "MeasurementSet",
    "caltable": "CalibrationTable",
    "gaintable": "CalibrationTable",
    "imagename": "Image",
    "fitsfile": "FITS",
    "fitsimage": "FITS",
}
"""Kind of a file that is gone, by the parameter that named it."""


@dataclass(frozen=True)
class ImportedCell:
    """A cell for a notebook of the reduction: one call as Python text."""

    id: str
    source: str

    @property
    def step(self) -> Step:
        """The step that the call is recorded with."""
        return Step(source_digest=digest_bytes(self.source.encode("utf-8", "surrogatepass")), cell_id=self.id)


@dataclass(frozen=True)
class ImportedRecord:
    """The result of an import.

    Attributes
    ----------
    cells
        A cell for each outer call, in order of time.
    digested
        Files and tables that are still there.
    remarks
        Sentences about what is not known.
    """

    sessions: tuple[Session, ...]
    activities: tuple[Activity, ...]
    cells: tuple[ImportedCell, ...]
    digested: tuple[str, ...]
    remarks: tuple[str, ...]


def import_logs(logs: Sequence[Path], folder: Path, journal: Path, measure: Measure[Measurement]) -> ImportedRecord:
    """Write the calls of logs into a journal folder.

    Parameters
    ----------
    folder
        Where the reduction lies now.
    journal
        The journal folder; it has no journal yet.
    measure
        Measures a file or table that is still there.

    Raises
    ------
    UsageError
        If a log cannot be read, holds no call, or the journal folder has a journal.
    JournalError
        If the journal cannot be written.
    """
    if journals(journal):
        raise UsageError(f"There is a record in {journal} already.", hint="Name another one with --output.")
    found = sorted((one for log in logs for one in _read(log)), key=lambda one: one[1].started_at)
    specs = load_specs()
    named = [call.parameters or {} for _, session in found for call in session.calls]
    with past_files(folder.resolve(), named) as files:
        writer = _Importer(files, folder.resolve(), specs, measure)
        for log, session in found:
            writer.add(log, session)
        return writer.write(journal)


def _read(log: Path) -> list[tuple[Path, LoggedSession]]:
    try:
        with log.open(encoding="utf-8", errors="replace") as text:
            sessions = read_sessions(text)
    except OSError as error:
        raise UsageError(f"{log} cannot be read: {error.strerror or error}.", hint="Check the path.") from error
    if not sessions:
        hint = "A log has lines with '##### Begin Task:'; casaprov reads those of CASA 4.7 to 6."
        raise UsageError(f"{log} holds no call of a CASA task.", hint=hint)
    return [(log, session) for session in sessions]


class _Importer:
    """Turns logged calls into records, in their order, with the states that are known of each path."""

    def __init__(
        self, files: PastFiles, folder: Path, specs: Mapping[str, TaskSpec], measure: Measure[Measurement]
    ) -> None:
        self._files = files
        self._folder = folder
        self._specs = specs
        self._measure = measure
        self._sessions: list[Session] = []
        self._calls: list[tuple[Activity, str]] = []  # with the text of the log
        self._entities: dict[str, Entity] = {}
        self._last: dict[str, str] = {}  # id of the last state, by path
        self._named_at: dict[str, str] = {}  # time of the last call that names a path
        self._cells: list[ImportedCell] = []
        self._trees: dict[Digest, dict[str, Any]] = {}

    def add(self, log: Path, logged: LoggedSession) -> None:
        """Add the calls of one run of CASA."""
        session = Session(
            id=_session_id(log, logged),
            started_at=logged.started_at,
            folder=self._folder.as_posix(),
            environment=Environment(casatasks=logged.casa, python=logged.python),
            casaprov=__version__,
            ended_at=logged.ended_at,
            closed=True,
            log=log.name,
        )
        self._sessions.append(session)
        for number, call in enumerate(logged.calls, start=1):
            self._call(session, number, call)

    def write(self, folder: Path) -> ImportedRecord:
        """Digest the files that are still there, and write the journals."""
        digested = [path for path in self._last if self._digest(path)]
        for session in self._sessions:
            journal = Journal(folder, session)
            for digest, tree in self._trees.items():
                journal.write_tree(digest, tree)
            for activity, text in self._calls:
                if activity.session == session.id:
                    lines = text.splitlines()
                    written = LogSegment(
                        path=journal.write_log(f"{activity.number_in_session:04d}-{activity.task}", text),
                        lines=len(lines),
                        warnings=sum("\tWARN\t" in line for line in lines),
                        errors=sum("\tSEVERE\t" in line for line in lines),
                    )
                    states = {usage.entity for usage in (*activity.used, *activity.generated)}
                    journal.begin(replace(activity, outcome="unfinished", ended_at=None, used=(), generated=()))
                    journal.end(replace(activity, log=written), [self._entities[state] for state in sorted(states)])
            journal.close(session.ended_at or session.started_at)
        return ImportedRecord(
            sessions=tuple(self._sessions),
            activities=tuple(activity for activity, _ in self._calls),
            cells=tuple(self._cells),
            digested=tuple(digested),
            remarks=tuple(self._remarks()),
        )

    # -- parts ---------------------------------------------------------------

    def _call(self, session: Session, number: int, call: LoggedCall) -> None:
        spec, parameters = self._specs.get(call.task), call.parameters or {}
        activity = Activity(
            id=f"{session.id}/{number:04d}",
            session=session.id,
            task=call.task,
            # A task of today is meant by its name in any version: so it can be replayed.
            package=spec.package if spec is not None else "casa",
            started_at=call.started_at,
            ended_at=call.ended_at,
            outcome=call.outcome,
            failure=call.failure,
            cwd=".",
            parameters={name: to_json(value) for name, value in parameters.items()},
            given=tuple(name for name, value in parameters.items() if _may_be_given(value)),
            spec_known=spec is not None,
            parent=f"{session.id}/{call.parent + 1:04d}" if call.parent is not None else None,
        )
        used, generated, deleted = self._uses(activity, spec, parameters)
        problems = [_NO_PARAMETERS] * (call.parameters is None)
        problems += [_FAILED] * (call.outcome == "failed") + [_NO_END] * (call.outcome == "unfinished")
        if call.parent is None:
            self._cells.append(ImportedCell(f"call-{len(self._cells) + 1}", _source(call, activity)))
        step = self._cells[-1].step if self._cells else None
        activity = replace(
            activity, used=used, generated=generated, deleted=deleted, problems=tuple(problems), step=step
        )
        self._calls.append((activity, "\n".join(line.raw for line in call.lines) + "\n"))

    def _uses(
        self, activity: Activity, spec: TaskSpec | None, parameters: Mapping[str, Any]
    ) -> tuple[tuple[Usage, ...], tuple[Usage, ...], tuple[str, ...]]:
        """Return the states that a call used and generated, and the paths that it deleted."""
        before = self._files.before(spec, parameters)
        used = tuple(self._used(use, activity) for use in before if use.role != "deleted")
        if activity.outcome != "completed":
            return used, (), ()
        changed = [use for use in before if use.role == "changed"]
        deleted = tuple(use.path for use in before if use.role == "deleted")
        for path in deleted:
            self._files.delete(path)
            self._last.pop(path, None)
        made = {use.path: use for use in (*changed, *self._files.after(spec, parameters))}
        return used, tuple(self._generated(use, activity) for use in made.values()), deleted

    def _used(self, use: PastUse, activity: Activity) -> Usage:
        self._named_at[use.path] = activity.ended_at or activity.started_at
        if use.path not in self._last:
            here = self._files.here(use.path)
            locators = (Locator(scheme="file", value=here.as_posix()),) if here.exists() else ()
            self._state(use, activity, locators=locators)
        return Usage(entity=self._last[use.path], parameter=use.parameter)

    def _generated(self, use: PastUse, activity: Activity) -> Usage:
        self._named_at[use.path] = activity.ended_at or activity.started_at
        self._state(use, activity, generated_by=activity.id, revision_of=self._last.get(use.path))
        return Usage(entity=self._last[use.path], parameter=use.parameter)

    def _state(self, use: PastUse, activity: Activity, **facts: Any) -> None:
        """Add a state of a path, whose content is not known."""
        identifier = f"{activity.session}/e{len(self._entities) + 1:04d}"
        kind = _KINDS.get(use.parameter or "", "File")
        self._entities[identifier] = Entity(
            id=identifier, path=use.path, kind=kind, content_digest=None, size_bytes=0, note=_UNKNOWN, **facts
        )
        self._last[use.path] = identifier

    def _digest(self, path: str) -> bool:
        """Digest the last state of a path, if it is still there; states before it stay unknown."""
        here, state = self._files.here(path), self._entities[self._last[path]]
        try:
            found = self._measure(here) if here.exists() else None
        except DigestError:
            found = None
        if found is None:
            return False
        written = datetime.fromtimestamp(_written_at(here), UTC)
        note = _FOUND.format(day=datetime.now(UTC).date())
        if written > datetime.fromisoformat(self._named_at[path]) + _LOG_STEP:
            note += f" {_CHANGED.format(day=written.date())}"
        self._entities[state.id] = replace(
            state,
            kind=found.kind,
            content_digest=found.content_digest,
            byte_digest=found.byte_digest,
            size_bytes=found.size_bytes,
            tier=found.tier,
            stamp=found.stamp,
            observations=found.observations,
            note=note,
        )
        if found.tree is not None:
            self._trees[found.content_digest] = found.tree
        return True

    def _remarks(self) -> Iterator[str]:
        """Yield sentences about unknown facts."""
        lost = [call for call, _ in self._calls if _NO_PARAMETERS in call.problems]
        if lost:
            yield f"The parameters of {counted(len(lost), 'call')} cannot be read: {_names(call.task for call in lost)}."
        strange = [call for call, _ in self._calls if not call.spec_known]
        if strange:
            tasks = _names(call.task for call in strange)
            yield f"No task table describes {tasks}: what these read and made is guessed from their parameters."
        gone = [
            state.path
            for state in self._entities.values()
            if state.content_digest is None and state.generated_by is None
        ]
        if gone:
            yield f"The content of these inputs at that time is not known: {_names(gone)}."
        if any(not session.environment.casatasks for session in self._sessions):
            yield "A log does not name its version of CASA."
        yield "Files are named from the present folder; the log does not tell the folder that CASA worked in."


def _session_id(log: Path, logged: LoggedSession) -> str:
    """Return an id that is the same for the same log."""
    moment = datetime.fromisoformat(logged.started_at).strftime("%Y%m%dT%H%M%S")
    lines = "\n".join(call.text + call.started_at for call in logged.calls)
    return f"{moment}-{hashlib.sha256(f'{log.name}:{lines}'.encode('utf-8', 'replace')).hexdigest()[:6]}"


def _may_be_given(value: Any) -> bool:
    """Return True unless a value is empty or False, as most defaults are: a log lists defaults, too."""
    return value not in ("", [], {}, (), None, False, [""])


def _source(call: LoggedCall, activity: Activity) -> str:
    """Return a call as a cell: the parameters that may be given, each on its own line."""
    if call.parameters is None:
        return f"# CASA's log: {call.text}" if call.text else f"# {call.task}: CASA's log does not hold its parameters."
    lines = [f"    {name}={call.parameters[name]!r},\n" for name in activity.given]
    return f"{call.task}(\n{''.join(lines)})" if lines else f"{call.task}()"


def _written_at(path: Path) -> float:
    """Return when a file, or the newest file of a table, was written last."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return max(file.lstat().st_mtime for file in files)


def _names(found: Iterable[str]) -> str:
    names = list(dict.fromkeys(found))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"
