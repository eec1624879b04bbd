"""The child process of a replay, confined before CASA is loaded.

This is a module of its own because the import of numpy starts threads, and a thread that runs already would stay free.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from casaprov.casa.installed.data import data_folders, forbid_updates
from casaprov.casa.plots.appimages import unpack, unpacked
from casaprov.casa.sandbox.confine import confine, enter_own_network, readable_places
from casaprov.errors import CasaMissing

__all__ = ["POLICY_VARIABLE", "main", "passed_on"]

POLICY_VARIABLE = "CASAPROV_CONFINEMENT"
"""Environment variable for the parent's policy: ``{"write": [...], "read": [...], "scratch": "...", "draws": [...]}``.

``draws`` names the packages with tasks that draw, for which the process gets a network of its own.
"""

# Other variables can hold tokens and passwords, which a call could write into a product.
_PASSED_ON = frozenset((
    # the system: the dynamic linker, the user, languages, time zones, folders, fonts
    "FONTCONFIG_FILE", "FONTCONFIG_PATH", "GLIBC_TUNABLES", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LD_PRELOAD",
    "LOGNAME", "NIX_LD", "NIX_LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "TZDIR", "USER", "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_DIRS", "XDG_DATA_HOME",
    # Python and matplotlib
    "CONDA_PREFIX", "MPLBACKEND", "PYENV_ROOT", "PYENV_VERSION", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED", "PYTHONHOME", "PYTHONIOENCODING", "PYTHONMALLOC", "PYTHONNOUSERSITE", "PYTHONPATH",
    "PYTHONPLATLIBDIR", "PYTHONUNBUFFERED", "PYTHONUSERBASE", "PYTHONUTF8", "PYTHONWARNINGS", "VIRTUAL_ENV",
    # CASA: the folders of its data, and options of its imaging
    "AIPSPATH", "ATM_MODEL", "CASACORE_DATADIR", "CASAPATH", "CASARCFILES", "CASASITECONFIG", "MEASURESDATA",
    "SAVE_ALL_AUTOMASKS", "SAVE_ALL_RESIMS", "USE_SMALL_SUMMARYMINOR", "WVRGCAL_DISPDIR",
    # the container, for the report
    "APPTAINER_CONTAINER", "APPTAINER_NAME", "JUPYTER_IMAGE", "KUBERNETES_SERVICE_HOST", "SINGULARITY_CONTAINER",
    "SINGULARITY_NAME",
))  # fmt: skip
_PASSED_ON_BEGIN = (
    "BLIS_", "CASAPROV_", "GOMP_", "GOTO_", "KMP_", "LC_", "MALLOC_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_",
)  # fmt: skip


def passed_on(name: str) -> bool:
    """Return True for the user's variables that CASA, Python and the system need in the confined process."""
    return name in _PASSED_ON or name.startswith(_PASSED_ON_BEGIN)


def _program(package: str) -> Path:
    """Unpack the program of a package, which is not possible once confined, and return its folder."""
    try:
        return unpack(package)
    except CasaMissing:
        return unpacked(package)  # the first call reports the error


def main() -> None:
    """Confine this process, then serve until the parent closes the pipe."""
    policy = json.loads(os.environ.pop(POLICY_VARIABLE))
    try:
        data = data_folders()  # may write CASA's site configuration into the cache, which is not possible once confined
        forbid_updates()
    except CasaMissing:
        data = ()  # the first call reports the error
    for name in ("TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "IPYTHONDIR"):
        os.environ[name] = policy["scratch"]
    read = (*readable_places(), *data, *map(Path, policy["read"]))
    if policy["draws"]:
        read = (*read, *map(_program, policy["draws"]))
        enter_own_network()
    confine(write=[Path(path) for path in policy["write"]], read=read, own_network=bool(policy["draws"]))

    from casaprov.casa.sandbox import task_server

    task_server.main()


if __name__ == "__main__":
    main()
