"""Resolvers of locators that lead to the network, for ``casaprov replay --fetch``.

A file is fetched once, into the user's cache. Its content is checked by the replay, as that of any other candidate.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import platformdirs
import requests

from casaprov.errors import CasaprovError, VoError
from casaprov.records.model import Document, Entity, Identifier
from casaprov.vo.archives import Archive, load_archives
from casaprov.vo.datalink import LinkedFile, fetch, linked_files
from casaprov.vo.tap import rows_of

__all__ = ["network_resolvers"]

_log = logging.getLogger(__name__)

_SLACK_BYTES = 2**20
"""Bytes by which a FITS file with the same content may be longer than the one that was recorded."""


def network_resolvers(
    document: Document, session: requests.Session, folder: Path | None = None
) -> Mapping[str, Callable[[str], Path | None]]:
    """Return the resolvers of the schemes ``vo`` and ``https`` for the inputs of a record.

    Parameters
    ----------
    folder
        Folder to fetch into; by default one in the user's cache.
    """
    held = folder or Path(platformdirs.user_cache_dir("casaprov")) / "fetched"
    inputs = {locator.value: entity for entity in document.entities for locator in entity.locators}

    def vo(value: str) -> Path | None:
        return _quietly(value, lambda: _by_did(value, inputs[value], held, session))

    def https(value: str) -> Path | None:
        file = LinkedFile(url=value, semantics="#this")
        return _quietly(value, lambda: _stored(file, inputs[value], held, session))

    return {"vo": vo, "https": https}


def _quietly(value: str, resolve: Callable[[], Path | None]) -> Path | None:
    """Return no path where a file cannot be fetched, and say why: the next locator may lead to it."""
    try:
        return resolve()
    except (CasaprovError, OSError, KeyError) as error:
        _log.warning("%s was not fetched: %s", value, error)
        return None


def _by_did(value: str, entity: Entity, folder: Path, session: requests.Session) -> Path | None:
    """Fetch the file of an input from the data set that a publisher DID names."""
    known = next(identifier for identifier in (*entity.identifiers, _unlinked(value)) if identifier.value == value)
    archive = _archive(known)
    name = PurePosixPath(entity.path).name
    for row in rows_of(archive, "obs_publisher_did", value, session):
        files = [f for f in linked_files(str(row.get("access_url") or ""), session) if f.semantics == "#this"]
        named = [file for file in files if file.name == name]
        for file in named or [file for file in files if file.size_bytes == entity.size_bytes]:
            return _stored(file, entity, folder, session)
    raise VoError(f"{archive.service} has no file {name} there.")


def _unlinked(value: str) -> Identifier:
    return Identifier(scheme="ivoid", value=value, confidence="stated", time="")


def _archive(identifier: Identifier) -> Archive:
    """Return the archive of an identifier: the service that it was found by, else the one with its authority."""
    if identifier.service:
        table = identifier.table or "ivoa.obscore"
        return Archive(name="The archive", service=identifier.service, table=table, fact="", key="obs_id", identify=())
    authority = identifier.value.removeprefix("ivo://").partition("/")[0]
    for archive in load_archives():
        if authority and archive.authority == authority:
            return archive
    raise VoError(f"No archive is known for {identifier.value}.", hint="Link it again with --tap.")


def _stored(file: LinkedFile, entity: Entity, folder: Path, session: requests.Session) -> Path:
    """Return a file in the cache; fetch it if it is not there."""
    if not file.url.startswith(("https://", "http://")):
        raise VoError(f"{file.url} is no address of the web.")
    own = folder / hashlib.sha256(file.url.encode()).hexdigest()[:16]
    if (own / file.name).is_file():
        return own / file.name
    own.mkdir(parents=True, exist_ok=True)
    return fetch(file, own, session, max_bytes=entity.size_bytes + _SLACK_BYTES)
