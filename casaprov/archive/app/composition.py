"""An archive made from its settings, and its tornado application with all routes."""

from __future__ import annotations

from typing import Any

from tornado.web import Application

import casaprov.archive.pages.routes
import casaprov.archive.publication.routes
from casaprov.archive.identity.local_tokens import LocalTokens
from casaprov.archive.identity.oidc import OidcIdentity
from casaprov.archive.settings import Settings
from casaprov.archive.storage import Storage
from casaprov.archive.tables.engine import open_engine
from casaprov.archive.tables.repository import Repository
from casaprov.archive.web.archive import Archive, Identity
from casaprov.archive.web.handler import Unknown

__all__ = ["make_app", "open_archive"]


def open_archive(settings: Settings, identity: Identity | None = None) -> Archive:
    """Open the archive that settings describe; make its folders and tables if they are not there."""
    for folder in (settings.root, settings.spool, settings.keys, settings.git):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Archive(
        settings=settings,
        repository=Repository(open_engine(settings.database_url), settings.vo.did_prefix),
        storage=Storage(settings.ocfl, settings.root / "scratch"),
        identity=identity or (OidcIdentity(settings) if settings.identity.issuer else LocalTokens(settings.root)),
    )


def make_app(archive: Archive) -> Application:
    """Return the tornado application of an archive."""
    context: dict[str, Any] = {"archive": archive}
    found = [
        *casaprov.archive.publication.routes.routes(archive),
        *casaprov.archive.pages.routes.routes(archive),
    ]
    return Application(found, default_handler_class=Unknown, default_handler_args=context, log_function=lambda _: None)
