"""The choice among installed readers, and a digester whose workers use them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from casaprov.config import Config, load_config
from casaprov.confinement.reader_limits import reader_watch
from casaprov.digests.digester import Digester
from casaprov.digests.parallel import Cache, Observes
from casaprov.errors import MissingDependency
from casaprov.formats.fits import FitsReader
from casaprov.formats.tables import TableReader
from casaprov.processes.worker import WorkerPool

__all__ = ["WORKER_ENVIRONMENT", "WORKER_MODULE", "fits_reader", "open_digester", "table_reader"]

WORKER_MODULE = "casaprov.confinement.worker casaprov.readers.digest_worker"
"""The module that worker processes run: it confines them, and then loads the one that answers their calls."""

_log = logging.getLogger(__name__)
_warned = False

WORKER_ENVIRONMENT = {
    # One thread each: the workers share out the columns and files, not the loops inside.
    "OMP_NUM_THREADS": "1",
    # By default glibc returns the memory of intermediate results and gets it again, page by page, for every block: a
    # tenth of the time.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    # casacore of either library reads its settings there.
    "CASARCFILES": str(Path(__file__).with_name("casarc")),
}
"""Variables of worker processes beside those of this process."""


def table_reader() -> TableReader:
    """Return the best table reader that is installed: python-casacore, else casatools.

    Raises
    ------
    casaprov.errors.MissingDependency
        If neither is installed.
    """
    if find_spec("casacore") is not None:
        from casaprov.readers.casacore_tables import CasacoreReader

        return CasacoreReader()
    if find_spec("casatools") is not None:
        from casaprov.readers.casatools_tables import CasatoolsReader

        _warn_that_it_is_slow()
        return CasatoolsReader()
    raise MissingDependency(
        "CASA tables cannot be read: neither python-casacore nor casatools is installed.",
        hint="Install one: pip install python-casacore.",
    )


def _warn_that_it_is_slow() -> None:
    global _warned  # noqa: PLW0603
    if not _warned:
        _warned = True
        _log.warning(
            "python-casacore is not installed: tables are read with casatools, which takes about three times "
            "as long. 'pip install python-casacore' makes it fast."
        )


def fits_reader() -> FitsReader:
    """Return the FITS reader.

    Raises
    ------
    casaprov.errors.MissingDependency
        If astropy is not installed.
    """
    if find_spec("astropy") is None:
        raise MissingDependency(
            "FITS files cannot be read: astropy is not installed.", hint="Install it: pip install astropy."
        )
    from casaprov.readers.fits import AstropyFitsReader

    return AstropyFitsReader()


def open_digester(
    config: Config | None = None,
    *,
    module: str = WORKER_MODULE,
    environment: Mapping[str, str] | None = None,
    observes: Observes = "nothing",
) -> Digester:
    """Return a Digester with worker processes of its own; they start with the first product.

    Parameters
    ----------
    module, environment
        The module that they run, and variables beside :data:`WORKER_ENVIRONMENT`.
    observes
        How much they read of what headers say about the observation.
    """
    config = config or load_config(Path.cwd())
    if find_spec("casacore") is None and find_spec("casatools") is not None:
        # Here, once in a session: messages of the workers reach no user.
        _warn_that_it_is_slow()
    variables = {**WORKER_ENVIRONMENT, **(environment or {})}
    pool = WorkerPool(config.workers, module, environment=variables, watch=reader_watch(config.reader_limits))
    return Digester(pool, _open_cache(config.cache_size), observes=observes)


def _open_cache(most_bytes: int) -> Cache | None:
    if not most_bytes:
        return None
    try:
        from casaprov.digests.disk_cache import DigestCache
    except ImportError as error:  # CASA's SQLite is loaded already, and Python's module gets that one
        _log.warning(
            "Digests are kept for this session only: SQLite cannot be loaded (%s). CASA brings another one; load casaprov before CASA.",
            error,
        )
        return None
    return DigestCache(Path(platformdirs.user_cache_dir("casaprov")) / "digests.sqlite", max_bytes=most_bytes)
