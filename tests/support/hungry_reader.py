"""A child process in place of a reader: what it reads makes it abort, or use up memory or time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from casaprov.processes.worker import serve


def read(path: str, **_: Any) -> None:
    """Do what the name of the file says."""
    kept: list[bytes] = []
    match Path(path).name:
        case "aborts":
            os.write(2, b"terminate called after throwing an instance of 'casacore::AipsError'\n")
            os.abort()
        case "grows":
            while True:
                kept.append(b"x" * 2**24)
        case "spins":
            while True:
                pass
        case other:
            assert other in ("a", "b")


def compare(left: str, right: str, **_: Any) -> None:
    """Read both."""
    read(left)
    read(right)


if __name__ == "__main__":
    serve({"measure": read, "compare": compare, "same_listing": lambda recorded, **_: read(recorded)})
