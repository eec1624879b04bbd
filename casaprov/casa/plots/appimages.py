"""The programs of plotms and imview: AppImages inside of the Python packages.

An AppImage is a program with all its libraries in one file, which mounts itself through FUSE when it is started. Where
that is not possible, as in most containers, it is unpacked once into the user's cache; an unpacked program starts
faster, too. See https://docs.appimage.org/user-guide/run-appimages.html.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from casaprov.errors import CasaMissing
from casaprov.version import install_command, installed_version

__all__ = ["PLOT_PACKAGES", "PLOT_TASKS", "PROGRAMS_VARIABLE", "app_image", "unpack", "unpacked", "unpacked_programs"]

PLOT_TASKS: Mapping[str, str] = {"plotms": "casaplotms", "imview": "casaviewer"}
"""Tasks that draw with a program of their own, and the package of each."""

PLOT_PACKAGES = tuple(dict.fromkeys(PLOT_TASKS.values()))
"""The packages of these tasks."""

PROGRAMS_VARIABLE = "CASAPROV_PROGRAMS"
"""Environment variable with another folder to unpack programs into; they take 550 MB each."""

# casaplotms looks at its own path: under any other name it does not read --datapath (measured with 2.9.1).
_UNPACKED = "squashfs-root"
_TIMEOUT_S = 300


def app_image(package: str) -> Path:
    """Return the AppImage of a package of :data:`PLOT_PACKAGES`, without importing the package.

    Raises
    ------
    CasaMissing
        If there is none.
    """
    spec = importlib.util.find_spec(package)
    hint = f"Run '{install_command('gui')}' (500 MB)."
    if spec is None or spec.origin is None:
        raise CasaMissing(f"{package} is not installed in this Python.", hint=hint)
    images = sorted(Path(spec.origin).parent.glob("__bin__/*.AppImage"))
    if not images:
        raise CasaMissing(f"{package} {installed_version(package)} holds no program for this system.", hint=hint)
    return images[0]


def unpacked_programs() -> Path:
    """Return the folder of the user's cache for unpacked AppImages."""
    named = os.environ.get(PROGRAMS_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_cache_dir("casaprov")) / "programs"


def unpacked(package: str) -> Path:
    """Return the folder of the unpacked AppImage of a package; it holds ``AppRun`` once it is unpacked."""
    return unpacked_programs() / f"{package}-{installed_version(package)}" / _UNPACKED


def unpack(package: str) -> Path:
    """Unpack the AppImage of a package, unless it is there already, and return its folder.

    Raises
    ------
    CasaMissing
        If there is no AppImage, or it cannot be unpacked.
    """
    image, folder = app_image(package), unpacked(package)
    if (folder / "AppRun").is_file():
        return folder
    try:
        unpacked_programs().mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=unpacked_programs(), prefix=f".{package}-"))
    except OSError as error:
        raise _failed(package, folder, str(error)) from error
    try:
        _extract(image, aside)
        if not (folder / "AppRun").is_file():  # another process may have been faster
            shutil.rmtree(folder.parent, ignore_errors=True)
            aside.rename(folder.parent)
    except (OSError, subprocess.SubprocessError) as error:
        if not (folder / "AppRun").is_file():
            raise _failed(package, folder, _reason(error)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _extract(image: Path, folder: Path) -> None:
    # pip does not always keep the mode of files in wheels.
    program = image if os.access(image, os.X_OK) else Path(shutil.copy(image, folder / image.name))
    program.chmod(program.stat().st_mode | 0o100) if program != image else None
    command = [str(program), "--appimage-extract"]
    subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=_TIMEOUT_S,
        check=True,
    )


def _reason(error: Exception) -> str:
    stderr = getattr(error, "stderr", None)
    return stderr.decode(errors="replace").strip() if stderr else str(error)


def _failed(package: str, folder: Path, reason: str) -> CasaMissing:
    message = f"The program of {package} cannot be unpacked into {folder}: {reason.rstrip('.')}."
    return CasaMissing(message, hint=f"Make room for 600 MB there, or name another folder with {PROGRAMS_VARIABLE}.")
