"""The records: frozen values, named by the standards' words.

===============  ======================  =========================================
here             W3C PROV                RO-Crate (Workflow Run Crate 0.5)
===============  ======================  =========================================
`Activity`       Activity                CreateAction
`Entity`         Entity                  Dataset (directory) or File
`Agent`          SoftwareAgent, Person   SoftwareApplication, Person
`Session`        Activity                OrganizeAction
`Step`           –                       HowToStep
`Usage`          used, wasGeneratedBy    object, result
===============  ======================  =========================================

:mod:`casaprov.records.serialise` turns them into JSON and back; ``schemas/`` holds the contract for that JSON.

Times are ISO 8601 in UTC with microseconds, ``2026-05-01T10:00:00.123456+00:00``.
Paths are POSIX paths: relative to the session's ``folder`` where they lie
below it, absolute elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from casaprov.hashing import Digest
from casaprov.records.observation import Observation

__all__ = [
    "DOCUMENT_FORMAT",
    "UNDIGESTED",
    "Activity",
    "Agent",
    "ArchiveQuery",
    "Checksum",
    "Document",
    "Entity",
    "Environment",
    "Failure",
    "GitState",
    "Identifier",
    "Kind",
    "Locator",
    "LogSegment",
    "LookUp",
    "Observation",
    "Outcome",
    "ResourceUsage",
    "ScriptLine",
    "ScriptRun",
    "Session",
    "Step",
    "Tier",
    "Usage",
    "number_in_session",
]

DOCUMENT_FORMAT: Final = "casaprov/document/1"

UNDIGESTED: Final = "It had not been digested when this was written."
"""Problem of an Activity that has ended, and note of its Entities, until they are digested."""

_REFERENCE_CHARACTERS = 6  # as many as the random part of the id of a session has

Kind = Literal["MeasurementSet", "CalibrationTable", "Image", "Table", "FITS", "File", "Directory"]
"""Kind of an Entity. ``Table`` is any other casacore table."""

Tier = Literal["full", "fast"]
"""Extent of a digest: it covers everything, or only samples of large columns and files."""

Outcome = Literal["completed", "failed", "interrupted", "unfinished"]
"""End of an Activity; ``unfinished`` has a beginning in the journal and no end."""


@dataclass(frozen=True, kw_only=True)
class Locator:
    """A place where an Entity that is not shipped can be found.

    Attributes
    ----------
    scheme
        ``casadata`` (a path below CASA's own data), ``file`` (the absolute path
        at recording), ``https``, ``vo`` (a publisher DID), ``crate``.
    value
        The path, URL or identifier.
    """

    scheme: Literal["casadata", "file", "https", "vo", "crate"]
    value: str


@dataclass(frozen=True, kw_only=True)
class Checksum:
    """A checksum from an archive, which came with a file and was not verified.

    Attributes
    ----------
    algorithm
        ``md5``, ``sha1``, ``sha256`` or ``sha512``.
    value
        Hexadecimal.
    source
        Name of the file with the checksum, beside the file itself.
    """

    algorithm: Literal["md5", "sha1", "sha256", "sha512"]
    value: str
    source: str


Confidence = Literal["stated", "certain", "likely"]
"""Ground of an identifier: a user stated it; name and size agree; observation, time and target agree."""


@dataclass(frozen=True, kw_only=True)
class Identifier:
    """An identifier of an Entity in an archive.

    Attributes
    ----------
    scheme
        ``ivoid`` (a publisher DID), ``doi``, ``bibcode``, ``url``, or the name of the archive's column: ``asdm_uid``.
    value
        The identifier as the archive has it.
    service, table, key_column
        TAP service, table and column that it was found by; empty if a user stated it.
    matched_by
        Facts that agree, in words.
    time
        When it was found or stated.
    """

    scheme: str
    value: str
    confidence: Confidence
    time: str
    service: str = ""
    table: str = ""
    key_column: str = ""
    matched_by: str = ""


@dataclass(frozen=True, kw_only=True)
class ArchiveQuery:
    """A question to an archive about an Entity, also one without an answer.

    Attributes
    ----------
    query
        The ADQL; values are uploaded beside it.
    value
        The value that was looked up.
    rows
        Rows that the archive has for it.
    matched
        Those of them that are this Entity.
    """

    service: str
    table: str
    query: str
    value: str
    time: str
    rows: int
    matched: int


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A table, image or file in one state.

    Attributes
    ----------
    content_digest
        Digest of the scientific content; None if it could not be read.
    tier
        ``fast`` if `content_digest` covers samples only: it can only be compared
        with another such digest.
    stamp
        With a fast digest, or none yet: digest of the names, sizes and modification
        times of the files, which shows on this machine whether they were touched since.
    checksums
        With a fast digest: checksums from the archive that the file came from.
    byte_digest
        Digest of the stored bytes; only for single files.
    size_bytes
        Size of the file, or of all files below the directory.
    generated_by
        The Activity that left this state; None for an external input.
    revision_of
        The Entity this one was changed from, at the same path.
    copy_of
        The Entity at another path that this one's content was copied or moved from.
    gap
        True if the content changed since the last recorded state of this path
        with no recorded Activity to explain it.
    note
        Why something about this Entity is not known; empty otherwise.
    observations
        What was observed, by the headers: of external data one for each target of each observation, of an image what it
        shows. Visibilities that a call made have those of the data that they came from.
    identifiers, archive_queries
        Its identifiers in archives, and the questions that were asked; empty if it was not looked up.
    """

    id: str
    path: str
    kind: Kind
    content_digest: Digest | None
    size_bytes: int
    byte_digest: Digest | None = None
    generated_by: str | None = None
    revision_of: str | None = None
    copy_of: str | None = None
    gap: bool = False
    locators: tuple[Locator, ...] = ()
    note: str = ""
    tier: Tier = "full"
    stamp: Digest | None = None
    checksums: tuple[Checksum, ...] = ()
    observations: tuple[Observation, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    archive_queries: tuple[ArchiveQuery, ...] = ()

    @property
    def session(self) -> str:
        """Id of the session that recorded it."""
        return self.id.partition("/")[0]

    @property
    def is_undigested(self) -> bool:
        """True if it has only a stamp: its session ended before it was digested, or is still digesting it."""
        return self.content_digest is None and self.stamp is not None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The use of an Entity by an Activity that read or wrote it.

    Attributes
    ----------
    parameter
        The parameter that named it; None for a side effect.
    declared
        False if it was observed in the working directory and the TaskSpec does not declare it.
    """

    entity: str
    parameter: str | None = None
    declared: bool = True


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The exception that ended an Activity."""

    type: str
    message: str


@dataclass(frozen=True, kw_only=True)
class LogSegment:
    """The part of the CASA log that belongs to an Activity.

    Attributes
    ----------
    path
        File with the segment, relative to the journal's folder.
    """

    path: str
    lines: int
    warnings: int
    errors: int


@dataclass(frozen=True, kw_only=True)
class ScriptLine:
    """A line of a Python file that an Activity was called from.

    Attributes
    ----------
    path
        Path of the file, like ``Entity.path``.
    digest
        Digest of the bytes of the file; the journal keeps them.
    line
        Number of the line, from 1.
    """

    path: str
    digest: Digest
    line: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """The cell of a notebook or script that an Activity ran in.

    ``cell_id`` is known in JupyterLab, Notebook 7 and VS Code; elsewhere the
    pair of execution count and source digest identifies the cell. In a script,
    the execution count is the number of the cell.

    Attributes
    ----------
    scripts
        Lines of the user's Python files that lead to the call, the outermost first.
    """

    source_digest: Digest
    cell_id: str | None = None
    execution_count: int | None = None
    scripts: tuple[ScriptLine, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LookUp:
    """The answer of the store of results to an Activity, where the cache was on.

    Attributes
    ----------
    outcome
        ``restored``: the results of an earlier call came from the store. ``run``: the store had none.
        ``not-served``: such a call is never looked up.
    reason
        Sentence that says why.
    key
        Key of the call (:mod:`casaprov.recompute.action_key`); None if it has none.
    saved_s
        Seconds that running the call would have taken longer.
    """

    outcome: Literal["restored", "run", "not-served"]
    reason: str
    key: Digest | None = None
    saved_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ResourceUsage:
    """Resources that an Activity used, as the process that ran it counts them.

    Attributes
    ----------
    cpu_s
        Seconds of all processors together.
    peak_memory_bytes
        Largest memory of the process; None if an earlier call had taken more, so that it is not known.
    written_bytes
        Bytes given to the system to write; None where the system does not count them.
    """

    cpu_s: float
    peak_memory_bytes: int | None = None
    written_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Activity:
    """One call of one task.

    Attributes
    ----------
    parameters
        The final, coerced values as JSON values (:func:`casaprov.records.values.to_json`).
    given
        Names of the parameters the user gave; the others are defaults.
    replaced
        Values that the user gave, by parameter, where the task was run with the
        value in `parameters` instead: a notebook has no windows.
    cwd
        Working directory at the call, as a path like ``Entity.path``.
    spec_known
        False if no TaskSpec describes the task: `used` and `generated` then come
        from the working directory and from parameters that name files.
    used, generated
        An Entity changed in place is in both: state k in `used`, k+1 in `generated`.
    deleted
        Paths the call removed.
    returned
        Return value as a JSON value, summarised when large.
    returned_digest
        Digest of the whole return value; None if it has no canonical form.
    waited_s
        Seconds for which the user waited for casaprov.
    problems
        Sentences about what the recorder could not do; a record with problems is incomplete.
    restored_from
        Id of the Activity that computed the results, if they were restored; it may be of another notebook.
    look_up
        The answer of the store of results; None where the cache was off.
    observed
        Paths that changed while the call ran, by something else or by one cannot tell what. They are no products.
    aliases
        Other names of folders that parameters use, such as a link that leads there or a bind mount, with the names
        that the records have; relative to the session's folder if below it.
    resources
        Resources that it used; None if they were not measured, as where another program did the work.
    """

    id: str
    session: str
    task: str
    package: str
    started_at: str
    outcome: Outcome
    cwd: str
    parameters: dict[str, Any]
    given: tuple[str, ...] = ()
    spec_known: bool = True
    parent: str | None = None
    step: Step | None = None
    ended_at: str | None = None
    used: tuple[Usage, ...] = ()
    generated: tuple[Usage, ...] = ()
    deleted: tuple[str, ...] = ()
    returned: Any = None
    returned_digest: Digest | None = None
    failure: Failure | None = None
    log: LogSegment | None = None
    waited_s: float = 0.0
    problems: tuple[str, ...] = ()
    replaced: dict[str, Any] = field(default_factory=dict)
    restored_from: str | None = None
    look_up: LookUp | None = None
    observed: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    resources: ResourceUsage | None = None

    @property
    def seconds(self) -> float | None:
        """Duration of the call in seconds; None if its end is not recorded."""
        if self.ended_at is None:
            return None
        return (datetime.fromisoformat(self.ended_at) - datetime.fromisoformat(self.started_at)).total_seconds()

    @property
    def number_in_session(self) -> int:
        """Number of the call in its session, from 1."""
        return number_in_session(self.id)

    @property
    def reference(self) -> str:
        """Short name that users write for the call: the end of the session's id, and the number in it."""
        return f"{self.session[-_REFERENCE_CHARACTERS:]}/{self.number_in_session}"


def number_in_session(activity_id: str) -> int:
    """Return the number of a call in its session, from 1; the id of an Activity ends with it."""
    return int(activity_id.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True)
class Agent:
    """A person or a piece of software that took part."""

    id: str
    type: Literal["SoftwareAgent", "Person"]
    name: str
    version: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The git repository that the notebook lies in."""

    commit: str
    dirty: bool
    remote: str = ""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The environment of a session. A version is empty if the software is absent.

    Attributes
    ----------
    casadata
        Version of CASA's run-time data.
    measures
        Version of the IERS and leap-second tables inside them.
    threads
        Thread settings by environment variable, ``OMP_NUM_THREADS`` and the like.
    packages
        Versions of installed Python distributions that can influence results.
    distributions
        Versions of all installed distributions, by normalised name. Behind the version of one that did not come from an
        index stands ``(local)``, or ``@`` with the address of its repository and the commit.
    file_hashes
        The sha256 of the files in the index, hexadecimal, by distribution; empty unless a lock was asked for.
    """

    casatasks: str = ""
    casatools: str = ""
    casadata: str = ""
    measures: str = ""
    python: str = ""
    platform: str = ""
    host: str = ""
    container: str = ""
    threads: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)
    file_hashes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    git: GitState | None = None


@dataclass(frozen=True, kw_only=True)
class ScriptRun:
    """The script that a Session ran.

    Attributes
    ----------
    digest
        Digest of the bytes of the file as it ran; the journal keeps them.
    arguments
        Its arguments, without its name.
    casa_shell
        True if it ran with the names of CASA's own shell.
    """

    digest: Digest
    arguments: tuple[str, ...] = ()
    casa_shell: bool = False


@dataclass(frozen=True, kw_only=True)
class Session:
    """One life of one kernel, one run of a script, or the calls of one export, with recording on.

    Attributes
    ----------
    folder
        Absolute path that relative paths in this session's records start from.
    notebook
        Name of the notebook or script.
    closed
        False if the kernel did not close it: it was killed, crashed, or is still running.
    script
        The script that it ran; None for a kernel.
    log
        Name of the CASA log that it was read from afterwards; empty if it was recorded.
    exporting
        True for calls that casaprov itself made for a crate, after the notebook had run.
    """

    id: str
    started_at: str
    folder: str
    environment: Environment
    casaprov: str
    notebook: str = ""
    ended_at: str | None = None
    closed: bool = False
    script: ScriptRun | None = None
    log: str = ""
    exporting: bool = False


@dataclass(frozen=True, kw_only=True)
class Document:
    """All records of one notebook or script, in the order they happened."""

    notebook: str
    sessions: tuple[Session, ...] = ()
    activities: tuple[Activity, ...] = ()
    entities: tuple[Entity, ...] = ()
    agents: tuple[Agent, ...] = ()
    format: Literal["casaprov/document/1"] = DOCUMENT_FORMAT

    @property
    def last_run(self) -> Session | None:
        """The last session of the notebook or script itself; None without any."""
        return next((session for session in reversed(self.sessions) if not session.exporting), None)

    @property
    def call_numbers(self) -> dict[str, int]:
        """Number of every call, from 1 in the order they began, by Activity id."""
        return {activity.id: number for number, activity in enumerate(self.activities, start=1)}
