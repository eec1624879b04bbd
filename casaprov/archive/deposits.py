"""A deposit: its states, the transitions between them, and its readers.

::

    received → checking → rejected
                        → waiting → replaying → held | embargoed | published
                        → embargoed | published          (a bare notebook is not replayed)
    held → received (check again) | waiting (replay again) | embargoed (accepted by a curator)
    embargoed → published
    held | embargoed | published → withdrawn

The row of a deposit is the queue: a worker takes it by a change of state that names the state and the attempt that it
saw, and holds a lease. What a dead worker held is taken again after its lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from casaprov.errors import Issue

__all__ = [
    "FINAL",
    "LEASED",
    "TRANSITIONS",
    "Change",
    "Deposit",
    "Kind",
    "NewDeposit",
    "Person",
    "State",
    "Verdict",
    "VerdictSummary",
    "may_become",
    "may_change",
    "may_see",
]


class State(StrEnum):
    """State of a deposit."""

    RECEIVED = "received"
    CHECKING = "checking"
    REJECTED = "rejected"
    WAITING = "waiting"
    REPLAYING = "replaying"
    HELD = "held"
    EMBARGOED = "embargoed"
    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


class Kind(StrEnum):
    """Kind of the file that was deposited."""

    CRATE = "crate"
    NOTEBOOK = "notebook"


class VerdictSummary(StrEnum):
    """Outcome of a replay in one word."""

    VERIFIED = "verified"
    DIFFERS = "differs"
    NOT_REPLAYED = "not-replayed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.CHECKING}),
    State.CHECKING: frozenset(
        {
            State.CHECKING,  # taken again after its lease
            State.REJECTED,
            State.WAITING,
            State.HELD,
            State.EMBARGOED,
            State.PUBLISHED,
        }
    ),
    State.WAITING: frozenset({State.REPLAYING}),
    State.REPLAYING: frozenset({State.REPLAYING, State.HELD, State.EMBARGOED, State.PUBLISHED}),
    State.HELD: frozenset({State.RECEIVED, State.WAITING, State.EMBARGOED, State.WITHDRAWN}),
    State.EMBARGOED: frozenset({State.EMBARGOED, State.PUBLISHED, State.WITHDRAWN}),
    State.PUBLISHED: frozenset({State.WITHDRAWN}),
    State.REJECTED: frozenset(),
    State.WITHDRAWN: frozenset(),
}
"""States that a deposit may go to, by its present state."""

LEASED = frozenset({State.CHECKING, State.REPLAYING})
"""States in which a worker holds the deposit."""

FINAL = frozenset({State.REJECTED, State.HELD, State.EMBARGOED, State.PUBLISHED, State.WITHDRAWN})
"""States that a deposit stays in until a person, a date or a new CASA changes it."""


def may_become(before: State, after: State) -> bool:
    """Return True if a deposit may go from one state to the other."""
    return after in TRANSITIONS[before]


@dataclass(frozen=True, kw_only=True)
class Person:
    """An authenticated person; (iss, sub) is the identity, the name is only shown.

    Attributes
    ----------
    curator
        Whether a group of the person makes it a curator.
    """

    iss: str
    sub: str
    name: str = ""
    curator: bool = False

    def is_same(self, other: Person) -> bool:
        """Return True if both are the same identity."""
        return (self.iss, self.sub) == (other.iss, other.sub)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of one replay.

    Attributes
    ----------
    casa
        Version of CASA that replayed.
    counts
        Number of products by their verdict, as ``{"same-content": 25}``.
    note
        Sentence for the reader: the reason why it was not replayed, or the first difference.
    """

    at: datetime
    summary: VerdictSummary
    casa: str = ""
    counts: dict[str, int]
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Change:
    """A logged change of state."""

    number: int
    deposit: str
    at: datetime
    before: str
    after: str
    attempt: int
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class NewDeposit:
    """A deposit whose file has arrived; the archive gives it its number.

    Attributes
    ----------
    id
        Name of the deposit in URLs and of its file in the spool.
    new_version_of
        Name of the crate (``N14C3-0001``) that this is a new version of; empty for a new one.
    public_from
        Time before which nothing is visible; the end of the proprietary period may be later.
    """

    id: str
    kind: Kind
    owner: Person
    obs_id: str
    filename: str
    sha256: str
    size_bytes: int
    description: str = ""
    license: str = ""
    public_from: datetime | None = None
    new_version_of: str = ""


@dataclass(frozen=True, kw_only=True)
class Deposit:
    """A deposit as its row says.

    Attributes
    ----------
    number, version
        Number of the crate within its obs_id, and of this version of it; both from 1.
    did
        Publisher's dataset identifier, an IVOID; reserved when the deposit is received.
    creators
        Names of the authors, with ORCID iDs where the crate has them: ``{"name": …, "orcid": …}``.
    about
        Description of the crate for pages and harvesters, taken from its records by the check: title, notebook,
        CASA version, inputs (with their identifiers), counts. JSON.
    published_at
        Time of the first publication; stays when the deposit is withdrawn.
    replay_due
        Time from which a published crate is to be replayed again.
    """

    id: str
    kind: Kind
    state: State
    attempt: int
    owner: Person
    obs_id: str
    number: int
    version: int
    did: str
    filename: str
    sha256: str
    size_bytes: int
    description: str
    license: str
    title: str
    creators: tuple[dict[str, str], ...]
    about: dict[str, Any]
    issues: tuple[Issue, ...]
    verdicts: tuple[Verdict, ...]
    doi: str
    reason: str
    received_at: datetime
    modified_at: datetime
    published_at: datetime | None
    public_from: datetime | None
    replay_due: datetime | None

    @property
    def name(self) -> str:
        """Name of the crate without its version: ``N14C3-0001``."""
        return f"{self.obs_id}-{self.number:04d}"

    @property
    def verdict(self) -> Verdict | None:
        """The newest verdict."""
        return self.verdicts[-1] if self.verdicts else None

    @property
    def is_checked(self) -> bool:
        """True once a check has found it sound: it is kept then, and described."""
        return bool(self.about)

    @property
    def content_name(self) -> str:
        """Name of the deposited file in the storage."""
        return "crate.zip" if self.kind is Kind.CRATE else "notebook.ipynb"


def may_see(deposit: Deposit, person: Person | None) -> bool:
    """Return True if a person, or a reader without a name, may know of a deposit.

    What was published once stays known: as a tombstone, when it is withdrawn.
    """
    if deposit.published_at is not None and deposit.state in (State.PUBLISHED, State.WITHDRAWN):
        return True
    return may_change(deposit, person)


def may_change(deposit: Deposit, person: Person | None) -> bool:
    """Return True if a person owns a deposit or is a curator."""
    return person is not None and (person.curator or person.is_same(deposit.owner))
