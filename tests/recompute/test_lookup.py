"""Look-ups that go wrong: the task runs, unless its files were left half restored."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from casaprov.digests.measurement import Measurement
from casaprov.errors import HalfRestored, NotRestored, StoreError
from casaprov.files.stamps import stamp
from casaprov.hashing import digest_bytes
from casaprov.recompute import lookup
from casaprov.recompute.action_key import KeyedCall
from casaprov.recompute.lookup import Attempt, Recomputation, Value
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from casaprov.records.model import Activity
from casaprov.tasks.calls import TaskCall
from casaprov.tasks.specs import load_specs


class _Store:
    """A store that has a result for each key."""

    def lookup(self, key: Any) -> Manifest:
        return Manifest(
            key=key, task="gaincal", notebook="", computed_by="s/0001", computed_at="", seconds=9.0,
            returned=None, log="", printed=(), figures=(), facts={},
        )  # fmt: skip


class _Nothing:
    """A system in which nothing is open."""

    def held_reason(self, _paths: Any) -> str:
        return ""

    def writers_reason(self, _paths: Any) -> str:
        return ""


def _measured(path: Path) -> Future[Measurement]:
    future: Future[Measurement] = Future()
    digest = digest_bytes(path.read_bytes()) if path.exists() else None
    future.set_result(Measurement(kind="File", content_digest=digest, byte_digest=digest, size_bytes=0, tree=None))  # type: ignore[arg-type]
    return future


def _attempt(folder: Path) -> Attempt:
    (folder / "w.ms").write_bytes(b"visibilities")
    recomputation = Recomputation(
        store=cast("Any", _Store()),
        base=folder,
        intents=folder / "intents",
        environment=dict,
        measure=_measured,
        remember=lambda *_: None,
        held=_Nothing(),
    )
    return _attempt_of(recomputation, folder)


def _attempt_of(recomputation: Recomputation, folder: Path) -> Attempt:
    spec = load_specs()["gaincal"]
    parameters = {"vis": "w.ms", "caltable": "g"}
    call = TaskCall(task="gaincal", package=spec.package, parameters=parameters, given=(), cwd=folder)
    uses, outputs = spec.inputs(parameters, folder), spec.outputs(parameters, folder)
    keyed = KeyedCall(call=call, spec=spec, base=folder, uses=uses, outputs=outputs)
    stamps = {use.path: stamp(use.path) for use in (*uses, *outputs)}
    return recomputation.attempt(keyed, {use.path: _measured(use.path) for use in uses}, stamps)


@pytest.mark.parametrize("error", [NotRestored("It is open."), StoreError("It is gone."), RuntimeError("odd")])
def test_a_result_that_is_not_restored_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(lookup, "restore", fails)
    attempt = _attempt(tmp_path)
    assert attempt.result is None
    assert attempt.look_up.outcome != "restored"
    assert str(error).rstrip(".") in attempt.look_up.reason


def test_no_task_runs_on_files_that_were_left_half_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise HalfRestored("w.ms was put back in part only.")

    monkeypatch.setattr(lookup, "restore", fails)
    attempt = _attempt(tmp_path)
    assert attempt.result is not None
    assert attempt.result.outcome == "failed"
    assert isinstance(attempt.result.error, HalfRestored)
    assert attempt.look_up.outcome != "restored"


def test_a_product_may_change_while_its_result_is_kept(tmp_path: Path) -> None:
    store, gate = Store(tmp_path / "store", on_notice=lambda _: None), threading.Event()
    kept = Recomputation(
        store=store,
        base=tmp_path,
        intents=tmp_path / "intents",
        environment=dict,
        measure=_measured,
        remember=lambda *_: None,
        held=_Nothing(),
    )
    (tmp_path / "w.ms").write_bytes(b"visibilities")
    (tmp_path / "g").write_bytes(b"gains of the call")
    attempt = _attempt_of(kept, tmp_path)
    assert attempt.look_up.outcome == "run"
    activity = Activity(
        id="s/0001", session="s", task="gaincal", package="casatasks", outcome="completed", cwd=".", parameters={},
        started_at="2026-05-01T10:00:00.000000+00:00", ended_at="2026-05-01T10:01:00.000000+00:00",
    )  # fmt: skip
    kept.queue.add(digest_bytes(b"before"), lambda: gate.wait(60))
    products = {tmp_path / "g": (stamp(tmp_path / "g"), _measured(tmp_path / "g"))}
    assert kept.keep(attempt, activity, Value(), products, ()) == ""
    (tmp_path / "g").write_bytes(b"gains of another call")
    gate.set()
    kept.settle()
    (tmp_path / "g").unlink()
    again = _attempt_of(kept, tmp_path)
    assert again.look_up.outcome == "restored"
    assert (tmp_path / "g").read_bytes() == b"gains of the call"
    kept.close()
