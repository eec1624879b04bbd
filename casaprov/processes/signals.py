"""Signals that ask this process to end: an interrupt, and the signals of batch systems and closed terminals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupted_by", "signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals(stop: Callable[[int], None]) -> Iterator[None]:
    """Call `stop` with the number of each signal that asks this process to end, within the context.

    Ignored signals (``nohup``) stay ignored. Only the main thread receives
    signals: in other threads this does nothing.
    """

    def handler(number: int, _frame: FrameType | None) -> None:
        stop(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        wanted = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in wanted}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def interrupted_by() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at each such signal, as at Ctrl-C; yield the list of the signals that came.

    After the first signal only Ctrl-C interrupts again, so that a second
    signal does not disturb the cleaning up: ``timeout`` sends every signal
    twice, and so may a terminal.
    """
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        if len(came) == 1 or number == signal.SIGINT:
            raise KeyboardInterrupt

    with signals(stop):
        yield came
