"""The log file of CASA: read call by call, and in a CASA kernel made only when there is something in it.

CASA makes its log file in the working folder when it is imported. In :func:`held_log` it logs to a temporary file
instead, which :func:`place_log` moves to where the log belongs.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["held_log", "log_offset", "log_path", "log_since", "place_log"]

_log = logging.getLogger(__name__)

_MAX_SEGMENT_BYTES = 4 * 2**20


@dataclass
class _Held:
    """A log in a temporary file.

    Attributes
    ----------
    file
        The file, which is removed when it is closed.
    target
        The path where the log belongs.
    size
        Its size after CASA has started, in bytes.
    """

    file: Any
    target: Path
    size: int = 0

    @property
    def path(self) -> Path:
        return Path(self.file.name)


_held: _Held | None = None
_placing = threading.Lock()


@contextmanager
def held_log() -> Iterator[None]:
    """Hold the log of a CASA that is imported in this block; its data must have been prepared before."""
    global _held  # noqa: PLW0603 - a process has one log
    with suppress(ImportError, OSError):  # CASA is not installed, or there is no folder for temporary files
        config: Any = importlib.import_module("casaconfig.config")
        if "casatools" not in sys.modules and not Path(config.logfile).exists():
            file = tempfile.NamedTemporaryFile(prefix="casaprov-", suffix=".log")  # noqa: SIM115
            _held = _Held(file, Path(config.logfile).absolute())
            config.logfile = file.name
    try:
        yield
    finally:
        if _held is not None:
            config.logfile = str(_held.target)
            _held.size = _held.path.stat().st_size


def place_log(*, only_if_used: bool = False) -> None:
    """Move a held log to where it belongs, and let CASA go on there; nothing if no log is held.

    Parameters
    ----------
    only_if_used
        Leave a log alone in which there is nothing but CASA's start.
    """
    global _held  # noqa: PLW0603 - see above
    with _placing:
        held = _held
        if held is None or "casatasks" not in sys.modules or (only_if_used and held.path.stat().st_size <= held.size):
            return
        try:
            if log_path() == held.path:  # the user has named no other file
                with held.target.open("ab") as file:
                    file.write(held.path.read_bytes())
                for sink in (sys.modules["casatasks"].casalog, sys.modules["casatools"].logger):
                    sink.setlogfile(str(held.target))
        except OSError:  # such as in a folder that cannot be written to: CASA logs to the temporary file
            _log.info("the log stays in %s", held.path, exc_info=True)
            return
        _held = None
        held.file.close()


def log_offset() -> int:
    """Return the size of the CASA log file now, in bytes; 0 if there is none."""
    path = log_path()
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0


def log_since(offset: int) -> str:
    """Return the text logged since `offset`; of a very long text its beginning and end."""
    path = log_path()
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(offset if offset <= size else 0)
            data = file.read(_MAX_SEGMENT_BYTES // 2)
            if file.tell() < size:
                skipped = max(0, size - _MAX_SEGMENT_BYTES // 2 - file.tell())
                file.seek(skipped, 1)
                data += f"\n[casaprov left out {skipped} bytes of log here]\n".encode() * bool(skipped) + file.read()
    except OSError:
        return ""
    return data.decode("utf-8", "replace")


def log_path() -> Path | None:
    """Return the file that casalog writes to; None before CASA is loaded, or if it logs to no file."""
    casatasks = sys.modules.get("casatasks")
    if casatasks is None or not hasattr(casatasks, "casalog"):
        return None
    name = casatasks.casalog.logfile()
    return Path(name) if name else None
