"""Patience with digests: a chain of calls that change one product does not wait for each state between them.

A state that a task left is digested while other code runs. If the next task is about to change it before that is done, it
waits, as long as all waiting of the session is a small part of the time that its tasks took. Beyond that the digest is
given up (:class:`LeftState`): stamps stand for the state, and its record says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path

from casaprov.digests.measurement import Measurement
from casaprov.errors import Superseded
from casaprov.files.stamps import Stamps

__all__ = ["LeftStates", "Patience", "failed_measurement"]

_FIRST_S = 1.0
"""Seconds that a session may always wait: its first tasks took no time yet."""


class Patience:
    """Part of the task time for which calls may wait. Safe for threads.

    Parameters
    ----------
    part
        Returns the part, as a number from 0; infinite for calls that always wait.
    """

    def __init__(self, part: Callable[[], float]) -> None:
        self._part = part
        self._lock = threading.Lock()
        self._tasks_s = 0.0
        self._waited_s = 0.0

    @property
    def left_s(self) -> float:
        """Seconds that a call may wait now."""
        part = self._part()
        allowed = part * self._tasks_s if self._tasks_s or part == 0 else 0.0
        return max(0.0, max(_FIRST_S if part else 0.0, allowed) - self._waited_s)

    @property
    def endless(self) -> bool:
        """True if calls always wait."""
        return self._part() == float("inf")

    def note(self, seconds: float, waited_s: float) -> None:
        """Note a call that has ended: its duration, and for how long it waited for casaprov."""
        with self._lock:
            self._tasks_s += max(0.0, seconds - waited_s)
            self._waited_s += waited_s


class LeftStates:
    """Measurements of the states that tasks left, which may be given up. Safe for threads.

    One state of each path is read at a time: what a chain leaves must not be read for longer than the chain takes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[Path, tuple[Stamps, Future[Measurement]]] = {}
        self._reading: dict[Path, Future[Measurement]] = {}
        self._given_up: dict[Path, Superseded] = {}

    def measure(self, path: Path, stamps: Stamps, submit: Callable[[], Future[Measurement]]) -> Future[Measurement]:
        """Return the measurement of a state that a task left.

        Parameters
        ----------
        submit
            Starts to measure it.
        """
        measurement: Future[Measurement] = Future()

        def start(_earlier: Future[Measurement] | None = None) -> None:
            if measurement.done():
                return
            reading = submit()
            with self._lock:
                self._reading[path] = reading
            reading.add_done_callback(lambda done: _pass_on(done, measurement))

        with self._lock:
            self._states[path] = stamps, measurement
            self._given_up.pop(path, None)
            earlier = self._reading.get(path)
        if earlier is None:
            start()
        else:  # calls it at once if that is read already
            earlier.add_done_callback(start)
        return measurement

    def give_up(self, path: Path, stamps: Stamps) -> None:
        """Give up the measurement of the state with these stamps, if it is not done yet."""
        with self._lock:
            known = self._states.get(path)
            if known is None or known[0] != stamps:
                return
            error = Superseded(stamps.digest, stamps.size_bytes)
            with suppress(InvalidStateError):  # it was read meanwhile
                known[1].set_exception(error)
                self._given_up[path] = error

    def given_up(self, path: Path, stamps: Stamps) -> Superseded | None:
        """Return the error that stands for the digest of a state; None if its digest was not given up."""
        with self._lock:
            error = self._given_up.get(path)
        return error if error is not None and error.stamp == stamps.digest else None


def failed_measurement(error: Superseded) -> Future[Measurement]:
    """Return the measurement of a state that was given up."""
    measurement: Future[Measurement] = Future()
    measurement.set_exception(error)
    return measurement


def _pass_on(done: Future[Measurement], measurement: Future[Measurement]) -> None:
    with suppress(InvalidStateError):  # it was given up
        error = done.exception() if not done.cancelled() else None
        if done.cancelled():
            measurement.cancel()
        elif error is not None:
            measurement.set_exception(error)
        else:
            measurement.set_result(done.result())
