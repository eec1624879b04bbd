"""The end of a call and the interrupts before it, for a thread that waits for both.

While C++ code runs, Python's own signal handlers do not; the wakeup descriptor of :mod:`signal` is written to at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

__all__ = ["CallEnd"]

_ENDED = 0  # no signal has this number


class CallEnd:
    """The end of a call that another thread waits for; made and told of in the thread of the call.

    Attributes
    ----------
    interrupted
        True after an interrupt was requested. Only the main thread is interrupted.
    """

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._gets_signals = threading.current_thread() is threading.main_thread()
        self._before = -1
        if self._gets_signals:
            self._before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self.interrupted = False

    def wait(self, timeout_s: float) -> bool:
        """Return True when the call has ended, False after the timeout or at once after an interrupt."""
        self._read.settimeout(timeout_s)
        try:
            numbers = self._read.recv(64)
        except (TimeoutError, BlockingIOError):  # the latter for a timeout of zero
            return False
        self.interrupted = self.interrupted or signal.SIGINT in numbers
        if self._before != -1 and (signals := numbers.replace(bytes([_ENDED]), b"")):
            with contextlib.suppress(OSError):
                os.write(self._before, signals)  # an event loop waits there
        return _ENDED in numbers

    def note(self) -> None:
        """End the waiting."""
        if self._gets_signals:
            signal.set_wakeup_fd(self._before)
        self._write.send(bytes([_ENDED]))

    def close(self) -> None:
        """Free the descriptors; no thread waits any more."""
        self._read.close()
        self._write.close()
