"""The child process that looks up, restores and keeps the results of replayed calls, confined as the calls are.

A call of a stranger can leave links that lead anywhere. This process may write in the work folder and in a store that only
replays read, and nowhere else. It runs no tasks. This is a module of its own for the same reason as
:mod:`casaprov.casa.sandbox.confined_server`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casaprov.casa.sandbox.confine import confine, readable_places
from casaprov.casa.sandbox.confined_server import POLICY_VARIABLE

if TYPE_CHECKING:
    from casaprov.digests.measurement import Measurement
    from casaprov.files.stamps import Stamps
    from casaprov.recompute.lookup import Attempt

__all__ = ["MODULE", "main", "stamps_from_json", "stamps_to_json"]

MODULE = "casaprov.casa.sandbox.result_keeper"


def stamps_to_json(stamps: Stamps) -> Any:
    """Write stamps as JSON values."""
    return [[[name, *file] for name, file in stamps.files], stamps.taken_ns, stamps.linked]


def stamps_from_json(value: Any) -> Stamps:
    """Read stamps from JSON values."""
    from casaprov.files.stamps import Stamps, StatStamp

    files, taken_ns, linked = value
    return Stamps(tuple((name, StatStamp(*facts)) for name, *facts in files), taken_ns, linked)


class _Held:
    """Locks of other processes, and paths that lead out of the work folder."""

    def __init__(self, work: Path) -> None:
        self._work = work

    def held_reason(self, paths: Sequence[Path], /) -> str:
        from casaprov.casa.installed.held import held_reason

        for path in paths:
            if not path.resolve().is_relative_to(self._work):
                return f"{path.name} leads out of the work folder."
        return held_reason(paths)

    def writers_reason(self, _paths: Sequence[Path], /) -> str:
        return ""  # this process opens no tables; that with CASA is asked before


class _Keeper:
    """The store of one replay."""

    def __init__(self, work: Path, store: Path) -> None:
        from casaprov.recompute.lookup import Recomputation
        from casaprov.recompute.store.results import Store

        self._measured: Mapping[Path, Future[Measurement]] = {}
        self._environment: dict[str, Any] = {}
        self._attempt: Attempt | None = None
        self._results = Recomputation(
            store=Store(store / "results", on_notice=lambda _: None),
            base=work,
            intents=store / "restoring",
            environment=lambda: self._environment,
            measure=lambda path: self._measured[path],
            remember=lambda *_: None,  # what is restored is measured: verdicts come from files
            held=_Held(work),
        )

    def attempt(self, call: dict[str, Any], measured: list[Any], stamps: list[Any]) -> dict[str, Any]:
        """Look a call up, and restore its results if there are any."""
        from casaprov.recompute.action_key import KeyedCall
        from casaprov.records.serialise import unstructure
        from casaprov.records.values import from_json, to_json
        from casaprov.tasks.calls import TaskCall, error_text
        from casaprov.tasks.specs import TaskSpec, load_specs, spec_of

        cwd = Path(call["cwd"])
        parameters = {name: from_json(value) for name, value in call["parameters"].items()}
        spec = spec_of(load_specs(), call["package"], call["task"])
        keyed = KeyedCall(
            call=TaskCall(
                task=call["task"], package=call["package"], parameters=parameters, given=tuple(call["given"]), cwd=cwd
            ),
            spec=spec or TaskSpec(task=call["task"], package=call["package"]),
            base=self._results.base,
            uses=tuple(_use(use) for use in call["uses"]),
            outputs=tuple(_use(use) for use in call["outputs"]),
        )
        self._environment = call["environment"]
        self._measured = {Path(path): _future(value) for path, value in measured}
        known = {Path(path): stamps_from_json(value) for path, value in stamps}
        self._attempt = found = self._results.attempt(
            keyed, {use.path: self._measured[use.path] for use in keyed.uses}, known, refusal=call["refusal"]
        )
        answer: dict[str, Any] = {"look_up": unstructure(found.look_up), "result": None}
        if found.result is not None and found.result.restored is not None:
            answer["result"] = {
                "returned": to_json(found.result.returned),
                "log": found.result.log,
                "computed_by": found.result.restored.computed_by,
                "paths": [path.as_posix() for path in found.result.restored.paths],
                "took_s": found.result.restored.took_s,
                "saved_s": found.result.restored.saved_s,
            }
        elif found.result is not None:
            answer["half"] = error_text(found.result.error) if found.result.error is not None else ""
        return answer

    def keep(self, activity: Any, value: dict[str, Any], written: list[Any], gone: list[str]) -> str:
        """Keep the results of the call that was looked up last, and ran."""
        from casaprov.recompute.lookup import Value
        from casaprov.records.model import Activity
        from casaprov.records.serialise import structure

        if self._attempt is None:
            return ""
        left = {Path(path): (stamps_from_json(stamps), _future(measured)) for path, stamps, measured in written}
        kept = Value(returned=value["returned"], log=value["log"], problem=value["problem"])
        return self._results.keep(self._attempt, structure(activity, Activity), kept, left, list(map(Path, gone)))

    def settle(self) -> None:
        """Wait until all results are kept."""
        self._results.close()


def _use(value: Sequence[Any]) -> Any:
    from casaprov.tasks.specs import FileUse

    role, parameter, path = value
    return FileUse(role=role, parameter=parameter, path=Path(path))


def _future(value: Any) -> Future[Measurement]:
    from casaprov.digests.measurement import Measurement
    from casaprov.errors import DigestError

    future: Future[Measurement] = Future()
    if isinstance(value, str):
        future.set_exception(DigestError(value))
    else:
        future.set_result(Measurement.from_json(value))
    return future


def main() -> None:
    """Confine this process, then serve until the parent closes the pipe."""
    policy = json.loads(os.environ.pop(POLICY_VARIABLE))
    work, store = Path(policy["work"]), Path(policy["store"])
    if policy["confined"]:
        confine(write=[work, store], read=(*readable_places(), *map(Path, policy["read"])))

    from casaprov.processes.worker import serve

    keeper = _Keeper(work, store)
    serve({"attempt": keeper.attempt, "keep": keeper.keep, "settle": keeper.settle})


if __name__ == "__main__":
    main()
