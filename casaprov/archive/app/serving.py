"""Serving an archive: the HTTP server, and its workers as processes of their own."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tornado.netutil import bind_sockets

from casaprov.archive.app.composition import make_server, open_archive, open_parts
from casaprov.archive.publication.git.repositories import Repositories
from casaprov.archive.settings import Settings
from casaprov.archive.tables.jobs import Queue
from casaprov.archive.web.archive import Archive
from casaprov.archive.work.limits import watch_parent
from casaprov.archive.work.replaying import casa_version
from casaprov.archive.work.scratch import remove_dead
from casaprov.archive.work.worker import Worker
from casaprov.errors import UsageError

__all__ = ["serve", "work"]

_log = logging.getLogger(__name__)

_SWEEP_S = 3600
_RESTART_S = 2.0
_END_S = 10.0
_TAKE_OVER_S = 10.0  # what the workers of a server that was killed need to notice it, at most


@dataclass
class _Crew:
    """Worker processes; one that ended is started again."""

    commands: list[list[str]]
    lock: int
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def keep(self) -> None:
        """Start the workers that do not run."""
        for number, command in enumerate(self.commands):
            worker = self.running.get(number)
            if worker is None or worker.poll() is not None:
                # Their end of the pipe closes with this process, however it ends.
                self.running[number] = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(self.lock,))

    def end(self) -> None:
        """End all workers; a job that one holds is taken up after its lease."""
        for worker in self.running.values():
            if worker.stdin is not None:
                worker.stdin.close()
            worker.terminate()
        for worker in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                worker.wait(_END_S)
            worker.kill()
            worker.wait()


def serve(settings: Settings, *, on_ready: Callable[[str], None]) -> None:
    """Serve an archive until SIGINT or SIGTERM.

    Parameters
    ----------
    on_ready
        Called with the address when requests are taken.
    """
    asyncio.run(_serve(settings, on_ready))


async def _serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    with alone(settings.root) as lock:
        await _serve_alone(settings, on_ready, lock)


async def _serve_alone(settings: Settings, on_ready: Callable[[str], None], lock: int) -> None:
    archive = open_archive(settings)
    mend(archive)
    try:
        sockets = bind_sockets(settings.port, settings.listen)
    except OSError as error:
        raise UsageError(
            f"The archive cannot listen on {settings.listen}:{settings.port}: {error.strerror}.",
            hint="Choose another --port.",
        ) from error
    server = make_server(archive)
    server.add_sockets(sockets)
    crew = _Crew(_commands(settings), lock)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    host, port = sockets[0].getsockname()[:2]
    crew.keep()
    on_ready(f"http://{host}:{port}")
    try:
        await _until(stop, crew, archive)
    finally:
        server.stop()
        await server.close_all_connections()
        crew.end()
        archive.threads.shutdown(wait=True)
        archive.repository.engine.dispose()


async def _until(stop: asyncio.Event, crew: _Crew, archive: Archive) -> None:
    """Keep the workers running, and remove expired uploads, until the end."""
    loop = asyncio.get_running_loop()
    swept = loop.time()
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _RESTART_S)
            return
        crew.keep()
        if loop.time() - swept > _SWEEP_S:
            swept = loop.time()
            await loop.run_in_executor(archive.threads, sweep, archive)


@contextmanager
def alone(root: Path) -> Iterator[int]:
    """Hold the folder of an archive; workers inherit the descriptor, so that it is free when the last of them has ended.

    Raises
    ------
    UsageError
        If another server holds it and does not end.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + _TAKE_OVER_S
    with (root / ".lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UsageError(
                        f"An archive is being served from {root} already.", hint="End it, or choose another --root."
                    ) from None
            time.sleep(_TAKE_OVER_S / 100)
        yield file.fileno()


def mend(archive: Archive) -> None:
    """Mend the remains of a kill, before anything else of the archive runs."""
    remove_dead(archive.settings.work)
    archive.storage.repair()
    Repositories(archive.settings.git).mend()
    sweep(archive, older_s=0.0)


def sweep(archive: Archive, older_s: float = _SWEEP_S) -> None:
    """Remove expired uploads, and files in the spool that a killed worker left."""
    expire_uploads(archive)
    swept = archive.spool.sweep(archive.repository.ids(), archive.uploads.ids(), older_s=older_s)
    if swept:
        _log.info("Removed from the spool, as no deposit needs them: %s", ", ".join(swept))


def expire_uploads(archive: Archive) -> None:
    """Remove expired uploads."""
    for upload_id in archive.uploads.expired(archive.repository.clock()):
        archive.uploads.remove(upload_id)
        archive.spool.upload_path(upload_id).unlink(missing_ok=True)


def _commands(settings: Settings) -> list[list[str]]:
    """Return the commands of the workers."""
    counts = {Queue.CHECKS: settings.replay.check_workers, Queue.REPLAYS: settings.replay.workers}
    if not settings.replay.enabled:
        counts[Queue.REPLAYS] = 0
    base = [sys.executable, "-P", "-m", "casaprov", "archive", "work", "--root", str(settings.root)]
    if settings.replay.scheduler:
        base += ["--scheduler", settings.replay.scheduler]
    return [[*base, "--queue", queue.value] for queue, count in counts.items() for _ in range(count)]


def work(settings: Settings, queue: Queue) -> None:
    """Work on a queue until SIGTERM, or until the server that started this process ends."""
    parts = open_parts(settings)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # the lease brings the job back
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the server ends its workers
    watch_parent(lambda: os._exit(0))
    replayer, version = None, ""
    if queue is Queue.REPLAYS and settings.replay.scheduler:
        from casaprov.archive.work.scheduler import Scheduler

        scheduler = Scheduler(settings.replay)
        replayer, version = scheduler.replay, scheduler.casa_version()
    elif queue is Queue.REPLAYS:
        version = casa_version(settings.replay)
    if version:
        due = parts.repository.make_due(version)
        if due:
            _log.info("CASA is %s now: %d crates are replayed again.", version, due)
    Worker(parts, queue, lease_s=settings.replay.lease_seconds, replayer=replayer).run(stop)
