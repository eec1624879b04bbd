"""What is there and what is missing for casaprov to work, and how to mend it.

A check is a function that returns a :class:`Finding`. Those here concern the
machine; those about CASA are in :mod:`casaprov.casa.checks`, and the command
line puts both together: ``examine((*CHECKS, *casa.checks.CHECKS))``.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import platformdirs

__all__ = ["CHECKS", "Check", "Finding", "clones_files", "examine"]

Status = Literal["ok", "warning", "missing"]
"""``warning``: it works, but less well. ``missing``: something will not work."""

_GIB = 2**30
_PYTHONS = ((3, 11), (3, 13))
# Column for column, a reduction and the replay beside it take several times the input's size.
_ENOUGH_DISK_BYTES = 5 * _GIB
_ENOUGH_MEMORY_BYTES = 4 * _GIB

# linux/fs.h: _IOW(0x94, 9, int). Clones all of a file into another one on the same file system.
_FICLONE = 0x40049409


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    name
        What was looked at, in a word or two.
    status
        ``ok``, ``warning`` (works, but less well) or ``missing`` (something will not work).
    told
        What was found, as a sentence.
    remedy
        What mends it, as a sentence with the command; empty if all is well.
    """

    name: str
    status: Status
    told: str
    remedy: str = ""


Check = Callable[[], Finding]


def examine(checks: Iterable[Check] | None = None) -> tuple[Finding, ...]:
    """Carry out `checks`, by default :data:`CHECKS`, and return what each found.

    A check that itself fails becomes a finding: one broken thing never hides the others.
    """
    return tuple(_guarded(check) for check in (CHECKS if checks is None else checks))


def clones_files(folder: Path) -> bool:
    """Tell whether the file system of `folder` shares blocks between copies (reflinks).

    Raises
    ------
    OSError
        If no file can be made in `folder`.
    """
    # TemporaryFile has no name on Linux: nothing is left behind, whatever happens.
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
        source.write(b"\0" * 4096)
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
        return True


def _guarded(check: Check) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever breaks a check is itself the finding
        name = check.__name__.strip("_").replace("_", " ")
        return Finding(name, "warning", f"This could not be checked: {error!r}.", "Report it if it looks like a bug.")


def python() -> Finding:
    """Python itself."""
    lowest, highest = _PYTHONS
    told = f"Python {platform.python_version()} at {sys.executable}."
    if lowest <= sys.version_info[:2] <= highest:
        return Finding("Python", "ok", told)
    remedy = "Make a virtual environment with Python 3.11, 3.12 or 3.13: 'make PYTHON=python3.12 demo'."
    return Finding("Python", "missing", told, remedy)


def jupyter() -> Finding:
    """The libraries that run notebooks."""
    absent = [name for name in ("IPython", "ipykernel", "jupyter_server", "nbclient") if find_spec(name) is None]
    if not absent:
        return Finding("Jupyter", "ok", "Notebooks can be run and recorded.")
    told = f"Not installed: {', '.join(absent)}."
    return Finding("Jupyter", "missing", told, "Run 'pip install \"casaprov[jupyter]\"'.")


def git() -> Finding:
    """The git program."""
    if path := shutil.which("git"):
        return Finding("git", "ok", f"git is at {path}.")
    told = "There is no git program: records will not name the commit of the notebook's repository."
    return Finding("git", "warning", told, "Install it: 'sudo apt-get install git'.")


def xvfb() -> Finding:
    """The X server without a screen."""
    if path := shutil.which("Xvfb"):
        return Finding("Xvfb", "ok", f"Xvfb is at {path}.")
    told = "There is no Xvfb: plotms and imview draw into memory instead of on an X server."
    return Finding("Xvfb", "warning", told, "If pictures look wrong, install it: 'sudo apt-get install xvfb'.")


def memory() -> Finding:
    """Memory that is free."""
    available = _available_memory_bytes()
    told = f"{available / _GIB:.1f} GiB of memory are available."
    if available >= _ENOUGH_MEMORY_BYTES:
        return Finding("memory", "ok", told)
    return Finding("memory", "warning", told, "Close other kernels; CASA images in memory and is killed without it.")


def disk_here() -> Finding:
    """Space in the working directory."""
    return _disk("disk space here", Path.cwd())


def disk_cache() -> Finding:
    """Space in the cache folder."""
    return _disk("disk space of the cache", Path(platformdirs.user_cache_dir("casaprov")))


def reflinks() -> Finding:
    """Whether copies share their blocks."""
    folder = Path.cwd()
    try:
        cloning = clones_files(folder)
    except OSError as error:
        told = f"No file can be made in {folder}: {error.strerror}."
        return Finding("reflinks", "warning", told, "Work in a folder that you may write to.")
    if cloning:
        return Finding("reflinks", "ok", f"Copies of files in {folder} share their blocks.")
    told = f"The file system of {folder} has no reflinks: kept states of a table take full copies."
    return Finding("reflinks", "warning", told, "Work on XFS, btrfs or ZFS where disk space is short.")


CHECKS: tuple[Check, ...] = (python, jupyter, git, xvfb, memory, disk_here, disk_cache, reflinks)


def _disk(name: str, folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / _GIB:.1f} GiB are free in {folder}."
    if not os.access(there, os.W_OK):
        return Finding(name, "warning", f"{there} cannot be written to.", f"Run 'chmod u+w {there}' or work elsewhere.")
    if free >= _ENOUGH_DISK_BYTES:
        return Finding(name, "ok", told)
    return Finding(name, "warning", told, "Make room or work elsewhere; a reduction needs several times its input.")


def _available_memory_bytes() -> int:
    told = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():  # knows what the page cache would give back
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        told = [int(fields["MemAvailable"].split()[0]) * 1024]
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        told.append(int(most) - int(used.read_text()))
    return max(0, min(told))
