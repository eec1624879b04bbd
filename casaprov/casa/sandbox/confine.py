"""Confinement of CASA: the rules of the kernel, and the places that CASA and Python must read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from casaprov.confinement.kernel_rules import confine, enter_own_network, landlock_version, require_confinement

__all__ = ["confine", "enter_own_network", "landlock_version", "readable_places", "require_confinement"]

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc", "/opt", "/proc", "/sys")


def readable_places() -> tuple[Path, ...]:
    """Return the folders of the system, of this Python and its packages, and of CASA's configuration."""
    packages = [Path(name) for name in sys.path if Path(name).is_absolute() and Path(name).is_dir()]
    # Some installers (uv, Nix) link packages into an environment.
    linked = [entry.resolve() for folder in packages for entry in folder.iterdir() if entry.is_symlink()]
    python = [Path(name) for name in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
    site = [Path(os.environ[name]) for name in ("CASASITECONFIG",) if name in os.environ]
    own = [Path(os.path.expanduser(name)) for name in ("~/.casa", "~/.casarc")]  # noqa: PTH111 - HOME may be unset
    places = [*python, *packages, *linked, *site, *own]
    return (*map(Path, _SYSTEM), *(path for path in dict.fromkeys(places) if path != Path("/")))
