"""JSON files from strangers: read within limits, with finite numbers and unique keys only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from casaprov.errors import CrateError, DigestError
from casaprov.files.regular import open_regular

__all__ = ["MAX_BYTES", "read_json"]

MAX_BYTES = 256 * 2**20
"""Size of the largest file that is read."""

_MAX_CONTAINERS = 5_000_000  # lists and objects; each takes a hundred times the memory of its two brackets
_MAX_MEMBERS = 20_000_000
_MAX_DEPTH = 100  # files of casaprov stay below 60
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
            text = file.read()
        # Counted before parsing, which may take a hundred times the memory of the text.
        if text.count(b"[") + text.count(b"{") > _MAX_CONTAINERS or text.count(b",") > _MAX_MEMBERS:
            raise CrateError(f"{path.name} holds more values than casaprov reads.", hint=_AGAIN)
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except DigestError as error:
        raise CrateError(f"{path.name} cannot be read: {error.message}", hint=_AGAIN) from error
    except RecursionError as error:
        raise CrateError(f"{path.name} is nested too deeply to be a record.", hint=_AGAIN) from error
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CrateError(f"{path.name} cannot be read: {reason}.", hint=_AGAIN) from error
    if _depth_exceeds(data, _MAX_DEPTH):
        raise CrateError(f"{path.name} is nested too deeply to be a record.", hint=_AGAIN)
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON value")


def _depth_exceeds(data: Any, limit: int) -> bool:
    level = [data]
    for _ in range(limit):
        level = [m for v in level if isinstance(v, dict | list) for m in (v.values() if isinstance(v, dict) else v)]
        if not level:
            return False
    return True
