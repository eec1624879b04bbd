"""States of calls that have ended and are not digested: stamps stand for their contents.

They are named by the first of the two records of a call with pending digests (:mod:`casaprov.recording`). If the
process is killed before the second, they are all that is known of its files.

The next task in a chain that changes one product does not wait for ever: the digest of a state is given up when the
:class:`~casaprov.recording.finish_queue.Patience` ends (:class:`LeftStates`).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path

from casaprov.digests.measurement import Measurement
from casaprov.errors import Superseded
from casaprov.files.stamps import Stamps
from casaprov.processes.exempt import ExemptLock
from casaprov.recording.open_call import EndedCall
from casaprov.recording.path_states import PathStates, is_still
from casaprov.records.model import UNDIGESTED, Entity, Locator
from casaprov.records.values import is_exact
from casaprov.tasks.specs import FileUse, TaskSpec

__all__ = ["LeftStates", "ProvisionalStates", "failed_measurement"]


class ProvisionalStates:
    """States that unfinished records tell of; safe for threads.

    Parameters
    ----------
    states
        States of the finished records.
    locate
        Returns the places where an external input can be found elsewhere.
    """

    def __init__(self, states: PathStates, locate: Callable[[Path], tuple[Locator, ...]]) -> None:
        self._states = states
        self._locate = locate
        self._lock = ExemptLock()
        # The last unfinished call that tells of each path, and the state after it; None: nothing, or not known.
        self._pending: dict[str, tuple[str, Entity | None]] = {}
        self._repeatable: set[str] = set()  # unfinished calls that a replay can run again
        self._numbers = itertools.count(1)

    def certain(self, path: Path, measurement: Future[Measurement]) -> Entity | None:
        """Return the last known state of a path; None if unfinished records may replace it.

        It is certain only if the path is measured already and has the same content.
        """
        if self._states.key(path) in self._pending or not measurement.done() or measurement.cancelled():
            return None
        current = self._states.at(path)
        if current is None or measurement.exception() is not None or not is_still(current, measurement.result()):
            return None
        return current

    def left_by_task(self, path: Path) -> Entity | None:
        """Return the state that the last unfinished call left at a path.

        None without one, if the call only read there, and if running the call again would not bring the state back:
        then its content must be known.
        """
        _, state = self._pending.get(self._states.key(path), ("", None))
        return state if state is not None and state.generated_by in self._repeatable else None

    def is_pending(self, path: Path) -> bool:
        """Return True if the state of a path is not certain yet."""
        return self._states.key(path) in self._pending

    def add(self, ended: EndedCall) -> tuple[dict[Path, Entity], list[Entity]]:
        """Return the states that a call found, by path and as far as they are known, and those that it left.

        The latter are in the order of ``ended.changes.written``.
        """
        uses, changes = ended.open_call.uses, ended.changes
        found = {use.path: state for use in uses if (state := self._found(ended, use)) is not None}
        left = [self._stamped(ended, written.path, made=True) for written in changes.written]
        unknown = {use.path for use in uses if use.role == "used"} - found.keys()
        unknown -= {written.path for written in changes.written}
        with self._lock:
            for path in unknown.union(changes.gone):
                self._pending[self._states.key(path)] = (ended.activity.id, None)
            if _is_repeatable(ended):
                self._repeatable.add(ended.activity.id)
        return found, left

    def remove(self, call: str) -> None:
        """Forget the states of a call, whose record is finished."""
        with self._lock:
            # A later call that tells of the same path has taken the place of this one there.
            for path in [path for path, (owner, _) in self._pending.items() if owner == call]:
                del self._pending[path]
            self._repeatable.discard(call)

    # -- parts -----------------------------------------------------------------

    def _found(self, ended: EndedCall, use: FileUse) -> Entity | None:
        """Return the state that a call found at a path, if it can be told before digests are known."""
        path, call = use.path, ended.open_call
        if path in call.progress.found or use.role != "used":
            return call.progress.found.get(path)
        pending = self._pending.get(self._states.key(path))
        if pending is not None:
            state = pending[1]
            return state if state is not None and state.stamp == call.stamps[path].digest else None
        if self._states.at(path) is None:  # an external input
            return self._stamped(ended, path, made=False)
        return self.certain(path, call.measurements[path])

    def _stamped(self, ended: EndedCall, path: Path, *, made: bool) -> Entity:
        """Return a state with the stamps of a path: one that the call left, or an external input that it read."""
        call, stamps = ended.activity.id, (ended.changes if made else ended.open_call).stamps[path]
        state = Entity(
            id=f"{ended.activity.session}/u{next(self._numbers):04d}",
            path=self._states.key(path),
            kind="File",
            content_digest=None,
            size_bytes=stamps.size_bytes,
            stamp=stamps.digest,
            tier=ended.open_call.tiers.get(path, "full"),
            generated_by=call if made else None,
            locators=() if made else self._locate(path),
            note=UNDIGESTED,
        )
        with self._lock:
            self._pending[state.path] = (call, state)
        return state


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

    def want_again(self, path: Path, stamps: Stamps) -> None:
        """Note that the state with these stamps is still there: the next call that uses it measures it."""
        with self._lock:
            if self._given_up.get(path) is not None and self._given_up[path].stamp == stamps.digest:
                del self._given_up[path]

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


def _is_repeatable(ended: EndedCall) -> bool:
    """Return True if a replay of a call leaves the same: a task that completed, and whose record is exact."""
    activity = ended.activity
    return (
        isinstance(ended.open_call.files, TaskSpec)
        and activity.outcome == "completed"
        and all(is_exact(activity.parameters.get(name)) for name in activity.given)
        and all(written.declared for written in ended.changes.written)
    )


def _pass_on(done: Future[Measurement], measurement: Future[Measurement]) -> None:
    with suppress(InvalidStateError):  # it was given up
        error = done.exception() if not done.cancelled() else None
        if done.cancelled():
            measurement.cancel()
        elif error is not None:
            measurement.set_exception(error)
        else:
            measurement.set_result(done.result())
