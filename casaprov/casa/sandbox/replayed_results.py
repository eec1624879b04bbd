"""Results of replayed calls, restored from a store that only replays read.

The store is filled by calls of crates, which may come from anybody: no session of a user looks into it. A process that is
confined as the calls are reads and writes it (:mod:`casaprov.casa.sandbox.result_keeper`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from casaprov.casa.sandbox.confined_server import POLICY_VARIABLE, passed_on
from casaprov.casa.sandbox.result_keeper import MODULE, stamps_to_json
from casaprov.digests.measurement import Measurement
from casaprov.errors import CasaprovError, HalfRestored, UsageError
from casaprov.files.stamps import Stamps
from casaprov.processes.worker import Worker
from casaprov.recompute.action_key import KeyedCall
from casaprov.recompute.lookup import Attempt, Value, copied_value
from casaprov.records.model import Activity, LookUp
from casaprov.records.serialise import structure, unstructure
from casaprov.records.values import from_json, to_json
from casaprov.tasks.calls import Restored, TaskResult
from casaprov.tasks.specs import FileUse

__all__ = ["ReplayedResults"]

_FOLDER = "casaprov-replays"


class ReplayedResults:
    """Looks up the calls of one replay (:class:`casaprov.runner.Results`).

    Parameters
    ----------
    folder
        Folder that the user named; the store is a folder in it.
    work
        Work folder of the replay.
    inputs
        Files and folders elsewhere that calls read.
    facts
        Returns all that results depend on beside files and parameters, of the process with CASA.
    held
        Returns a sentence about files below these paths that the process with CASA has open; empty without any.
    measure
        Starts to measure what is at a path.

    Raises
    ------
    UsageError
        If the store cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        work: Path,
        inputs: Iterable[Path],
        *,
        facts: Callable[[], Mapping[str, Any]],
        held: Callable[[Sequence[Path]], str],
        measure: Callable[[Path], Future[Measurement]],
        confined: bool,
    ) -> None:
        store = folder.absolute() / _FOLDER
        try:
            store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The folder {store} cannot be made: {error.strerror}.", hint="Name another one with --cache."
            ) from error
        self.base = work
        self._facts, self._held, self._measure = facts, held, measure
        policy = {
            "work": work.resolve().as_posix(),
            "store": store.resolve().as_posix(),
            "read": [path.resolve().as_posix() for path in inputs],
            "confined": confined,
        }
        self._worker = Worker(MODULE, environment={POLICY_VARIABLE: json.dumps(policy)}, inherits=passed_on)

    def attempt(
        self,
        call: KeyedCall,
        measurements: Mapping[Path, Future[Measurement]],
        stamps: Mapping[Path, Stamps],
        *,
        refusal: str = "",
    ) -> Attempt:
        """Look a call up, and restore its results if there are any; see :class:`Recomputation`."""
        try:
            uses, outputs = call.uses, [use for use in call.outputs if os.path.lexists(use.path)]
            refusal = refusal or self._held([use.path for use in (*uses, *outputs)])
            futures = {use.path: measurements[use.path] for use in uses if use.path in measurements}
            futures |= {use.path: self._measure(use.path) for use in outputs if use.path not in futures}
            answer = self._worker.call(
                "attempt",
                call={
                    "task": call.call.task,
                    "package": call.call.package,
                    "parameters": {name: to_json(value) for name, value in call.call.parameters.items()},
                    "given": list(call.call.given),
                    "cwd": call.call.cwd.as_posix(),
                    "uses": [_use(use) for use in uses],
                    "outputs": [_use(use) for use in outputs],
                    "environment": dict(self._facts()),
                    "refusal": refusal,
                },
                measured=[[path.as_posix(), _measured(future)] for path, future in futures.items()],
                stamps=[[path.as_posix(), stamps_to_json(found)] for path, found in stamps.items()],
            )
            look_up = structure(answer["look_up"], LookUp)
        except CasaprovError as error:
            return Attempt(call=call, look_up=LookUp(outcome="not-served", reason=error.message))
        if answer.get("half"):  # the task must not run on that
            return Attempt(call=call, look_up=look_up, result=TaskResult(error=HalfRestored(answer["half"])))
        found = answer["result"]
        return Attempt(call=call, look_up=look_up, result=None if found is None else _result(found))

    def value_of(self, result: TaskResult) -> Value:
        """Copy the return value and the log of a call."""
        return copied_value(result)

    def keep(
        self,
        _attempt: Attempt,
        activity: Activity,
        value: Value,
        written: Mapping[Path, tuple[Stamps, Future[Measurement]]],
        gone: Sequence[Path],
    ) -> str:
        """Keep the results of the call that was looked up last; return the reason why not, empty if they are kept."""
        try:
            return str(
                self._worker.call(
                    "keep",
                    activity=unstructure(activity),
                    value={"returned": value.returned, "log": value.log, "problem": value.problem},
                    written=[
                        [path.as_posix(), stamps_to_json(stamps), _measured(future)]
                        for path, (stamps, future) in written.items()
                    ],
                    gone=[path.as_posix() for path in gone],
                )
            )
        except CasaprovError as error:
            return error.message

    def close(self) -> None:
        """Keep the remaining results, and end the process."""
        try:
            self._worker.call("settle")
        except CasaprovError:  # results that are not kept are computed again
            pass
        finally:
            self._worker.close()


def _use(use: FileUse) -> list[str | None]:
    return [use.role, use.parameter, use.path.as_posix()]


def _measured(future: Future[Measurement]) -> Any:
    """Return a measurement as JSON values, or the sentence why there is none."""
    try:
        return future.result().to_json()
    except CasaprovError as error:
        return error.message


def _result(found: Mapping[str, Any]) -> TaskResult:
    restored = Restored(
        computed_by=str(found["computed_by"]),
        paths=tuple(map(Path, found["paths"])),
        took_s=float(found["took_s"]),
        saved_s=float(found["saved_s"]),
    )
    return TaskResult(returned=from_json(found["returned"]), log=str(found["log"]), restored=restored)
