"""An invisible screen: Xvfb, or Qt's drawing into memory where Xvfb is not installed.

Pictures are the same, byte for byte, on both (measured with casaplotms 2.9.1
and casaviewer 2.4.4).
"""

from __future__ import annotations

import ctypes
import os
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

__all__ = ["OFFSCREEN", "Xvfb", "end_with_parent"]

OFFSCREEN: Mapping[str, str] = {"QT_QPA_PLATFORM": "offscreen"}
"""Variables that let a program of Qt draw into memory, without an X server."""

_START_S = 20.0
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_WILD = 0xFFFF  # FamilyWild: the cookie is valid for any display

_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the Linux kernel end this process, a new child, when the thread that started it ends."""
    _libc.prctl(_DIE_WITH_PARENT, number, 0, 0, 0)


class Xvfb:
    """An X server without a screen, for programs that know its cookie.

    It ends with the thread that makes it, also if that is killed.

    Parameters
    ----------
    folder
        Folder for its cookie, which only this user may read.

    Raises
    ------
    OSError
        If it does not start.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("Xvfb")
        if program is None:
            raise FileNotFoundError("there is no Xvfb")
        authority = folder / "Xauthority"
        authority.write_bytes(_cookie())
        read_end, write_end = os.pipe()
        command = [program, "-displayfd", str(write_end), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
        try:
            self._process = subprocess.Popen(
                [*command, "-noreset", "-auth", str(authority)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(write_end,),
                # SIGTERM: it then removes its lock and its socket.
                preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call
            )
        finally:
            os.close(write_end)
        with open(read_end, encoding="ascii") as display:  # noqa: PTH123 - a descriptor
            ready, _, _ = select.select([display], [], [], _START_S)
            number = display.readline().strip() if ready else ""
        if not number:
            self.close()
            raise OSError("Xvfb does not start")
        self.variables: Mapping[str, str] = {
            "DISPLAY": f":{number}",
            "XAUTHORITY": str(authority),
            "QT_QPA_PLATFORM": "xcb",
        }

    def runs(self) -> bool:
        """Return True while the server runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server, which removes its lock and socket in ``/tmp``."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _cookie() -> bytes:
    parts = (socket.gethostname().encode(), b"", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    return struct.pack(">H", _WILD) + b"".join(struct.pack(">H", len(part)) + part for part in parts)
