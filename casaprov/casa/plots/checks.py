"""Checks of ``casaprov doctor``: plotms and imview, the tasks that draw."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from casaprov.casa.plots.appimages import PLOT_PACKAGES, app_image, unpacked
from casaprov.doctor import Check, Finding
from casaprov.errors import CasaMissing
from casaprov.version import install_command, installed_version

__all__ = ["CHECKS"]

_TIMEOUT_S = 60
_MACHINE = "x86_64"
_FONTS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts")

# In a child, so that the doctor's own process keeps no messages of these packages. The messages are built with the
# installed protobuf, as the tasks do it; CASA itself is not needed.
_BUILD_MESSAGES = """
import importlib.util, pathlib, sys
from casaprov.casa.plots.old_protobuf import accept_old_messages
accept_old_messages()
for package in sys.argv[1:]:
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent / "private"
    sys.path.insert(0, str(folder))
    for file in sorted(folder.glob("*_pb2_grpc.py")):
        __import__(file.stem)
"""
_OWN_NETWORK = "from casaprov.casa.sandbox.confine import enter_own_network; enter_own_network()"


def plots() -> Finding:
    """Check the packages of plotms and imview, and their fit to the installed protobuf."""
    absent = []
    for package in PLOT_PACKAGES:
        try:
            app_image(package)
        except CasaMissing as error:
            absent.append(error.message)
    if absent:
        remedy = f"Run '{install_command('gui')}' (500 MB); there is one for Linux on x86-64 only."
        return Finding("plotms, imview", "warning", " ".join(absent), remedy)
    versions = ", ".join(f"{package} {installed_version(package)}" for package in PLOT_PACKAGES)
    libraries = ", ".join(
        f"{name} {installed_version(name)}" for name in ("grpcio", "protobuf") if installed_version(name)
    )
    problem = _fails(_BUILD_MESSAGES, *PLOT_PACKAGES)
    if not problem:
        return Finding("plotms, imview", "ok", f"{versions}, with {libraries}.")
    message = f"{versions} do not load with {libraries}: {problem}"
    return Finding("plotms, imview", "warning", message, "Run 'pip install --upgrade grpcio protobuf'.")


def programs() -> Finding:
    """Check the means to start the programs of plotms and imview."""
    folders = [unpacked(package) for package in PLOT_PACKAGES]
    if platform.machine() != _MACHINE:
        message = f"The programs of plotms and imview are for {_MACHINE}; this machine is {platform.machine()}."
        return Finding("plot programs", "warning", message, "Plot on another machine.")
    if all((folder / "AppRun").is_file() for folder in folders):
        return Finding("plot programs", "ok", f"They are unpacked in {folders[0].parents[1]}.")
    if shutil.which("perl") is None:
        message = "The programs of plotms and imview need perl to start, which is not installed."
        return Finding("plot programs", "warning", message, "Install it: 'sudo apt-get install perl-base'.")
    if _has_fuse():
        return Finding("plot programs", "ok", "FUSE mounts them when they start.")
    there = next(path for path in folders[0].parents if path.exists())
    if os.access(there, os.W_OK):
        target = folders[0].parents[1]
        message = f"There is no FUSE here; the first plot unpacks its program into {target} (550 MB each)."
        return Finding("plot programs", "ok", message)
    message = f"There is no FUSE here, and no program can be unpacked into {there}."
    remedy = "Name a folder that you may write to in CASAPROV_PROGRAMS, or run 'sudo apt-get install fuse libfuse2'."
    return Finding("plot programs", "warning", message, remedy)


def fonts() -> Finding:
    """Check for a font, which titles and axes need."""
    for folder in map(Path, map(os.path.expanduser, _FONTS)):
        if next(folder.rglob("*.[to]t[fc]"), None) is not None:
            return Finding("fonts", "ok", f"There are fonts in {folder}.")
    message = "There are no fonts: plots will have no text."
    return Finding("fonts", "warning", message, "Install some: 'sudo apt-get install fonts-dejavu-core'.")


def confined_plots() -> Finding:
    """Check the confinement of programs that draw in a replay."""
    error = _fails(_OWN_NETWORK)
    if not error:
        return Finding("plots in a replay", "ok", "A replay gives the programs that draw a network of their own.")
    message = f"A replay leaves plots out as not verifiable: {error}"
    remedy = (
        "It needs network namespaces: for root the capability CAP_SYS_ADMIN, for others user namespaces"
        " ('sysctl user.max_user_namespaces kernel.unprivileged_userns_clone')."
    )
    return Finding("plots in a replay", "warning", message, remedy)


CHECKS: tuple[Check, ...] = (plots, programs, fonts, confined_plots)


def _has_fuse() -> bool:
    # As root an AppImage mounts by itself, otherwise with the help of fusermount.
    can_mount = os.geteuid() == 0 or shutil.which("fusermount") is not None
    return can_mount and ctypes.util.find_library("fuse") is not None and os.access("/dev/fuse", os.R_OK | os.W_OK)


def _fails(code: str, *arguments: str) -> str:
    """Run `code` in another Python; return the last line of its error output if it fails, else nothing."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"It did not end within {_TIMEOUT_S} s."
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or [f"It ended with {done.returncode}."]
    return lines[-1].partition(": ")[2] or lines[-1]
