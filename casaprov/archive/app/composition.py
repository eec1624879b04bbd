"""An archive made from its settings, and its tornado application with all routes."""

from __future__ import annotations

from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

import casaprov.archive.pages.routes
import casaprov.archive.publication.routes
import casaprov.archive.web.deposit_routes
import casaprov.archive.web.openapi
import casaprov.archive.web.operations
import casaprov.archive.web.upload_routes
from casaprov.archive.identity.local_tokens import LocalTokens
from casaprov.archive.identity.oidc import OidcIdentity
from casaprov.archive.pages.index import Index
from casaprov.archive.publication.publishers import publishers
from casaprov.archive.publication.receipt import make_receipts
from casaprov.archive.settings import Settings
from casaprov.archive.spool import Spool
from casaprov.archive.storage import Storage
from casaprov.archive.tables.engine import open_engine
from casaprov.archive.tables.repository import Repository
from casaprov.archive.tables.uploads import Uploads
from casaprov.archive.web.archive import Archive, Identity
from casaprov.archive.web.deposit_routes import Receiver
from casaprov.archive.web.handler import Unknown
from casaprov.archive.work.worker import Parts

__all__ = ["make_app", "make_server", "open_archive", "open_parts"]

_CHUNK = 256 * 2**10  # bytes of a body that are handled at once: what other requests wait for at most


class Root(Receiver, Index):
    """``/``: the list of crates for readers, and the address that the form in use posts to."""


def open_parts(settings: Settings) -> Parts:
    """Open the parts of an archive that need no identity; make folders and tables if they are not there."""
    for folder in (settings.root, settings.spool, settings.keys, settings.git):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Parts(
        settings=settings,
        repository=Repository(open_engine(settings.database_url), settings.vo.did_prefix),
        storage=Storage(settings.ocfl, settings.root / "scratch"),
        spool=Spool(settings.spool, settings.limits.keep_free),
        publications=publishers(settings),
    )


def open_archive(settings: Settings, identity: Identity | None = None) -> Archive:
    """Open the archive that settings describe, to be served."""
    parts = open_parts(settings)
    return Archive(
        settings=settings,
        repository=parts.repository,
        uploads=Uploads(parts.repository.engine),
        storage=parts.storage,
        spool=parts.spool,
        identity=identity or (OidcIdentity(settings) if settings.identity.issuer else LocalTokens(settings.root)),
        receipt=make_receipts(settings),
    )


def make_app(archive: Archive) -> Application:
    """Return the tornado application of an archive."""
    context: dict[str, Any] = {"archive": archive}
    found = [
        (r"/", Root, context),
        *casaprov.archive.web.deposit_routes.routes(archive),
        *casaprov.archive.web.upload_routes.routes(archive),
        *casaprov.archive.web.operations.routes(archive),
        *casaprov.archive.web.openapi.routes(archive),
        *casaprov.archive.publication.routes.routes(archive),
        *casaprov.archive.pages.routes.routes(archive),
    ]
    return Application(found, default_handler_class=Unknown, default_handler_args=context, log_function=lambda _: None)


def make_server(archive: Archive) -> HTTPServer:
    """Return the HTTP server of an archive, which listens nowhere yet."""
    return HTTPServer(
        make_app(archive),
        xheaders=True,
        chunk_size=_CHUNK,
        max_buffer_size=2**20,
        max_body_size=2**20,  # a form and an upload raise it for themselves
        idle_connection_timeout=120,
    )
