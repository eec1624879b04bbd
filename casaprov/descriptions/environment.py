"""The environment that calls ran in, as files for programs that build it again (repo2docker, conda, Binder)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from casaprov.crates.layout import ENVIRONMENT
from casaprov.errors import UsageError
from casaprov.records.model import Document, Environment

__all__ = ["FindHashes", "environment_files", "last_environment", "with_file_hashes"]

FindHashes = Callable[[Mapping[str, str], str], Mapping[str, tuple[str, ...]]]
"""Finds the hashes of the files of distributions, by their versions and that of Python."""

_APT = ".binder/apt.txt"
_DRAWING = ("casaplotms", "casaviewer")
_FOR_DRAWING = ("fonts-dejavu-core", "fuse", "libfuse2", "perl-base", "xvfb")
"""Debian packages that CASA's programs for plots need."""

_LOCAL = " (local)"


def last_environment(document: Document) -> Environment:
    """Return the environment of the last session with calls; that of an export only if there is no other."""
    used = {activity.session for activity in document.activities}
    found = sorted((s for s in document.sessions if s.id in used), key=lambda session: not session.exporting)
    return found[-1].environment


def with_file_hashes(document: Document, find: FindHashes) -> Document:
    """Return a Document whose last environment has the hashes of all its distributions.

    Parameters
    ----------
    find
        Returns the hashes of the files of distributions, by their versions and that of Python.

    Raises
    ------
    UsageError
        If the record does not tell all distributions, or one came from a repository: it has no hash.
    """
    environment = last_environment(document)
    pins = _pins(environment)
    if not environment.distributions:
        raise UsageError(
            "The record does not tell which distributions were installed, so --lock cannot pin them.",
            hint="Run the notebook again with this version of casaprov, or leave out --lock.",
        )
    if unhashed := [name for name, version in pins.items() if " @ " in version]:
        raise UsageError(
            f"{', '.join(unhashed)} came from a repository: --lock cannot pin what has no file in an index.",
            hint="Install it from an index and run the notebook again, or leave out --lock.",
        )
    locked = replace(environment, file_hashes=dict(find(pins, environment.python)))
    sessions = (replace(s, environment=locked) if s.environment == environment else s for s in document.sessions)
    return replace(document, sessions=tuple(sessions))


def environment_files(document: Document) -> dict[str, bytes]:
    """Return the files of ``.binder/`` by their path in the crate; none if the version of Python was not recorded."""
    environment = last_environment(document)
    if not environment.python:
        return {}
    found = {ENVIRONMENT: "".join(f"{line}\n" for line in _conda(environment)).encode()}
    if any(name in environment.packages for name in _DRAWING):
        found[_APT] = "".join(f"{name}\n" for name in _FOR_DRAWING).encode()
    return found


def _conda(environment: Environment) -> Iterator[str]:
    """Yield the lines of an environment of conda, with everything else from the Python Package Index."""
    pins, local = _pins(environment), _local(environment)
    yield f"# Python {environment.python} on {environment.platform}"
    if not environment.distributions:
        yield "# Other distributions were installed, whose versions are not in the record."
    for name, version in local.items():
        yield f"# {name} {version} was installed from a folder; it is not in an index."
    if environment.measures:
        yield f"# casadata with {environment.measures}"
    yield from ("name: casa-notebook", "channels:", "  - conda-forge", "dependencies:")
    yield f"  - {json.dumps(f'python={environment.python}')}"
    yield "  - pip"
    if pins:
        yield "  - pip:"
    for name, version in pins.items():
        hashes = "".join(f" --hash=sha256:{one}" for one in environment.file_hashes.get(name, ()))
        yield f"      - {json.dumps(_requirement(name, version) + hashes)}"


def _pins(environment: Environment) -> dict[str, str]:
    """Return the versions of the distributions that did not come from a folder."""
    return {name: version for name, version in _installed(environment).items() if not version.endswith(_LOCAL)}


def _local(environment: Environment) -> dict[str, str]:
    """Return the versions of the distributions that came from a folder."""
    installed = _installed(environment).items()
    return {name: version.removesuffix(_LOCAL) for name, version in installed if version.endswith(_LOCAL)}


def _installed(environment: Environment) -> dict[str, str]:
    """Return the versions of all distributions, as far as the record tells them."""
    return environment.distributions or environment.packages


def _requirement(name: str, version: str) -> str:
    """Return the line of pip for a distribution."""
    _, at, address = version.partition(" @ ")
    return f"{name} @ {address}" if at else f"{name}=={version}"
