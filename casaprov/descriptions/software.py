"""Software that the calls of a crate ran with."""

from __future__ import annotations

from dataclasses import dataclass

from casaprov.records.model import Document

__all__ = ["Requirement", "requirements"]

_PYPI = ("casatasks", "casatools", "casadata")
"""Distributions on the Python Package Index that the record of a session names by its version."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A distribution of the Python Package Index, in the version that ran."""

    name: str
    version: str

    @property
    def url(self) -> str:
        """Its page there."""
        return f"https://pypi.org/project/{self.name}/{self.version}/"


def requirements(document: Document) -> tuple[Requirement, ...]:
    """Return CASA and its data in each version that a session with calls used."""
    used = {activity.session for activity in document.activities}
    environments = [session.environment for session in document.sessions if session.id in used]
    found = (
        Requirement(name=name, version=version)
        for name in _PYPI
        for environment in environments
        if (version := getattr(environment, name))
    )
    return tuple(dict.fromkeys(found))
