"""The programs behind plotms and imview, started, watched and ended by this process.

The packages start their programs themselves, but wait for ever for one that
does not come up, leave it behind when Python is killed, and let the viewer's
window, and with it the picture, grow with every call: its size is kept in
``~/.casa``. Here a program gets a state of its own, says within a minute where
it listens, and ends with this process. Tasks are then told its address.
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
_SAID_LINES = 5

# What the viewer writes there itself after each call would change the size of the next picture.
_VIEWER_STATE = """\
viewer.dpg.dimensions: 1000 1000
viewer.dpg.visible.animator: false
viewer.dpg.visible.cursor_tracking: false
viewer.dpg.visible.regions: false
"""
_NOT_THEIRS = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "QT_QPA_PLATFORM", "LD_LIBRARY_PATH", "LD_PRELOAD")


@dataclass
class _Program:
    process: subprocess.Popen[bytes]
    folder: Path
    log: str
    address: str


class PlotPrograms:
    """Programs by package; each is started when it is first asked for, and again if it ended.

    Parameters
    ----------
    xvfb
        Whether they draw on an X server, where one is installed.
    fuse
        Whether a program may be started without unpacking it.
    """

    def __init__(self, *, xvfb: bool = True, fuse: bool = True) -> None:
        self._xvfb = xvfb
        self._fuse = fuse
        self._folder = Path(tempfile.mkdtemp(prefix="casaprov-plots-"))
        self._screen: Xvfb | None = None
        self._programs: dict[str, _Program] = {}
        self._starting: subprocess.Popen[bytes] | None = None

    def ready(self, package: str, log: str, data: str) -> dict[str, str]:
        """Make sure that the program of a package runs, ready for the next call.

        Parameters
        ----------
        log
            File that it logs to; empty for none.
        data
            CASA's data.

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
        for package in tuple(self._programs):  # they drew on the screen that is gone
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
                self._fuse = False  # no FUSE here, most likely; if it is something else, that shows below
        return self._launch(package, unpack(package) / "AppRun", log, data, variables)

    def _launch(self, package: str, program: Path, log: str, data: str, variables: Mapping[str, str]) -> _Program:
        folder = Path(tempfile.mkdtemp(dir=self._folder, prefix=f"{package}-"))
        self._reset(folder)
        address = folder / "address"
        os.mkfifo(address)
        command = [str(program), *_arguments(package, address, log, folder), *([f"--datapath={data}"] if data else [])]
        with (folder / "said").open("wb") as said:
            process = self._starting = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
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
        lines = (folder / "said").read_text(errors="replace").strip().splitlines()[-_SAID_LINES:]
        shutil.rmtree(folder, ignore_errors=True)
        told = f"The program of {package} ({program}) does not start: {' '.join(lines) or 'it says nothing'}."
        raise CasaMissing(told, hint="'casaprov doctor' says what it needs.")

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
    """Return this process's variables with a home of the program's own, for it locks and changes files there."""
    chosen = {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS and "MPI" not in name}
    users = Path(os.path.expanduser("~"))  # noqa: PTH111 - HOME may be unset
    with suppress(OSError):
        shutil.copy(users / ".casarc", home / ".casarc")
    fonts = {"XDG_CONFIG_HOME": str(users / ".config"), "XDG_DATA_HOME": str(users / ".local" / "share")}
    return {**fonts, **chosen, "HOME": str(home)}


def _wait_for(address: Path, process: subprocess.Popen[bytes]) -> str:
    """Read the address that the program writes into its pipe; empty if it ends before, or takes too long."""
    descriptor = os.open(address, os.O_RDONLY | os.O_NONBLOCK)
    told, until = b"", time.monotonic() + _START_S
    try:
        while not told.endswith(b"\n") and time.monotonic() < until:
            try:
                piece = os.read(descriptor, 4096)
            except BlockingIOError:
                piece = b""
            if not piece:
                if process.poll() is not None:
                    break
                time.sleep(_PAUSE_S)
            told += piece
    finally:
        os.close(descriptor)
    return told.decode(errors="replace").strip()
