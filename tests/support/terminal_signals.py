"""Programs that hear signals as those of a terminal do: a shell without job control has SIGINT ignored, nohup SIGHUP."""

from __future__ import annotations

import signal
import sys

__all__ = ["hear_signals", "in_a_terminal"]

_START = "import os, signal, sys; [signal.signal(n, signal.SIG_DFL) for n in (1, 2, 15)]; os.execv(sys.argv[1], sys.argv[1:])"


def in_a_terminal(*arguments: str) -> list[str]:
    """Return the command that runs Python with these arguments, with none of these signals ignored."""
    return [sys.executable, "-c", _START, sys.executable, *arguments]


def hear_signals() -> None:
    """Ignore none of the signals that ask this process to end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
