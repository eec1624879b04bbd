"""CASA as a replay uses it: that of this Python or of another one, confined unless the user says otherwise."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path

from casaprov import recorder
from casaprov.casa.installed.data import data_folders
from casaprov.casa.installed.environment import processor
from casaprov.casa.sandbox.confine import require_confinement
from casaprov.casa.sandbox.executor import CasaProcess
from casaprov.casa.sandbox.product_readers import ProductReaders
from casaprov.casa.sandbox.replayed_results import ReplayedResults
from casaprov.casa.session import open_recorder
from casaprov.confinement.limits import Limits
from casaprov.digests.digester import Digester
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import MissingDependency, UsageError, WorkerDied
from casaprov.records.model import Environment, Session, Tier
from casaprov.replays.inputs import Resolver
from casaprov.version import install_command

__all__ = ["InstalledCasa", "place_in_casa_data"]


class InstalledCasa:
    """An installed CASA (:class:`casaprov.replay.ReplayCasa`).

    Parameters
    ----------
    digester
        Measures inputs; products as well, if CASA is not confined.
    python
        Interpreter whose CASA runs the tasks.
    confined
        Whether the kernel confines CASA to the work folder.

    Raises
    ------
    UsageError
        If there is no program `python`.
    ConfinementMissing
        If CASA is to be confined, and the kernel cannot do it.
    """

    def __init__(self, digester: Digester, *, python: str = sys.executable, confined: bool = True) -> None:
        found = shutil.which(python)
        if found is None:
            raise UsageError(f"There is no program {python}.", hint="Name a Python that has CASA with --python.")
        if confined:  # before anything of the crate is looked at
            require_confinement()
        self.confined = confined
        self._digester = digester
        # Absolute, since the child starts in another folder. Not resolved: the link that a virtual environment's
        # Python is tells which environment it is.
        self._python = os.path.abspath(found)  # noqa: PTH100

    @property
    def resolvers(self) -> Mapping[str, Resolver]:
        """Resolver of the scheme ``casadata``."""
        return {"casadata": place_in_casa_data}

    @property
    def measure(self) -> Measure[Measurement]:
        """Measure a candidate for an input, by a process that can write nothing."""
        return self._digester.measure

    def open_executor(self, work: Path, inputs: Iterable[Path], limits: Limits) -> CasaProcess:
        """Start CASA for calls that may write in `work` and read `inputs`."""
        return _ReplayProcess(work, inputs=inputs, python=self._python, confined=self.confined, limits=limits)

    def open_reader(self, readable: Iterable[Path]) -> ProductReaders:
        """Start readers that may read these folders and files."""
        return ProductReaders(self._digester, readable, confined=self.confined)

    def open_results(
        self,
        folder: Path,
        work: Path,
        inputs: Iterable[Path],
        executor: CasaProcess,
        environment: Environment,
        measure: Callable[[Path], Future[Measurement]],
    ) -> ReplayedResults:
        """Open the results of earlier replays that are kept in a folder."""
        return ReplayedResults(
            folder,
            work,
            inputs,
            facts=lambda: {**executor.facts(environment), "processor": processor()},
            held=executor.held,
            measure=measure,
            confined=self.confined,
        )

    def open_recorder(
        self, session: Session, journal: Path, digester: recorder.Digester, tier: Callable[[Path], Tier]
    ) -> recorder.Recorder:
        """Open the record of the replay."""
        return open_recorder(session, journal, digester, tier)


class _ReplayProcess(CasaProcess):
    """A CASA whose Python the user may have named wrongly."""

    def environment(self, folder: Path) -> Environment:
        try:
            return super().environment(folder)
        except WorkerDied as error:
            if self._python == sys.executable:
                raise
            raise MissingDependency(
                f"{self._python} cannot run CASA for casaprov. {error.message}",
                hint=f"casaprov and CASA must be installed there: {install_command('casa', python=self._python)}",
            ) from error


def place_in_casa_data(value: str) -> Path | None:
    """Return the file or table that a ``casadata`` locator names; None if it is not there, or elsewhere."""
    if Path(value).is_absolute() or ".." in Path(value).parts:
        return None
    places = (folder / value for folder in data_folders())
    return next((place for place in places if os.path.exists(place)), None)  # noqa: PTH110 - Path's raises for long names
