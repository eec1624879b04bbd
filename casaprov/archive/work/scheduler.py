"""Replays on other machines, through a scheduler of dask.distributed.

The workers of dask need casaprov and CASA, and see the archive's folder and the folders of data under the same paths.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from casaprov.archive.settings import ReplaySettings
from casaprov.archive.work.replaying import Replayed, casa_version, replay
from casaprov.errors import UsageError
from casaprov.version import install_command

__all__ = ["Scheduler"]

_INTERVAL_S = 1.0


class Scheduler:
    """A scheduler of dask.distributed.

    Where a machine is lost, it gives the replay to another one; it gives up after some.

    Parameters
    ----------
    settings
        Its address, and what replays may take.

    Raises
    ------
    UsageError
        If dask.distributed is not installed, or the scheduler does not answer.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                f"The setting scheduler = {settings.scheduler!r} needs dask.distributed, which is not installed.",
                hint=f"Install it with '{install_command('archive-more')}'.",
            ) from error
        self._settings = settings
        try:
            self._client = Client(settings.scheduler, timeout=30, set_as_default=False)
        except (OSError, ValueError) as error:
            hint = "Start 'dask scheduler', and give the address that it prints."
            raise UsageError(f"There is no dask scheduler at {settings.scheduler}: {error}.", hint=hint) from error

    def casa_version(self) -> str:
        """Return the version of CASA of a worker; empty if it has none, or no worker answers in a minute."""
        try:
            return str(self._client.submit(casa_version, self._settings, pure=False).result(timeout=60))
        except Exception:  # noqa: BLE001 - replays say by themselves what is wrong with a worker
            return ""

    def replay(self, crate: Path, on_wait: Callable[[], bool]) -> Replayed:
        """Replay a crate on a machine that the scheduler chooses.

        Parameters
        ----------
        on_wait
            Called each second; False ends the replay.
        """
        # What fails by itself is tried again by the archive alone, which counts the attempts.
        future = self._client.submit(replay_elsewhere, str(crate), self._settings, pure=False, retries=0)
        while True:
            try:
                found: Replayed = future.result(timeout=_INTERVAL_S)
            except TimeoutError:
                if future.done():  # it is the replay's own: of a disk in the network, for example
                    raise
                if not on_wait():
                    future.cancel()
            else:
                return found


def replay_elsewhere(crate: str, settings: ReplaySettings) -> Replayed:
    """Replay a crate on the machine of a dask worker, in a temporary folder there."""
    path = Path(crate)
    if not path.is_file():
        raise UsageError(f"This machine does not see the archive's file {path}.", hint="Mount it under the same path.")
    with tempfile.TemporaryDirectory(prefix="casaprov-") as scratch:
        return replay(path, Path(scratch), settings, clock=lambda: datetime.now(UTC))
