"""Replays through a scheduler of dask.distributed, with workers in processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archived import CRATE
from casaprov.archive.deposits import VerdictSummary
from casaprov.archive.settings import ReplaySettings
from casaprov.archive.work.replaying import casa_version
from casaprov.archive.work.scheduler import Scheduler
from casaprov.errors import UsageError

distributed = pytest.importorskip("distributed", reason="dask.distributed is missing: pip install distributed")


@pytest.fixture(scope="module")
def cluster(casa_site_config: object) -> Iterator[Any]:
    """A scheduler with one worker, which a nanny starts again if it is killed."""
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as running:
        yield running


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_a_crate_is_replayed_by_a_worker_also_if_the_first_one_is_killed(cluster: Any, tmp_path: Path) -> None:
    settings = ReplaySettings(scheduler=cluster.scheduler_address, data=(str(tmp_path),))
    there = Scheduler(settings)
    assert there.casa_version() == casa_version(settings) != ""
    killed: list[int] = []

    def on_wait() -> bool:
        if not killed and any(worker.processing for worker in cluster.scheduler.workers.values()):
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)
        return True

    replayed = there.replay(CRATE, on_wait)
    assert killed
    assert cluster.workers[0].pid not in {None, *killed}
    assert (replayed.verdict.summary, replayed.verdict.note) == (VerdictSummary.VERIFIED, "")
    assert set(replayed.verdict.counts) <= {"identical", "same-content"}


def test_a_failure_of_the_replay_itself_is_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        def result(self, timeout: float) -> None:
            raise TimeoutError("Connection timed out")

        def done(self) -> bool:
            return True

    class Client:
        def __init__(self, *_: object, **__: object) -> None: ...

        def submit(self, *_: object, **__: object) -> Done:
            return Done()

    monkeypatch.setattr(distributed, "Client", Client)
    with pytest.raises(TimeoutError, match="Connection timed out"):
        Scheduler(ReplaySettings(scheduler="tcp://h:1")).replay(CRATE, lambda: True)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", silent)
    with pytest.raises(UsageError, match="no dask scheduler at tcp://h:1"):
        Scheduler(ReplaySettings(scheduler="tcp://h:1"))
