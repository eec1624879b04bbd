"""The casaprov that is installed: its version, and how an extra is added to it."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import Distribution, PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["__version__", "install_command"]

try:
    __version__ = version("casaprov")
except PackageNotFoundError:  # a checkout on PYTHONPATH that was never installed
    __version__ = "0+unknown"


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
    place = url2pathname(urlsplit(url).path)
    if url.startswith("file:"):
        return "-e " if noted.get("dir_info", {}).get("editable") else "", f"{place}[{extra}]"
    if url:
        return "", f"casaprov[{extra}] @ {url}"
    # pip noted nothing: it was given a folder of wheels, or another program installed casaprov.
    return "", f"casaprov-{__version__}-py3-none-any.whl[{extra}]"
