"""Lists of flag versions, ``FLAG_VERSION_LIST``, as flagmanager and flagdata write them."""

from __future__ import annotations

import re
from pathlib import Path

from casaprov.files.regular import open_regular

__all__ = ["FLAG_VERSIONS", "flag_versions"]


FLAG_VERSIONS = "FLAG_VERSION_LIST"


_SAVED_ON = re.compile(rb" on \d{4}-\d\d-\d\d \d\d:\d\d:\d\d[ \t]*$", re.MULTILINE)


def flag_versions(path: Path) -> bytes:
    """Read a list of flag versions without what flagmanager and flagdata note of when each was saved."""
    with open_regular(path) as stream:
        return _SAVED_ON.sub(b"", stream.read())
