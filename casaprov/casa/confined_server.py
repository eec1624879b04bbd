"""The child process of a replay, confined before anything of CASA is loaded.

A module of its own, because importing numpy starts threads, and a thread that
runs already would stay free.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from casaprov.casa.appimages import unpack, unpacked
from casaprov.casa.confine import confine, enter_own_network, readable_places
from casaprov.casa.data import data_folders, forbid_updates
from casaprov.errors import CasaMissing

__all__ = ["POLICY_VARIABLE", "main"]

POLICY_VARIABLE = "CASAPROV_CONFINEMENT"
"""Environment variable with what the parent allows: ``{"write": [...], "read": [...], "scratch": "...", "draws": [...]}``.

``draws``: packages whose tasks this process runs; for those that draw it gets a network of its own.
"""


def _program(package: str) -> Path:
    """Unpack the program of a package, which cannot be done later, and return where it lies."""
    try:
        return unpack(package)
    except CasaMissing:
        return unpacked(package)  # the first call tells


def main() -> None:
    """Confine this process, then serve until the parent closes the pipe."""
    policy = json.loads(os.environ.pop(POLICY_VARIABLE))
    try:
        data = data_folders()  # may write CASA's site configuration into the cache; not possible later
        forbid_updates()
    except CasaMissing:
        data = ()  # the first call tells
    for name in ("TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "IPYTHONDIR"):
        os.environ[name] = policy["scratch"]
    read = (*readable_places(), *data, *map(Path, policy["read"]))
    if policy["draws"]:
        read = (*read, *map(_program, policy["draws"]))
        enter_own_network()
    confine(write=[Path(path) for path in policy["write"]], read=read, own_network=bool(policy["draws"]))

    from casaprov.casa import task_server

    task_server.main()


if __name__ == "__main__":
    main()
