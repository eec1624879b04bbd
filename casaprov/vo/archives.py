"""Archives by their entries in ``archives.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath

from casaprov.errors import VoError
from casaprov.records.model import Entity
from casaprov.records.observation import Observation

__all__ = ["Archive", "archives_for", "fact_of", "load_archives"]

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive with a TAP service; the attributes are explained in ``archives.toml``."""

    name: str
    service: str
    table: str
    fact: str
    key: str
    identify: tuple[str, ...]
    telescopes: tuple[str, ...] = ()
    upload: bool = True
    authority: str = ""

    def __post_init__(self) -> None:
        """Refuse names of tables and columns that would be something else in a query."""
        for name in (self.table, self.key, *self.identify):
            if not _NAME.fullmatch(name):
                raise VoError(f"The archive {self.name} has a name that no table or column has: {name!r}.")


@cache
def load_archives() -> tuple[Archive, ...]:
    """Return the archives that casaprov knows."""
    text = files("casaprov").joinpath("vo", "archives.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)["archive"]
    return tuple(
        Archive(**{**entry, "identify": tuple(entry["identify"]), "telescopes": tuple(entry.get("telescopes", ()))})
        for entry in entries
    )


def archives_for(observation: Observation, service: str | None = None) -> tuple[Archive, ...]:
    """Return the archives that may have an observation.

    Parameters
    ----------
    service
        TAP service to ask instead. It is asked as the archive that has this address, else by each known way.
    """
    known = load_archives()
    if service is not None:
        named = [archive for archive in known if archive.service.rstrip("/") == service.rstrip("/")]
        telescope = [archive for archive in known if observation.facility_name in archive.telescopes]
        return tuple(replace(archive, service=service) for archive in (named or telescope or known[:1]))
    return tuple(archive for archive in known if observation.facility_name in archive.telescopes)


def fact_of(archive: Archive, entity: Entity, observation: Observation) -> str:
    """Return the value that an archive is asked for; empty if the data do not have it."""
    if archive.fact == "file_name":
        return PurePosixPath(entity.path).name
    value = observation.identifiers.get(archive.fact) or getattr(observation, archive.fact, "")
    return str(value or "")
