"""Look-up of a call: its results come from the store if an equal call left them there, and go there if it ran.

Nothing here raises into a user's cell: what cannot be looked up, restored or kept is computed, and the record says why.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from casaprov.digests.measurement import Measurement
from casaprov.errors import CasaprovError, HalfRestored, Superseded
from casaprov.files.stamps import Stamps, is_self_contained, stamp
from casaprov.hashing import Digest
from casaprov.recompute.action_key import KeyedCall, State, action_key, columns_of, content_state, key_facts, name_of
from casaprov.recompute.keep_queue import KeepQueue
from casaprov.recompute.restore import restore
from casaprov.recompute.served import exact_json, not_served, not_stored
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Miss, Store
from casaprov.records.model import Activity, LookUp
from casaprov.records.values import from_json
from casaprov.tasks.calls import Restored, TaskResult

__all__ = ["Attempt", "Held", "Recomputation", "Value", "copied_value"]

_log = logging.getLogger(__name__)


class Held(Protocol):
    """Tells which files are in use (:mod:`casaprov.casa.installed.held`)."""

    def held_reason(self, paths: Sequence[Path], /) -> str:
        """Return a sentence about open or locked files below these paths; empty without any."""
        ...

    def writers_reason(self, paths: Sequence[Path], /) -> str:
        """Return a sentence about files below these paths that this process has open for writing; empty without any."""
        ...


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A look-up and its answer.

    Attributes
    ----------
    call
        The call.
    look_up
        The answer, as the record has it.
    facts
        Facts that the key is made from; None without a key.
    result
        The restored result; None if the task must run.
    keys
        All keys that it was looked up by. The first is that of the contents, if they are known. The last one has, for
        what the call changes in place, the call that left it in the place of the content.
    """

    call: KeyedCall
    look_up: LookUp
    facts: dict[str, Any] | None = None
    result: TaskResult | None = None
    keys: tuple[Digest, ...] = ()

    @property
    def key(self) -> Digest | None:
        """Key under which results are looked up and kept; None if they are not."""
        return self.look_up.key


@dataclass(frozen=True, kw_only=True)
class Value:
    """Return value of a call, with its log, printed text and figures.

    Attributes
    ----------
    returned
        Return value as JSON values.
    problem
        Reason why it cannot be kept; empty if it can.
    """

    returned: Any = None
    log: str = ""
    printed: tuple[tuple[str, str], ...] = ()
    figures: tuple[dict[str, Any], ...] = ()
    problem: str = ""


@dataclass
class Recomputation:
    """Looks up the calls of one session.

    Attributes
    ----------
    store
        Keeps the results.
    base
        Folder that the names of files start from.
    intents
        Folder for the notes about restores under way.
    environment
        Returns all that CASA's results can depend on beside files and parameters.
    measure
        Starts to measure what is at a path.
    remember
        Called with each restored product: its stamps and its measurement.
    held
        Tells which files are in use.
    left_out
        Returns the reason why the user wants a call to run; empty if there is none.
    counts
        Number of look-ups by outcome.
    queue
        Keeps the results that were captured.
    """

    store: Store
    base: Path
    intents: Path
    environment: Callable[[], Mapping[str, Any]]
    measure: Callable[[Path], Future[Measurement]]
    remember: Callable[[Path, Stamps, Measurement], None]
    held: Held
    left_out: Callable[[str], str] = lambda _task: ""
    notebook: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    queue: KeepQueue = field(default_factory=KeepQueue)
    # What calls with a key left, and its stamps: the state is known by the call, even if it was never digested.
    _left: dict[Path, tuple[Stamps, State]] = field(default_factory=dict)

    def attempt(
        self,
        call: KeyedCall,
        measurements: Mapping[Path, Future[Measurement]],
        stamps: Mapping[Path, Stamps],
        *,
        refusal: str = "",
    ) -> Attempt:
        """Look a call up, and restore its results if there are any.

        Parameters
        ----------
        measurements, stamps
            Measurements and stamps of what the call uses.
        refusal
            Reason for which the caller wants it to run; empty for none.
        """
        began = time.monotonic()
        try:
            attempt = self._attempt(call, measurements, stamps, refusal, began)
        except CasaprovError as error:
            attempt = _refused(call, error.message)
        except Exception as error:  # noqa: BLE001 - a failing look-up never breaks a cell: the task runs
            _log.info("a look-up failed", exc_info=True)
            attempt = _refused(call, f"The look-up failed ({type(error).__name__}: {error}).")
        self.counts[attempt.look_up.outcome] = self.counts.get(attempt.look_up.outcome, 0) + 1
        return attempt

    def _attempt(
        self,
        call: KeyedCall,
        measurements: Mapping[Path, Future[Measurement]],
        stamps: Mapping[Path, Stamps],
        refusal: str,
        began: float,
    ) -> Attempt:
        reason = refusal or self.left_out(call.call.task) or not_served(call)
        if reason:
            return _refused(call, reason)
        call = replace(call, environment=self.environment())
        states, left, reason = self._states(call, measurements, stamps)
        if reason:
            return _refused(call, reason)
        if reason := self.held.writers_reason([use.path for use in call.uses]):
            return _refused(call, reason)
        by_content = states if all(use.path in states for use in (*call.uses, *call.stateful_outputs)) else None
        by_call = {**states, **left} if left else None
        all_facts = [key_facts(call, known) for known in (by_content, by_call) if known is not None]
        facts = all_facts[0]
        if facts is None:
            return _refused(call, "A parameter has no exact JSON form.")
        keys = tuple(action_key(of) for of in all_facts if of is not None)
        key, found = self._found(keys)
        attempt = Attempt(
            call=call,
            facts=facts,
            keys=keys,
            look_up=LookUp(outcome="run", reason=found.reason if isinstance(found, Miss) else "", key=key),
        )
        if isinstance(found, Miss):
            return attempt
        try:
            result = self._restored(found, stamps, began, keys[-1])
        except HalfRestored as error:  # the task must not run on that: it fails instead
            look_up = replace(attempt.look_up, reason=error.message)
            return replace(attempt, look_up=look_up, result=TaskResult(error=error))
        except CasaprovError as error:
            return replace(attempt, look_up=replace(attempt.look_up, reason=error.message))
        saved = result.restored.saved_s if result.restored is not None else 0.0
        reason = f"Call {found.computed_by} had the same inputs and parameters."
        look_up = LookUp(outcome="restored", reason=reason, key=key, saved_s=round(saved, 4))
        return replace(attempt, look_up=look_up, result=result)

    def _found(self, keys: Sequence[Digest]) -> tuple[Digest, Manifest | Miss]:
        """Return the first key that has a result, with this; else the first key, and why it has none."""
        misses: list[Miss] = []
        for key in keys:
            self.queue.wait_for(key)
            found = self.store.lookup(key)
            if not isinstance(found, Miss):
                return key, found
            misses.append(found)
        return keys[0], misses[0]

    def _states(
        self, call: KeyedCall, measurements: Mapping[Path, Future[Measurement]], stamps: Mapping[Path, Stamps]
    ) -> tuple[dict[Path, State], dict[Path, State], str]:
        """Return the states of the paths of a call, or the reason why one of them is not known.

        Returns
        -------
        dict
            States by content, as far as this is known.
        dict
            States of what the call changes in place, by the call that left them.
        str
            The reason.
        """
        waiting = {use.path: (use, measurements[use.path]) for use in call.uses}
        waiting |= {use.path: (use, self.measure(use.path)) for use in call.stateful_outputs}
        states: dict[Path, State] = {}
        left = {
            use.path: self._left[use.path][1]
            for use in call.uses
            if use.role == "changed" and use.path in self._left and self._left[use.path][0] == stamps.get(use.path)
        }
        for path, (use, future) in waiting.items():
            try:
                measured = future.result()
            except Superseded as error:
                if path not in left:
                    return {}, {}, f"{path.name} was not digested: {error.message}"
                continue
            except CasaprovError as error:
                return {}, {}, f"{path.name} could not be digested: {error.message}"
            if measured.tier == "fast":
                return {}, {}, f"Only samples of {path.name} were read: its digest does not cover its content."
            unread = frozenset[str]()
            if use.role == "used" and use.parameter is not None:
                unread = call.spec.reuse.unread_columns(use.parameter, call.call.parameters, columns_of(measured))
            states[path] = content_state(measured, unread)
        return states, left, ""

    # -- a hit ---------------------------------------------------------------

    def _restored(self, manifest: Manifest, stamps: Mapping[Path, Stamps], began: float, by: Digest) -> TaskResult:
        """Put the products of an earlier call in their places; `by` is the key by which later calls know them.

        Raises
        ------
        StoreError
            If that is not possible; everything is as it was then.
        HalfRestored
            If a failure left a part of them in place.
        """
        returned = from_json(manifest.returned)
        places = {product.name: self.base / product.name for product in manifest.products}

        def changed() -> str:
            for path, before in stamps.items():
                if stamp(path) != before:
                    return f"{path.name} changed while the call was looked up."
            there = next((path for path in places.values() if path not in stamps and os.path.lexists(path)), None)
            return f"{there.name} appeared while the call was looked up." if there is not None else ""

        done = restore(self.store, manifest, places, intents=self.intents, held=self.held.held_reason, changed=changed)
        for product in manifest.products:
            if product.name in done.stamps:
                self._left[places[product.name]] = (done.stamps[product.name], _state_left(by, product.name))
                if product.measurement is not None:
                    self.remember(places[product.name], done.stamps[product.name], product.measurement)
        took = time.monotonic() - began
        origin = Restored(
            computed_by=manifest.computed_by,
            paths=tuple(places.values()),
            took_s=took,
            saved_s=max(0.0, manifest.seconds - took),
        )
        return TaskResult(
            returned=returned,
            log=manifest.log,
            printed=manifest.printed,
            figures=manifest.figures,
            restored=origin,
        )

    # -- a miss --------------------------------------------------------------

    def value_of(self, result: TaskResult) -> Value:
        """Copy the return value of a call, before the user may change it, and its log, text and figures."""
        return copied_value(result)

    def keep(
        self,
        attempt: Attempt,
        activity: Activity,
        value: Value,
        written: Mapping[Path, tuple[Stamps, Future[Measurement]]],
        gone: Sequence[Path],
    ) -> str:
        """Capture the results of a call that ran; return the reason why they are not kept, empty if they will be.

        They are hashed and kept in the background: what the call left may change as soon as this returns.

        Parameters
        ----------
        activity
            The finished record.
        written
            Stamps at its end and measurement of each path that it is declared to write, if its stamps changed.
        gone
            Paths that it removed.
        """
        try:
            if reason := value.problem or _not_kept(activity, gone):
                return reason
            for path, (stamps, _) in written.items():
                self._left[path] = (stamps, _state_left(attempt.keys[-1], name_of(path, self.base)))
            if reason := not_stored(written, self.base):
                return reason
            return self._keep(attempt, activity, value, written)
        except CasaprovError as error:
            return error.message
        except Exception as error:  # noqa: BLE001 - results that are not kept are computed again
            _log.info("results of %s were not kept", activity.task, exc_info=True)
            return f"{type(error).__name__}: {error}"

    def _keep(
        self,
        attempt: Attempt,
        activity: Activity,
        value: Value,
        written: Mapping[Path, tuple[Stamps, Future[Measurement]]],
    ) -> str:
        if attempt.key is None:
            return attempt.look_up.reason
        recorded: dict[str, tuple[Stamps, Measurement | None]] = {}
        places: dict[str, Path] = {}
        for path, (stamps, future) in written.items():
            if stamps.linked or not is_self_contained(path, stamps):
                return f"{path.name} is not all in its own files."
            name = name_of(path, self.base)
            recorded[name], places[name] = (stamps, _measured(future)), path
        manifest = Manifest(
            key=attempt.key,
            task=activity.task,
            notebook=self.notebook,
            computed_by=activity.id,
            computed_at=activity.ended_at or "",
            seconds=activity.seconds or 0.0,
            returned=value.returned,
            log=value.log,
            printed=value.printed,
            figures=value.figures,
            facts=attempt.facts or {},
            aliases=tuple(key for key in attempt.keys if key != attempt.key),
        )
        captured = self.store.capture(places, manifest.seconds)
        self.queue.add(attempt.key, lambda: self.store.keep(captured, manifest, recorded))
        return ""

    def settle(self, timeout_s: float | None = None) -> None:
        """Wait until the results of all finished records are kept."""
        self.queue.settle(timeout_s)

    def close(self) -> None:
        """Keep the remaining results, and close the store."""
        self.queue.close()
        self.store.close()


def _state_left(key: Digest, name: str) -> State:
    """Return the state of a product as the call with a key leaves it."""
    return f"left by {key}: {name}"


def _measured(measurement: Future[Measurement]) -> Measurement | None:
    """Return a measurement; None for a state that the next call changed before it was digested."""
    try:
        return measurement.result()
    except Superseded:
        return None


def _not_kept(activity: Activity, gone: Sequence[Path]) -> str:
    """Return the reason why the results of a call are not certain, or not all its own; empty if they are."""
    if activity.outcome != "completed":
        return f"It {activity.outcome}."
    if activity.problems:
        return f"Its record is incomplete: {activity.problems[0]}"
    if gone:
        return f"It removed {gone[0].name}."
    if any(not usage.declared for usage in activity.generated):
        return "It wrote files that its task table does not declare."
    return ""


def _refused(call: KeyedCall, reason: str) -> Attempt:
    return Attempt(call=call, look_up=LookUp(outcome="not-served", reason=reason))


def copied_value(result: TaskResult) -> Value:
    """Copy what a call returned and showed, or say why that cannot be kept."""
    if result.returned is False:
        return Value(problem="It returned False, which stands for a failure.")
    try:
        returned = exact_json(result.returned)
    except ValueError as error:
        return Value(problem=f"Its return value has no exact JSON form ({error}).")
    figures = tuple(dict(figure) for figure in result.figures)
    return Value(returned=returned, log=result.log, printed=result.printed, figures=figures)
