"""JSON files from strangers: read within limits, with finite numbers and unique keys only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from casaprov.errors import CrateError, DigestError
from casaprov.files.regular import open_regular
from casaprov.untrusted.parsing.bounded_json import JsonLimits, parse_json

__all__ = ["MAX_BYTES", "read_json"]

MAX_BYTES = JsonLimits().bytes
"""Size of the largest file that is read."""

_AGAIN = "Get the crate again from where it was published, or ask its author for a new copy."


def read_json(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file from a stranger.

    Raises
    ------
    CrateError
        If it is missing, too large, nested too deeply or no JSON, or has too many values, duplicate keys or infinities.
    """
    try:
        if path.stat().st_size > max_bytes:
            raise CrateError(f"{path.name} is larger than the {max_bytes} bytes that casaprov reads.", hint=_AGAIN)
        with open_regular(path) as file:
            return parse_json(file.read())
    except DigestError as error:
        raise CrateError(f"{path.name} cannot be read: {error.message}", hint=_AGAIN) from error
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CrateError(f"{path.name} cannot be read: {reason}.", hint=_AGAIN) from error
