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
"""Shortest time between two updates, in seconds."""


class CellBlock:
    """The block of one cell; its calls may update it from several threads at the same time."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._id = f"casaprov-{secrets.token_hex(8)}"
        self._calls: list[CallLog] = []
        self._running: Running | None = None
        self._published: float | None = None
        self._is_shown = True  # as it is now
        self._lock = threading.Lock()
        self.pages: list[object] = []  # tables and texts that are shown beside the logs

    def add(self, call: CallLog) -> None:
        """Show a call that has ended, now or, if the last update is too recent, at the next one."""
        with self._lock:
            self._calls.append(call)
            self._running = None
            self._is_shown = False
            if self._published is None or time.monotonic() - self._published >= INTERVAL_S:
                self._publish()

    def update(self, running: Running) -> None:
        """Show the progress of a call that runs."""
        with self._lock:
            self._running = running
            self._publish()

    def clear_running(self) -> None:
        """Take the live line of a call out at the next update."""
        with self._lock:
            if self._running is not None:
                self._running = None
                self._is_shown = False

    def finish(self) -> None:
        """Show all calls that are not shown yet."""
        with self._lock:
            if not self._is_shown:
                self._publish()

    def _publish(self) -> None:
        html, plain = log_block(self._calls, self._running)
        is_update = self._published is not None
        self._published = time.monotonic()
        self._is_shown = True
        self._shell.display_pub.publish(
            {"text/html": html, "text/plain": plain}, transient={"display_id": self._id}, update=is_update
        )
