"""Opening a session: the one place where a recorder is put together."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path

from casaprov import __version__
from casaprov.casa.data import casadata_path
from casaprov.casa.environment import current_environment
from casaprov.digester import Digester
from casaprov.errors import JournalError
from casaprov.journal import Journal, present_folders, read_document
from casaprov.lineage import Lineage
from casaprov.model import Entity, Locator, Session
from casaprov.recorder import Recorder, now
from casaprov.taskspec import load_specs

__all__ = ["locate", "new_session", "open_recorder"]

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


def open_recorder(session: Session, journal_folder: Path, digester: Digester) -> Recorder:
    """Return a recorder for `session` that knows what earlier sessions left behind."""
    return Recorder(
        journal=Journal(journal_folder, session),
        digester=digester,
        specs=load_specs(),
        locate=locate,
        states=_last_states(journal_folder, session),
    )


def _last_states(journal_folder: Path, session: Session) -> dict[str, Entity]:
    """Last recorded state of each path, if the earlier sessions started from the same folder."""
    try:
        document = read_document(journal_folder, session.notebook)
    except JournalError:
        return {}
    folders = present_folders(journal_folder, document)
    if any(folder.resolve() != Path(session.folder).resolve() for folder in folders.values()):
        _log.info("Earlier sessions in %s ran in another folder; they are not continued.", journal_folder)
        return {}
    lineage = Lineage(document)
    inputs = {entity.path: entity for entity in lineage.inputs()}
    return inputs | {entity.path: entity for entity in lineage.products()}


def locate(path: Path) -> tuple[Locator, ...]:
    """Tell where else an external input can be found: in CASA's own data, or where it is."""
    data = casadata_path()
    here = Locator(scheme="file", value=path.as_posix())
    if data is not None and path.is_relative_to(data):
        return (Locator(scheme="casadata", value=path.relative_to(data).as_posix()), here)
    return (here,)
