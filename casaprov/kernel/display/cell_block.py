"""The block of logs below one cell: one output, updated while calls run and end."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING

from casaprov.kernel.display.log_block import CallLog, Running, log_block

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["INTERVAL_S", "CellBlock"]

INTERVAL_S = 0.5
"""Time between two updates, at least."""


class CellBlock:
    """The block of one cell. Its calls and threads may show it at the same time."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._id = f"casaprov-{secrets.token_hex(8)}"
        self._calls: list[CallLog] = []
        self._running: Running | None = None
        self._published: float | None = None
        self._fresh = True
        self._lock = threading.Lock()
        self.pages: list[object] = []  # what is shown beside the logs

    def add(self, call: CallLog) -> None:
        """Show a call that has ended; the last of many at the latest with :meth:`finish`."""
        with self._lock:
            self._calls.append(call)
            self._running = None
            self._fresh = False
            if self._published is None or time.monotonic() - self._published >= INTERVAL_S:
                self._publish()

    def live(self, running: Running) -> None:
        """Show how far a call is."""
        with self._lock:
            self._running = running
            self._publish()

    def cleared(self) -> None:
        """Nothing runs any more; show it if something was shown as running."""
        with self._lock:
            if self._running is not None:
                self._running = None
                self._fresh = False

    def finish(self) -> None:
        """Show all that is not shown yet."""
        with self._lock:
            if not self._fresh:
                self._publish()

    def _publish(self) -> None:
        html, plain = log_block(self._calls, self._running)
        update = self._published is not None
        self._published = time.monotonic()
        self._fresh = True
        self._shell.display_pub.publish(
            {"text/html": html, "text/plain": plain}, transient={"display_id": self._id}, update=update
        )
