"""Replays on other machines, through a scheduler of dask.distributed.

The workers of dask need casaprov and CASA, and see the archive's folder and the folders of data under the same paths.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from casaprov.archive.settings import ReplaySettings
from casaprov.archive.work.replaying import Replayed, replay
from casaprov.errors import UsageError

__all__ = ["replayer_of"]

_INTERVAL_S = 1.0


def replayer_of(settings: ReplaySettings) -> Callable[[Path, Callable[[], bool]], Replayed]:
    """Return a function that replays a crate on a machine that the scheduler chooses.

    Raises
    ------
    UsageError
        If the scheduler does not answer.
    """
    from distributed import Client

    try:
        client = Client(settings.scheduler, timeout=30, set_as_default=False)
    except (OSError, ValueError) as error:
        hint = "Start 'dask scheduler', and give the address that it prints."
        raise UsageError(f"There is no dask scheduler at {settings.scheduler}: {error}.", hint=hint) from error

    def run(crate: Path, on_wait: Callable[[], bool]) -> Replayed:
        # A retry of dask's own would be a second truth beside the lease.
        future = client.submit(replay_elsewhere, str(crate), settings, pure=False, retries=0)
        while True:
            try:
                found: Replayed = future.result(timeout=_INTERVAL_S)
            except TimeoutError:
                if not on_wait():
                    future.cancel()
            else:
                return found

    return run


def replay_elsewhere(crate: str, settings: ReplaySettings) -> Replayed:
    """Replay a crate on the machine of a dask worker, in a temporary folder there."""
    path = Path(crate)
    if not path.is_file():
        raise UsageError(f"This machine does not see the archive's file {path}.", hint="Mount it under the same path.")
    with tempfile.TemporaryDirectory(prefix="casaprov-") as scratch:
        return replay(path, Path(scratch), settings, clock=lambda: datetime.now(UTC))
