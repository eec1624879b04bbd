"""Checks of the installation: each finds something present or missing, and says how to mend it.

A check is a function that returns a :class:`Finding`. The checks here concern
the machine; those of CASA are in :mod:`casaprov.casa.checks`, and the command
line puts both together: ``examine((*CHECKS, *casa.checks.CHECKS))``.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import platformdirs

from casaprov.errors import MissingDependency
from casaprov.version import install_command

__all__ = ["CHECKS", "Check", "Finding", "clones_files", "examine"]

Status = Literal["ok", "warning", "missing"]
"""``warning``: casaprov works, but less well. ``missing``: something will not work."""

_GIB = 2**30
_PYTHONS = ((3, 11), (3, 13))
# A reduction, and a replay beside it, take several times the size of the input.
_ENOUGH_DISK_BYTES = 5 * _GIB
_ENOUGH_MEMORY_BYTES = 4 * _GIB

# linux/fs.h: _IOW(0x94, 9, int). Clones a whole file into another one on the same file system.
_FICLONE = 0x40049409


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes
    ----------
    name
        Subject of the check, in a word or two.
    status
        ``ok``, ``warning`` or ``missing`` (:data:`Status`).
    message
        The result, as a sentence.
    remedy
        A sentence with the command that mends it; empty if all is well.
    """

    name: str
    status: Status
    message: str
    remedy: str = ""


Check = Callable[[], Finding]


def examine(checks: Iterable[Check] | None = None) -> Iterator[Finding]:
    """Carry out `checks`, by default :data:`CHECKS`, and yield the finding of each as soon as it is known.

    A check that itself fails becomes a finding: one broken thing never hides the others.
    """
    yield from map(_guarded, CHECKS if checks is None else checks)


def clones_files(folder: Path) -> bool:
    """Return True if the file system of `folder` shares blocks between copies (reflinks).

    Raises
    ------
    OSError
        If no file can be made in `folder`.
    """
    # On Linux a TemporaryFile has no name, so that nothing can be left behind.
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
    except MissingDependency as error:
        return Finding(_name(check), "missing", error.message, error.hint)
    except ModuleNotFoundError as error:
        message = f"This could not be checked: the Python package {error.name} is not installed."
        return Finding(_name(check), "missing", message, "First install what the findings above name.")
    except Exception as error:  # noqa: BLE001 - any error of a check becomes its finding
        return Finding(
            _name(check), "warning", f"This could not be checked: {error!r}.", "Report it if it looks like a bug."
        )


def _name(check: Check) -> str:
    return check.__name__.strip("_").replace("_", " ")


def python() -> Finding:
    """Check the version of Python."""
    lowest, highest = _PYTHONS
    message = f"Python {platform.python_version()} at {sys.executable}."
    if lowest <= sys.version_info[:2] <= highest:
        return Finding("Python", "ok", message)
    remedy = "Make a virtual environment with Python 3.11, 3.12 or 3.13: 'make PYTHON=python3.12 demo'."
    return Finding("Python", "missing", message, remedy)


def jupyter() -> Finding:
    """Check the libraries that run notebooks."""
    absent = [name for name in ("IPython", "ipykernel", "jupyter_server", "nbclient") if find_spec(name) is None]
    if not absent:
        return Finding("Jupyter", "ok", "Notebooks can be run and recorded.")
    message = f"Not installed: {', '.join(absent)}."
    return Finding("Jupyter", "missing", message, f"Run '{install_command('jupyter')}'.")


def git() -> Finding:
    """Check the git program."""
    if path := shutil.which("git"):
        return Finding("git", "ok", f"git is at {path}.")
    message = "There is no git program: records will not name the commit of the notebook's repository."
    return Finding("git", "warning", message, "Install it: 'sudo apt-get install git'.")


def xvfb() -> Finding:
    """Check the X server that needs no screen."""
    if path := shutil.which("Xvfb"):
        return Finding("Xvfb", "ok", f"Xvfb is at {path}.")
    message = "There is no Xvfb: plotms and imview draw into memory instead of on an X server."
    return Finding("Xvfb", "warning", message, "If pictures look wrong, install it: 'sudo apt-get install xvfb'.")


def graphviz() -> Finding:
    """Check the program that draws graphs into png and pdf files."""
    if path := shutil.which("dot"):
        return Finding("Graphviz", "ok", f"Graphviz's dot is at {path}.")
    message = "There is no Graphviz: graphs are drawn as svg, and not as png or pdf."
    return Finding("Graphviz", "warning", message, "If you need those, install it: 'sudo apt-get install graphviz'.")


def memory() -> Finding:
    """Check the free memory."""
    available = _available_memory_bytes()
    message = f"{available / _GIB:.1f} GiB of memory are available."
    if available >= _ENOUGH_MEMORY_BYTES:
        return Finding("memory", "ok", message)
    return Finding(
        "memory", "warning", message, "Close other kernels: CASA makes images in memory, and is killed if it runs out."
    )


def disk_here() -> Finding:
    """Check the space in the working directory."""
    return _disk("disk space here", Path.cwd())


def disk_cache() -> Finding:
    """Check the space in the cache folder."""
    return _disk("disk space of the cache", Path(platformdirs.user_cache_dir("casaprov")))


def reflinks() -> Finding:
    """Check the file system for copies that share their blocks."""
    folder = Path.cwd()
    try:
        cloning = clones_files(folder)
    except OSError as error:
        message = f"No file can be made in {folder}: {error.strerror}."
        return Finding("reflinks", "warning", message, "Work in a folder that you may write to.")
    if cloning:
        return Finding("reflinks", "ok", f"Copies of files in {folder} share their blocks.")
    message = f"The file system of {folder} has no reflinks: each kept state of a table is a full copy."
    return Finding("reflinks", "warning", message, "Work on XFS, btrfs or ZFS where disk space is short.")


CHECKS: tuple[Check, ...] = (python, jupyter, git, xvfb, graphviz, memory, disk_here, disk_cache, reflinks)


def _disk(name: str, folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    message = f"{free / _GIB:.1f} GiB are free in {folder}."
    if not os.access(there, os.W_OK):
        return Finding(name, "warning", f"{there} cannot be written to.", f"Run 'chmod u+w {there}' or work elsewhere.")
    if free >= _ENOUGH_DISK_BYTES:
        return Finding(name, "ok", message)
    return Finding(
        name, "warning", message, "Make space or work elsewhere; a reduction takes several times the size of its input."
    )


def _available_memory_bytes() -> int:
    limits = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():  # counts the memory that the page cache would give back
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        limits = [int(fields["MemAvailable"].split()[0]) * 1024]
    limit = Path("/sys/fs/cgroup/memory.max")
    used = Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        limits.append(int(most) - int(used.read_text()))
    return max(0, min(limits))
