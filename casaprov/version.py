"""Versions of installed packages, that of casaprov among them, and the command that adds an extra to casaprov."""

from __future__ import annotations

import json
import re
import shlex
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["__version__", "install_command", "installed_version"]

_VERSION = re.compile(r"^Version:[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)


def installed_version(distribution: str) -> str:
    """Return the version of an installed distribution; empty if it is not installed."""
    try:
        found = Distribution.from_name(distribution)
    except PackageNotFoundError:
        return ""
    # found.version parses all metadata as a mail, the package's README included: milliseconds of a kernel's start.
    header, _, _ = (found.read_text("METADATA") or "").partition("\n\n")
    version = _VERSION.search(header)
    return version[1] if version else found.version


__version__ = installed_version("casaprov") or "0+unknown"  # a checkout on PYTHONPATH has no metadata


def install_command(extra: str, *, python: str = "") -> str:
    """Return the command that adds an extra to an installation of casaprov, as a user would type it.

    It names the clone, the wheel or the repository that casaprov was installed from. The name ``casaprov`` alone
    would be looked up in a package index, where it is not this project's.

    Parameters
    ----------
    extra
        One of the extras in ``pyproject.toml``, for example ``gui``.
    python
        An interpreter that the extra is meant for, if not the one of the user's ``pip``.
    """
    pip = f"{shlex.quote(python)} -m pip" if python else "pip"
    option, source = _source(extra)
    plain = not set(source) & set('"$`\\!')
    return f"{pip} install {option}" + (f'"{source}"' if plain else shlex.quote(source))


def _source(extra: str) -> tuple[str, str]:
    """Return the option of pip and the requirement, by what pip noted when it installed casaprov (PEP 610)."""
    try:
        noted: dict[str, Any] = json.loads(Distribution.from_name("casaprov").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return "-e ", f"{Path(__file__).parents[1]}[{extra}]"
    url = str(noted.get("url", ""))
    if vcs := noted.get("vcs_info"):
        return "", f"casaprov[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    place = unquote(urlsplit(url).path)
    if url.startswith("file:"):
        return "-e " if noted.get("dir_info", {}).get("editable") else "", f"{place}[{extra}]"
    if url:
        return "", f"casaprov[{extra}] @ {url}"
    # pip noted nothing: it was given a folder of wheels, or another program installed casaprov.
    return "", f"casaprov-{__version__}-py3-none-any.whl[{extra}]"
