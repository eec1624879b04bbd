"""The places where an archive publishes, in the order in which they are prepared."""

from __future__ import annotations

from casaprov.archive.publication.git.gitea import Gitea
from casaprov.archive.publication.git.repositories import Repositories
from casaprov.archive.publication.object_store import ObjectStore
from casaprov.archive.publication.vo.dachs import Dachs
from casaprov.archive.publishing import Publication
from casaprov.archive.settings import Settings

__all__ = ["publishers"]


def publishers(settings: Settings) -> tuple[Publication, ...]:
    """Return the places that the settings turn on; the archive's own git comes last, for it shows the notebook."""
    found: list[Publication] = []
    if settings.s3.bucket:
        found.append(ObjectStore(settings.s3))
    if settings.gitea.url:
        found.append(Gitea(settings.gitea))
    if settings.vo.backend == "dachs":
        found.append(Dachs(settings))
    return (*found, Repositories(settings.git))
