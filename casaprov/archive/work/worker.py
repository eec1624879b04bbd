"""A worker: takes jobs of one queue, renews their leases, ends them.

It may be killed at any instant: every step can be repeated, and the state changes last.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from casaprov.archive.deposits import Deposit, State, Verdict
from casaprov.archive.publishing import Publication
from casaprov.archive.settings import Settings
from casaprov.archive.spool import Spool
from casaprov.archive.storage import Storage
from casaprov.archive.tables.jobs import Job, Jobs, Queue, Work
from casaprov.archive.tables.repository import Repository, WrongState
from casaprov.archive.work.checking import check
from casaprov.archive.work.outcome import after_check, after_replay
from casaprov.archive.work.replaying import Replayed, replay
from casaprov.archive.work.scratch import own_folder
from casaprov.errors import Issue
from casaprov.untrusted.zip_file import Limits

__all__ = ["Parts", "Worker"]

_log = logging.getLogger(__name__)

_RETRY = timedelta(seconds=60)
Replayer = Callable[[Path, Callable[[], bool]], Replayed]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of an archive that a worker works on."""

    settings: Settings
    repository: Repository
    storage: Storage
    spool: Spool
    publications: Sequence[Publication]


class Worker:
    """Does the jobs of a queue, one at a time."""

    def __init__(self, parts: Parts, queue: Queue, *, lease_s: float = 60.0, replayer: Replayer | None = None) -> None:
        self._parts = parts
        self._queue = queue
        self._jobs = Jobs(parts.repository, lease_s=lease_s)
        self._renew_s = lease_s / 4
        self.name = f"{queue} {socket.gethostname()} {os.getpid()}"
        self._scratch = own_folder(parts.settings.work, self)
        self._replay = replayer or self._replay_here

    def run(self, stop: threading.Event, poll_s: float = 0.5) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            try:
                if not self.work():
                    stop.wait(poll_s)
            except Exception:  # noqa: BLE001  # the database may be away for a moment
                _log.exception("A worker of the queue %s goes on after an error.", self._queue)
                stop.wait(10 * poll_s)

    def work(self) -> bool:
        """Do one job; False if none waits."""
        job = self._jobs.take(self._queue, self.name)
        if job is None:
            return False
        ended = threading.Event()
        lost = threading.Event()
        heart = threading.Thread(target=self._keep_lease, args=(job, ended, lost), name="lease", daemon=True)
        heart.start()
        try:
            acts: dict[Work, Callable[[Job], None]] = {
                Work.CHECK: self._check,
                Work.PUBLISH: self._publish_due,
                Work.REPLAY: partial(self._replayed, lost=lost),
                Work.REPEAT: partial(self._repeat, lost=lost),
                Work.RETRACT: self._retract,
            }
            acts[job.work](job)
        except WrongState:  # a curator, or a worker that took it over, was faster
            _log.info("Deposit %s was changed meanwhile.", job.deposit.id)
        except Exception:  # noqa: BLE001  # a fault of one deposit must not end the others' work
            _log.exception("Deposit %s: %s failed; it is tried again.", job.deposit.id, job.work)
            self._jobs.put_back(job, _RETRY)
        finally:
            ended.set()
            heart.join()
        return True

    def _keep_lease(self, job: Job, ended: threading.Event, lost: threading.Event) -> None:
        while not ended.wait(self._renew_s):
            try:
                if not self._jobs.renew(job):
                    lost.set()
                    return
            except Exception:  # noqa: BLE001  # the next renewal may succeed
                _log.exception("The lease of %s could not be renewed.", job.deposit.id)

    # Checks

    def _check(self, job: Job) -> None:
        deposit, parts = job.deposit, self._parts
        path = parts.spool.path(deposit.id)
        if not path.is_file():
            # Killed after it was kept and before its state changed: the spool's file may be gone already.
            path = parts.storage.path(deposit.did, deposit.content_name)
        limits = Limits(max_total_bytes=parts.settings.replay.max_disk)
        checked = check(deposit, path, parts.settings.policy, self._scratch, limits)
        if checked.issues:
            self._change(deposit, State.REJECTED, "checked", issues=checked.issues)
            parts.spool.remove(deposit.id)
            return
        parts.storage.keep(deposit.did, {deposit.content_name: path}, f"Deposit {deposit.id}")
        after = after_check(deposit, parts.settings.replay, checked.columns["public_from"], parts.repository.clock())
        if after is State.PUBLISHED:
            self._publish(deposit, "checked", **checked.columns)
        else:
            self._change(deposit, after, "checked", issues=(), **checked.columns)
        parts.spool.remove(deposit.id)

    # Replays

    def _replay_here(self, crate: Path, on_wait: Callable[[], bool]) -> Replayed:
        parts = self._parts
        return replay(crate, self._scratch, parts.settings.replay, clock=parts.repository.clock, on_wait=on_wait)

    def _judged(self, deposit: Deposit, lost: threading.Event) -> tuple[Verdict, ...]:
        """Replay a crate, keep the report beside it, and return its verdicts with the new one."""
        crate = self._parts.storage.path(deposit.did, deposit.content_name)
        replayed = self._replay(crate, lambda: not lost.is_set())
        if lost.is_set():
            raise WrongState("The lease was lost.")
        if replayed.report is not None:
            text = json.dumps(replayed.report, ensure_ascii=False, indent=1).encode()
            self._parts.storage.keep(deposit.did, {"report.json": text}, f"Replayed: {replayed.verdict.summary}")
        verdict = replayed.verdict
        if replayed.report is not None and not verdict.casa:  # the report names CASA only where it is another one
            verdict = replace(verdict, casa=str(deposit.about.get("casa", "")))
        return (*deposit.verdicts, verdict)

    def _replayed(self, job: Job, lost: threading.Event) -> None:
        deposit, parts = job.deposit, self._parts
        verdicts = self._judged(deposit, lost)
        verdict = verdicts[-1]
        reason = f"replayed: {verdict.summary}"
        after = after_replay(deposit, verdict, parts.settings.policy, parts.repository.clock())
        if after is State.PUBLISHED:
            self._publish(deposit, reason, verdicts=verdicts)
        else:
            self._change(deposit, after, verdict.note or reason if after is State.HELD else reason, verdicts=verdicts)

    def _repeat(self, job: Job, lost: threading.Event) -> None:
        """Replay a published crate again; its state stays, its history grows."""
        verdicts = self._judged(job.deposit, lost)
        record = [publication.record for publication in self._parts.publications]
        self._parts.repository.amend(job.deposit, also=record, verdicts=verdicts, replay_due=self._next_replay())

    def _next_replay(self) -> datetime | None:
        days = self._parts.settings.replay.every_days
        return self._parts.repository.clock() + timedelta(days=days) if days else None

    # Publishing

    def _publish_due(self, job: Job) -> None:
        self._publish(job.deposit, "its time has come")

    def _publish(self, deposit: Deposit, reason: str, **columns: Any) -> None:
        """Prepare all places, then change the state and write their rows in one transaction."""
        parts = self._parts
        shown = replace(deposit, **columns)
        content = parts.storage.path(deposit.did, deposit.content_name)
        for publication in parts.publications:
            publication.prepare(shown, content)
        try:
            parts.repository.change(
                deposit,
                State.PUBLISHED,
                actor=self.name,
                reason=reason,
                also=[publication.record for publication in parts.publications],
                replay_due=self._next_replay() if shown.verdicts else None,
                **columns,
            )
        except WrongState:
            present = parts.repository.by_id(deposit.id)
            if present is not None and present.state in (State.WITHDRAWN, State.HELD):  # it was withdrawn meanwhile
                for publication in parts.publications:
                    publication.withdraw(present)
            raise

    def _retract(self, job: Job) -> None:
        for publication in self._parts.publications:
            publication.withdraw(job.deposit)
        self._jobs.done(job)

    def _change(self, deposit: Deposit, after: State, reason: str, **columns: Any) -> None:
        issues = columns.get("issues")
        if after is State.REJECTED and isinstance(issues, tuple) and issues and isinstance(issues[0], Issue):
            reason = f"{len(issues)} issues: {issues[0]}"[:1000]
        self._parts.repository.change(deposit, after, actor=self.name, reason=reason, **columns)
