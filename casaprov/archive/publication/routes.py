"""Addresses for harvesters and programs."""

from __future__ import annotations

from typing import Any

from casaprov.archive.publication.git.routes import Clone, Contents, Raw
from casaprov.archive.publication.harvest.oai import OaiHandler
from casaprov.archive.publication.keys import Keys
from casaprov.archive.publication.vo.datalink import CrateLists, DataLink
from casaprov.archive.web.archive import Archive

__all__ = ["routes"]


def routes(archive: Archive) -> list[tuple[str, type[Any], dict[str, Any]]]:
    """Return the routes as tornado takes them."""
    context: dict[str, Any] = {"archive": archive}
    return [
        (r"/git/([^/]+)\.git/(.+)", Clone, context),
        (r"/api/v1/repos/([^/]+)/([^/]+)/contents/?", Contents, context),
        (r"/([^/]+)/([^/]+)/raw/branch/master/(.+)", Raw, context),
        (r"/\.well-known/jwks\.json", Keys, context),
        (r"/datalink", DataLink, context),
        (r"/(crates|crate_inputs)\.csv", CrateLists, context),
        (r"/oai", OaiHandler, context),
    ]
