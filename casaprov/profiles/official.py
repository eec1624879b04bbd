"""The official validator on a crate: requirements of its profile become errors, recommendations notes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from casaprov.errors import CrateError, Issue, MissingDependency, Note
from casaprov.records.schema import schemas_folder
from casaprov.version import install_command

__all__ = ["profile_findings"]

_TIMEOUT_S = 900


def profile_findings(crate: Path) -> Iterator[Issue]:
    """Yield an issue for each requirement, and a note for each recommendation, that a valid crate does not meet.

    Parameters
    ----------
    crate
        A zip or a folder whose own checks found no error.

    Raises
    ------
    MissingDependency
        If roc-validator is not installed.
    CrateError
        If it fails.
    """
    if find_spec("rocrate_validator") is None:
        hint = f"Install it with: {install_command('profiles')}"
        raise MissingDependency("The Python package roc-validator is not installed.", hint=hint)
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        # -P: the working folder may be a stranger's, and hold a module with the name of an installed one.
        command = [sys.executable, "-P", "-m", "casaprov.profiles.validator"]
        command += [str(crate.resolve()), folder, str(schemas_folder())]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise CrateError(f"roc-validator did not end within {_TIMEOUT_S} s.") from error
        found = Path(folder, "findings.json")
        if done.returncode != 0 or not found.is_file():
            last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise CrateError(f"roc-validator failed: {last}", hint="Please report this with the crate.")
        for one in json.loads(found.read_text("utf-8")):
            kind = Issue if one["required"] else Note
            yield kind(one["entity"], f"{one['message']} ({one['check']})")
