"""Lists of flag versions, which flagmanager and flagdata write beside the flags that they save."""

from __future__ import annotations

import re
from pathlib import Path

from casaprov.files.regular import open_regular

__all__ = ["FLAG_VERSIONS", "flag_versions"]

FLAG_VERSIONS = "FLAG_VERSION_LIST"
"""Name of such a list in a folder ``X.ms.flagversions``."""

_SAVED_ON = re.compile(rb" on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[ \t]*$", re.MULTILINE)


def flag_versions(path: Path) -> bytes:
    """Read a list of flag versions without the times at which they were saved."""
    with open_regular(path) as stream:
        return _SAVED_ON.sub(b"", stream.read())
