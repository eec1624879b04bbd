"""Hashes of the files of installed distributions, as the index states them (PEP 691).

See https://packaging.python.org/specifications/simple-repository-api/.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import requests
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from casaprov.errors import CasaprovError

__all__ = ["file_hashes", "index_address"]

_PYPI: Final = "https://pypi.org/simple"
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_AT_ONCE: Final = 8
_TIMEOUT_S: Final = 60
_MOST_NAMED: Final = 5


def index_address() -> str:
    """Return the address of the index: that of pip's variable ``PIP_INDEX_URL``, or of PyPI."""
    return (os.environ.get("PIP_INDEX_URL") or _PYPI).rstrip("/")


def file_hashes(pins: Mapping[str, str], python: str, index: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return the sha256 of each file of some distributions that fits a version of Python, hexadecimal.

    Parameters
    ----------
    pins
        Versions by normalised name.
    python
        Version of Python, such as ``3.11.7``; wheels for others are left out.
    index
        Address of a simple repository; by default :func:`index_address`.

    Raises
    ------
    CasaprovError
        If the index does not answer, or a version is not in it.
    """
    address = index or index_address()
    interpreter = "cp" + "".join(python.split(".")[:2])
    with requests.Session() as session, ThreadPoolExecutor(_AT_ONCE) as threads:
        session.headers["Accept"] = _JSON
        pages = threads.map(lambda name: _files(session, f"{address}/{name}/"), pins)
        found = {
            name: tuple(sorted(_fitting(files, version, interpreter)))
            for (name, version), files in zip(pins.items(), pages, strict=True)
        }
    missing = [f"{name} {pins[name]}" for name, hashes in found.items() if not hashes]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise CasaprovError(
            f"{address} has no files of {', '.join(missing[:_MOST_NAMED])}{more}.",
            hint="Name the index that they came from in PIP_INDEX_URL, or leave out --lock.",
        )
    return found


def _files(session: requests.Session, address: str) -> list[dict[str, Any]]:
    """Return the files that a page of the index lists; none if it has no such page."""
    try:
        answer = session.get(address, timeout=_TIMEOUT_S)
        if answer.status_code == requests.codes.not_found:
            return []
        answer.raise_for_status()
        files: list[dict[str, Any]] = answer.json()["files"]
    except (requests.RequestException, KeyError, TypeError) as error:
        raise CasaprovError(
            f"The index {address} gave no list of files: {error}.", hint="Try again later, or leave out --lock."
        ) from error
    return files


def _fitting(files: list[dict[str, Any]], version: str, interpreter: str) -> Iterator[str]:
    """Yield the sha256 of the files of a version that fit an interpreter."""
    wanted = Version(version)
    for file in files:
        name, hashes = str(file.get("filename", "")), file.get("hashes", {})
        if "sha256" in hashes and _fits(name, wanted, interpreter):
            yield str(hashes["sha256"])


def _fits(name: str, version: Version, interpreter: str) -> bool:
    try:
        if not name.endswith(".whl"):
            return parse_sdist_filename(name)[1] == version
        _, found, _, tags = parse_wheel_filename(name)
    except (InvalidSdistFilename, InvalidWheelFilename, InvalidVersion):
        return False  # a format that pip takes no more
    fitting = (tag.interpreter == interpreter or tag.interpreter.startswith("py") or tag.abi == "abi3" for tag in tags)
    return found == version and any(fitting)
