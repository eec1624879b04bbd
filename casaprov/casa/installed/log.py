"""The log file of CASA, read call by call."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["log_offset", "log_path", "log_since"]

_MAX_SEGMENT_BYTES = 4 * 2**20


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
