"""The environment of a session: CASA, its data, Python, machine, container, repository."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from casaprov.casa.installed.data import data_folders
from casaprov.errors import CasaMissing
from casaprov.records.model import Environment, GitState
from casaprov.version import installed_version

if TYPE_CHECKING:
    from git import Repo

__all__ = [
    "computing_environment",
    "container_name",
    "current_environment",
    "git_state",
    "installed_distributions",
    "measures_tables",
    "processor",
    "without_credentials",
]

_log = logging.getLogger(__name__)

_PACKAGES = (
    "IPython", "astropy", "casaconfig", "casadata", "casampi", "casaplotms", "casashell", "casatasks", "casatools",
    "casaviewer", "ipykernel", "jupyterlab", "matplotlib", "nbclient", "nbformat", "notebook", "numpy", "pandas",
    "pyerfa", "python-casacore", "scipy", "six", "xarray",
)  # fmt: skip
# Packages that tasks compute with.
_COMPUTING = ("astropy", "matplotlib", "numpy", "pandas", "pyerfa", "scipy", "six")
_COMPUTING_VARIABLE = re.compile(
    r"(OMP|GOMP|KMP|MKL|OPENBLAS|BLIS|FFTW|NUMEXPR)_\w+|CASARCFILES|CASAPATH|MALLOC_PERTURB_|LC_\w+|LANG|TZ"
)
_THREADS = ("MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# In table.dat the keywords VS_CREATE, VS_DATE and VS_VERSION follow each other, each a string
# preceded by its length in four bytes.
_VERSION_KEYWORDS = re.compile(
    rb"\d{4}/\d\d/\d\d/\d\d:\d\d.{4}(\d{4})/(\d\d)/(\d\d)/\d\d:\d\d.{4}(\d{4}\.\d{4})", re.DOTALL
)
_MEASURES_TABLES = ("IERSeop2000", "IERSpredict", "TAI_UTC")

_INSTALLED = re.compile(r"(?P<name>[A-Za-z0-9][\w.]*)-(?P<version>[^-]+)\.(dist|egg)-info")
_CONTAINER_ID = re.compile(r"/containers/([0-9a-f]{64})/")


def current_environment(folder: Path) -> Environment:
    """Describe the environment of this process, for a notebook in `folder`, without importing CASA."""
    packages = {name: version for name in _PACKAGES if (version := installed_version(name))}
    return Environment(
        # The version that CASA itself gives is 6.7.5-18 where that of its distribution is 6.7.5.18.
        casatasks=packages.get("casatasks") or _loaded_version("casatasks"),
        casatools=packages.get("casatools") or _loaded_version("casatools"),
        casadata=packages.get("casadata", ""),
        measures=_measures_version(),
        python=platform.python_version(),
        platform=platform.platform(),
        host=platform.node(),
        container=container_name(Path("/"), os.environ),
        threads=_threads(),
        packages=packages,
        distributions=installed_distributions(sys.path),
        git=git_state(folder),
    )


def computing_environment(environment: Environment) -> dict[str, Any]:
    """Return everything in this process that the results of a task can depend on, beside its files and parameters.

    Parameters
    ----------
    environment
        The environment of the session.
    """
    packages = {name: environment.packages.get(name, "") for name in _COMPUTING}
    return {
        "casatasks": environment.casatasks,
        "casatools": environment.casatools,
        "casadata": environment.casadata,
        "measures": _measures_version(),  # an update may have come since the session began
        "python": environment.python,
        "packages": packages,
        "threads": _threads_of_casa(),
        "cpus": len(os.sched_getaffinity(0)),
        "variables": {name: value for name, value in sorted(os.environ.items()) if _COMPUTING_VARIABLE.fullmatch(name)},
        "processor": processor(),
    }


def _threads_of_casa() -> int:
    """Return the number of threads that CASA's loops take; a variable may have changed since its library was loaded."""
    casatasks = sys.modules.get("casatasks")
    try:
        return int(casatasks.casalog.ompGetNumThreads()) if casatasks is not None else 0
    except (AttributeError, RuntimeError):
        return 0


@cache
def processor() -> str:
    """Return the kind of processor and its features, by which numerical libraries choose their code."""
    lines = _text(Path("/proc/cpuinfo")).splitlines()
    features = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return f"{platform.machine()} {' '.join(sorted(features))}".strip()


def measures_tables(folder: Path) -> dict[str, tuple[date, str]]:
    """Return date and version of the IERS and leap-second tables below a data folder.

    They are read from the tables' headers, without CASA; a table is left out if it is absent or of an unknown form.
    """
    found: dict[str, tuple[date, str]] = {}
    for name in _MEASURES_TABLES:
        try:
            header = (folder / "geodetic" / name / "table.dat").read_bytes()
        except OSError:
            continue
        if match := _VERSION_KEYWORDS.search(header):
            year, month, day = (int(match[group]) for group in (1, 2, 3))
            found[name] = date(year, month, day), match[4].decode()
    return found


def installed_distributions(path: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution that Python finds, by its normalised name.

    Names and versions are those of the folders that pip leaves, which are not opened: there are hundreds.

    Parameters
    ----------
    path
        Folders in the order in which Python looks into them.
    """
    found: dict[str, str] = {}
    for folder in path:
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith("-info"))
        except OSError:
            continue
        for match in filter(None, map(_INSTALLED.fullmatch, names)):
            name = re.sub(r"[-_.]+", "-", match["name"]).lower()
            if name not in found:
                found[name] = match["version"] + _origin(Path(folder, match[0], "direct_url.json"))
    return dict(sorted(found.items()))


def _origin(noted: Path) -> str:
    """Return where a distribution came from, if not from an index (PEP 610)."""
    if not noted.is_file():
        return ""
    try:
        source = json.loads(_text(noted))
        url = str(source["url"])
        if "vcs_info" in source and not url.startswith("file:"):
            vcs = source["vcs_info"]
            return f" @ {vcs['vcs']}+{without_credentials(url)}@{vcs['commit_id']}"
    except (ValueError, KeyError, TypeError):
        pass
    return " (local)"


def container_name(root: Path, environ: Mapping[str, str]) -> str:
    """Return the name of the container image, else of the container; empty outside of one.

    Parameters
    ----------
    root
        The root of the file system, where container engines leave marker files.
    environ
        The environment variables.
    """
    for variable in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "APPTAINER_NAME", "SINGULARITY_NAME"):
        if environ.get(variable):
            return f"apptainer:{Path(environ[variable]).name}"
    if environ.get("JUPYTER_IMAGE"):  # set by JupyterHub's spawners for Kubernetes and Docker
        return environ["JUPYTER_IMAGE"]
    podman = root / "run" / ".containerenv"
    if podman.is_file():
        image = re.search(r'^image="([^"]+)"', _text(podman), re.MULTILINE)
        return f"podman:{image[1]}" if image else "podman"
    if (root / ".dockerenv").exists():
        container = _CONTAINER_ID.search(_text(root / "proc" / "self" / "mountinfo"))
        return f"docker:{container[1][:12]}" if container else "docker"
    return "kubernetes" if environ.get("KUBERNETES_SERVICE_HOST") else ""


def git_state(folder: Path) -> GitState | None:
    """Return the commit of the repository around `folder`; None without git, repository or commit.

    ``dirty`` stands for changes of tracked files: data products beside a notebook, which are not tracked, do not make it
    another notebook.
    """
    if "GIT_DIR" not in os.environ and not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return None  # GitPython takes longer to load than everything else here
    try:
        # GitPython looks for the git program when imported, and raises ImportError without it.
        import git
    except ImportError:
        return None
    try:
        with git.Repo(folder, search_parent_directories=True) as repository:
            remote = _remote(repository)
            return GitState(commit=repository.head.commit.hexsha, dirty=repository.is_dirty(), remote=remote)
    except (git.GitError, OSError, ValueError) as error:
        # ValueError: the repository has no commit. GitError: among others, it belongs to another user.
        _log.debug("no git state of %s: %s", folder, error)
        return None


def without_credentials(url: str) -> str:
    """Return a remote's `url` without password, token or query."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    # The user of ssh is part of the address ("git"); the user of http may itself be a token.
    keep = user.partition(":")[0] + at if parts.scheme.endswith("ssh") else ""
    return urlunsplit((parts.scheme, keep + host, parts.path, "", ""))


def _remote(repository: Repo) -> str:
    remotes = {remote.name: remote.url for remote in repository.remotes}
    url = remotes.get("origin") or next(iter(remotes.values()), "")
    return without_credentials(url)


def _measures_version() -> str:
    try:
        folders = data_folders()
    except CasaMissing:
        return ""
    for folder in folders:
        if tables := measures_tables(folder):
            return ", ".join(f"{name} {day.isoformat()} ({version})" for name, (day, version) in tables.items())
    return ""


def _loaded_version(module: str) -> str:
    loaded = sys.modules.get(module)
    return str(loaded.version_string()) if loaded is not None and hasattr(loaded, "version_string") else ""


def _threads() -> dict[str, str]:
    limits = {name: os.environ[name] for name in _THREADS if name in os.environ}
    return {"cpus": str(len(os.sched_getaffinity(0))), **limits}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
