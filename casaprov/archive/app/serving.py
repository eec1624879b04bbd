"""Serving an archive: the HTTP server, and its workers as processes of their own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tornado.netutil import bind_sockets

from casaprov.archive.app.composition import make_server, open_archive, open_parts
from casaprov.archive.settings import Settings
from casaprov.archive.tables.jobs import Queue
from casaprov.archive.web.archive import Archive
from casaprov.archive.work.limits import watch_parent
from casaprov.archive.work.replaying import casa_version
from casaprov.archive.work.worker import Worker
from casaprov.errors import UsageError

__all__ = ["serve", "work"]

_log = logging.getLogger(__name__)

_SWEEP_S = 3600
_RESTART_S = 2.0
_END_S = 10.0


@dataclass
class _Crew:
    """Worker processes; one that ended is started again."""

    commands: list[list[str]]
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def keep(self) -> None:
        """Start the workers that do not run."""
        for number, command in enumerate(self.commands):
            worker = self.running.get(number)
            if worker is None or worker.poll() is not None:
                # Their end of the pipe closes with this process, however it ends.
                self.running[number] = subprocess.Popen(command, stdin=subprocess.PIPE)

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
    archive = open_archive(settings)
    mend(archive)
    try:
        sockets = bind_sockets(settings.port, settings.listen)
    except OSError as error:
        raise UsageError(
            f"{settings.listen}:{settings.port} cannot be listened on: {error.strerror}.", hint="Choose another --port."
        ) from error
    server = make_server(archive)
    server.add_sockets(sockets)
    crew = _Crew(_commands(settings))
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
            await loop.run_in_executor(archive.threads, expire_uploads, archive)


def mend(archive: Archive) -> None:
    """Mend the remains of a kill, before anything else of the archive runs."""
    archive.storage.repair()
    expire_uploads(archive)
    swept = archive.spool.sweep(archive.repository.ids(), archive.uploads.ids())
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
    version = casa_version(settings.replay) if queue is Queue.REPLAYS and not settings.replay.scheduler else ""
    if version:
        due = parts.repository.make_due(version)
        if due:
            _log.info("CASA is %s now: %d crates are replayed again.", version, due)
    replayer = None
    if queue is Queue.REPLAYS and settings.replay.scheduler:
        from casaprov.archive.work.scheduler import replayer_of

        replayer = replayer_of(settings.replay)
    Worker(parts, queue, lease_s=settings.replay.lease_seconds, replayer=replayer).run(stop)
