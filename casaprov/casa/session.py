"""The begin of a session: here a recorder is put together."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from casaprov.casa.installed.data import casadata_path
from casaprov.casa.installed.environment import current_environment
from casaprov.casa.installed.log import log_path
from casaprov.casa.plots.appimages import PLOT_PACKAGES
from casaprov.config import Config
from casaprov.errors import JournalError
from casaprov.files.stamps import stamp
from casaprov.hashing import Digest
from casaprov.journal.document import read_document
from casaprov.journal.folder import present_folders
from casaprov.journal.kept_states import KeptStates
from casaprov.journal.writer import Journal
from casaprov.lineage.graph import Lineage
from casaprov.processes.resource_use import ResourceMeter
from casaprov.recorder import Digester, Recorder
from casaprov.recording.archive_checksums import checksums_beside
from casaprov.recording.explanations import Background, OtherNotebooks, UnfinishedCalls
from casaprov.recording.finish_queue import FinishQueue, Patience
from casaprov.records.model import Document, Entity, Locator, Session, Tier
from casaprov.records.wording import now
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import TaskSpec, load_specs, spec_of
from casaprov.version import __version__

__all__ = ["locate", "new_session", "open_recorder", "tier_by_size"]

_log = logging.getLogger(__name__)


def new_session(folder: Path, notebook: str) -> Session:
    """Describe a session that starts now, with relative paths from `folder`."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return Session(
        id=f"{stamp}-{secrets.token_hex(3)}",
        started_at=now(),
        folder=folder.as_posix(),
        environment=current_environment(folder),
        casaprov=__version__,
        notebook=notebook,
    )


def open_recorder(
    session: Session,
    journal_folder: Path,
    digester: Digester,
    tier: Callable[[Path], Tier] = lambda _: "full",
    finish_queue: FinishQueue | None = None,
    keep_up_to: Callable[[], int] = lambda: 0,
    patience: Patience | None = None,
) -> Recorder:
    """Return a recorder for `session` that knows the products of earlier sessions.

    Parameters
    ----------
    tier
        Returns how much is read of an input that is not known yet.
    finish_queue
        Finishes records while other code runs; without it the end of a call waits for its record.
    keep_up_to
        Returns the size of the largest state that is copied because no task can make it again.
    patience
        Says how long tasks may wait for digests; None for always.
    """
    specs = load_specs()
    earlier = _earlier_sessions(journal_folder, session)
    folders = {known.id: Path(session.folder) for known in earlier.sessions}
    background = Background(
        states=_last_states(earlier),
        unfinished=UnfinishedCalls(earlier, folders, specs),
        others=OtherNotebooks(journal_folder, session.id),
        tier=tier,
        locate=locate,
        checksums=checksums_beside,
        log=log_path,
        foreign=_foreign_digests(earlier, specs),
        keep=KeptStates(journal_folder, keep_up_to).keep,
    )
    return Recorder(
        journal=Journal(journal_folder, session),
        digester=digester,
        specs=specs,
        background=background,
        finish_queue=finish_queue,
        patience=patience,
        meter=_meter,
    )


def _meter(call: TaskCall) -> ResourceMeter | None:
    """Return a meter for a call that runs in this process; programs that draw run in others."""
    return None if call.package in PLOT_PACKAGES else ResourceMeter()


def _earlier_sessions(journal_folder: Path, session: Session) -> Document:
    """Return the record of earlier sessions; nothing if they started from another folder."""
    nothing = Document(notebook=session.notebook)
    try:
        document = read_document(journal_folder, session.notebook)
    except JournalError:
        return nothing
    folders = present_folders(journal_folder, document)
    if any(folder.resolve() != Path(session.folder).resolve() for folder in folders.values()):
        _log.info("Earlier sessions in %s ran in another folder; they are not continued.", journal_folder)
        return nothing
    return document


def _last_states(document: Document) -> dict[str, Entity]:
    """Return the last recorded state of each path."""
    lineage = Lineage(document)
    inputs = [entity for entity in lineage.inputs() if not entity.is_undigested]  # the content of others is not known
    last = {entity.path: entity for entity in (*inputs, *lineage.last_states())}
    for entity in document.entities:  # states that one session left undigested and a later one recognised
        if entity.path in last and entity.copy_of == last[entity.path].id:
            last[entity.path] = entity
    return last


def _foreign_digests(document: Document, specs: Mapping[str, TaskSpec]) -> frozenset[Digest]:
    """Return the contents of a Document that functions, tools, programs and unknown changes left."""
    strangers = {a.id for a in document.activities if spec_of(specs, a.package, a.task) is None}
    foreign = (e for e in document.entities if e.gap or e.generated_by in strangers)
    return frozenset(e.content_digest for e in foreign if e.content_digest is not None)


def tier_by_size(config: Config) -> Callable[[Path], Tier]:
    """Return a function that chooses, by the settings, how much is read of an input."""

    def tier(path: Path) -> Tier:
        return "fast" if config.digest == "fast" and stamp(path).size_bytes >= config.fast_above else "full"

    return tier


def locate(path: Path) -> tuple[Locator, ...]:
    """Return the locators of an external input: its place in CASA's own data, and its path."""
    data = casadata_path()
    here = Locator(scheme="file", value=path.as_posix())
    if data is not None and path.is_relative_to(data):
        return (Locator(scheme="casadata", value=path.relative_to(data).as_posix()), here)
    return (here,)
