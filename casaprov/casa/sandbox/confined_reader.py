"""The child process that reads the products of a replayed call, confined as the call was.

A call can leave a link, or a table that refers to a table elsewhere. A reader with the user's rights would follow it to
files that the call may not read, and their content would stand in the report. This is a module of its own for the same
reason as :mod:`casaprov.casa.sandbox.confined_server`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from casaprov.casa.installed.data import data_folders, forbid_updates
from casaprov.casa.sandbox.confine import confine, readable_places
from casaprov.casa.sandbox.confined_server import POLICY_VARIABLE
from casaprov.errors import CasaMissing

__all__ = ["MODULE", "main", "reader_environment"]

MODULE = "casaprov.casa.sandbox.confined_reader"


def reader_environment(read: Iterable[Path]) -> Mapping[str, str]:
    """Return the environment of a process that may read these paths and the folders of the system and of CASA."""
    return {POLICY_VARIABLE: json.dumps({"read": [path.resolve().as_posix() for path in read]})}


def main() -> None:
    """Confine this process, then measure and compare until the parent closes the pipe."""
    policy = json.loads(os.environ.pop(POLICY_VARIABLE))
    try:
        data = data_folders()
        forbid_updates()
    except CasaMissing:
        data = ()
    confine(write=[], read=(*readable_places(), *data, *map(Path, policy["read"])))

    from casaprov.readers import digest_worker

    digest_worker.main()


if __name__ == "__main__":
    main()
