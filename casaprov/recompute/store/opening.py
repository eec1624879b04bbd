"""The store that the settings name, opened for a notebook's folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import platformdirs

from casaprov.config import Config
from casaprov.digests.parallel import Cache
from casaprov.recompute.store.eviction import Limits
from casaprov.recompute.store.folder import default_folder
from casaprov.recompute.store.results import Store

__all__ = ["open_store", "store_place"]

_log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_KNOWN_BYTES = 64 * 10**6  # about half a million files


def store_place(config: Config, folder: Path) -> Path:
    """Return the folder of the store for notebooks in `folder`."""
    return folder / Path(config.store).expanduser() if config.store else default_folder(folder)


def open_store(config: Config, folder: Path, *, on_notice: Callable[[str], None], place: Path | None = None) -> Store:
    """Open the store for notebooks in `folder`; it is made when the first result is kept. Close it at the end.

    Parameters
    ----------
    on_notice
        As for :class:`Store`.
    place
        Another folder of the store.
    """
    return Store(
        place or store_place(config, folder),
        known=_known_bytes() if config.cache_size else None,
        limits=Limits(config.store_size or float("inf"), config.store_days * _DAY_S),
        on_notice=on_notice,
    )


def _known_bytes() -> Cache | None:
    """Open the digests of bytes that this user's sessions on this host have read."""
    try:
        from casaprov.digests.disk_cache import DigestCache
    except ImportError:  # CASA's SQLite is loaded already, and Python's module gets that one
        _log.info("digests of stored files are known for this session only", exc_info=True)
        return None
    return DigestCache(Path(platformdirs.user_cache_dir("casaprov")) / "stored-files.sqlite", max_bytes=_KNOWN_BYTES)
