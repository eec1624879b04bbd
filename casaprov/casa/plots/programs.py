"""The programs behind plotms and imview, started, watched and ended by this process.

The packages start their programs themselves. But they wait for ever for a program that does not come up, leave it
behind when Python is killed, and let the viewer's window, and with it the picture, grow with every call, for its size
is kept in ``~/.casa``. Here a program gets a state of its own, has a minute to give its address, and ends with this
process. The tasks then connect to that address.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from casaprov.casa.plots.appimages import app_image, unpack, unpacked
from casaprov.casa.plots.screen import OFFSCREEN, Xvfb, end_with_parent
from casaprov.errors import CasaMissing

__all__ = ["PlotPrograms"]

_START_S = 60.0
_PAUSE_S = 0.02
_OUTPUT_LINES = 5

# The viewer changes this file after each call, and with it the size of the next picture.
_VIEWER_STATE = """\
viewer.dpg.dimensions: 1000 1000
viewer.dpg.visible.animator: false
viewer.dpg.visible.cursor_tracking: false
viewer.dpg.visible.regions: false
"""
_WITHHELD = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "QT_QPA_PLATFORM", "LD_LIBRARY_PATH", "LD_PRELOAD")


@dataclass
class _Program:
    process: subprocess.Popen[bytes]
    folder: Path
    log: str
    address: str


class PlotPrograms:
    """Programs by package; each is started when it is first needed, and again if it ended.

    Parameters
    ----------
    xvfb
        True to draw on an X server, where one is installed.
    fuse
        True to start a program without unpacking it, where that is possible.
    """

    def __init__(self, *, xvfb: bool = True, fuse: bool = True) -> None:
        self._xvfb = xvfb
        self._fuse = fuse
        self._folder = Path(tempfile.mkdtemp(prefix="casaprov-plots-"))
        self._screen: Xvfb | None = None
        self._programs: dict[str, _Program] = {}
        self._starting: subprocess.Popen[bytes] | None = None

    def ready(self, package: str, log: str, data: str) -> dict[str, str]:
        """Start the program of a package unless it runs, ready for the next call.

        Parameters
        ----------
        log
            File for its log; empty for none.
        data
            Folder of CASA's data.

        Returns
        -------
        dict
            The ``address`` it listens at, and the ``display`` it draws on.

        Raises
        ------
        CasaMissing
            If it is not installed or does not start.
        """
        variables = self._variables()
        program = self._programs.get(package)
        if program is not None and (program.process.poll() is not None or program.log != log):
            self.stop(package)
            program = None
        if program is None:
            program = self._programs[package] = self._start(package, log, data, variables)
        self._reset(program.folder)
        return {"address": program.address, "display": variables.get("DISPLAY", ":offscreen")}

    def stop(self, package: str) -> None:
        """End the program of a package, if it runs."""
        program = self._programs.pop(package, None)
        if program is not None:
            program.process.kill()
            program.process.wait()
            shutil.rmtree(program.folder, ignore_errors=True)

    def close(self) -> None:
        """End all programs, one that starts at this moment included, and the screen."""
        if self._starting is not None:
            self._starting.kill()
            self._starting.wait()
        for package in tuple(self._programs):
            self.stop(package)
        if self._screen is not None:
            self._screen.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- parts ---------------------------------------------------------------

    def _variables(self) -> Mapping[str, str]:
        if self._screen is not None and self._screen.runs():
            return self._screen.variables
        if not self._xvfb or shutil.which("Xvfb") is None:
            return OFFSCREEN
        for package in tuple(self._programs):  # their screen is gone
            self.stop(package)
        try:
            self._screen = Xvfb(self._folder)
        except OSError:
            self._xvfb = False
            return OFFSCREEN
        return self._screen.variables

    def _start(self, package: str, log: str, data: str, variables: Mapping[str, str]) -> _Program:
        unpacked_already = unpacked(package) / "AppRun"
        if self._fuse and not unpacked_already.is_file():
            try:
                return self._launch(package, app_image(package), log, data, variables)
            except (CasaMissing, OSError):
                self._fuse = False  # most likely there is no FUSE here; any other reason shows below
        return self._launch(package, unpack(package) / "AppRun", log, data, variables)

    def _launch(self, package: str, program: Path, log: str, data: str, variables: Mapping[str, str]) -> _Program:
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{package}-"))
        self._reset(folder)
        address = folder / "address"
        os.mkfifo(address)
        command = [str(program), *_arguments(package, address, log, folder), *([f"--datapath={data}"] if data else [])]
        with (folder / "output").open("wb") as output:
            process = self._starting = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_environment(folder), **variables},
                preexec_fn=end_with_parent,  # noqa: PLW1509 - one system call
            )
        found = _wait_for(address, process)
        self._starting = None
        if found:
            return _Program(process, folder, log, found)
        process.kill()
        process.wait()
        lines = (folder / "output").read_text(errors="replace").strip().splitlines()[-_OUTPUT_LINES:]
        shutil.rmtree(folder, ignore_errors=True)
        reason = " ".join(lines) or "it gives no reason"
        message = f"The program of {package} ({program}) does not start: {reason}."
        raise CasaMissing(message, hint="'casaprov doctor' tells what it needs.")

    @staticmethod
    def _reset(folder: Path) -> None:
        state = folder / "cache" / "viewer"
        state.mkdir(parents=True, exist_ok=True)
        (state / "rc").write_text(_VIEWER_STATE, encoding="ascii")


def _arguments(package: str, address: Path, log: str, folder: Path) -> list[str]:
    if package == "casaplotms":
        return ["--nopopups", f"--server={address}", *([f"--logfilename={log}"] if log else [])]
    return [f"--nogui={address}", f"--cachedir={folder / 'cache'}", *([f"--casalogfile={log}"] if log else [])]


def _environment(home: Path) -> dict[str, str]:
    """Return this process's variables, with a home for the program: it locks and changes files there."""
    chosen = {name: value for name, value in os.environ.items() if name not in _WITHHELD and "MPI" not in name}
    users = Path(os.path.expanduser("~"))  # noqa: PTH111 - HOME may be unset
    with suppress(OSError):
        shutil.copy(users / ".casarc", home / ".casarc")
    fonts = {"XDG_CONFIG_HOME": str(users / ".config"), "XDG_DATA_HOME": str(users / ".local" / "share")}
    return {**fonts, **chosen, "HOME": str(home)}


def _wait_for(address: Path, process: subprocess.Popen[bytes]) -> str:
    """Read the address that the program writes into its pipe; empty if it ends before, or takes too long."""
    descriptor = os.open(address, os.O_RDONLY | os.O_NONBLOCK)
    text, until = b"", time.monotonic() + _START_S
    try:
        while not text.endswith(b"\n") and time.monotonic() < until:
            try:
                piece = os.read(descriptor, 4096)
            except BlockingIOError:
                piece = b""
            if not piece:
                if process.poll() is not None:
                    break
                time.sleep(_PAUSE_S)
            text += piece
    finally:
        os.close(descriptor)
    return text.decode(errors="replace").strip()
