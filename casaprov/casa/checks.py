"""Checks of ``casaprov doctor``: CASA and its data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from casaprov.casa.installed.data import casadata_path, data_folders, prepare
from casaprov.casa.installed.environment import measures_tables
from casaprov.casa.sandbox.confine import landlock_version
from casaprov.doctor import Check, Finding
from casaprov.version import installed_version

__all__ = ["CHECKS", "RELEASES"]

RELEASES: Mapping[tuple[int, int], str] = {(3, 11): "6.7.0.31", (3, 12): "6.7.5.18", (3, 13): "6.7.5.18"}
"""Release of casatasks and casatools known to work on each Python, as ``pyproject.toml`` pins it."""

_IMPORT_TIMEOUT_S = 180
_OLD_DAYS = 365

# In a child: CASA cannot be unloaded, and a release that crashes must not take the doctor along.
_IMPORT_CASA = """
import json
from casaprov.casa.installed.data import import_casatasks
from casaprov.errors import MissingDependency
try:
    answer = {"version": import_casatasks().version_string()}
except MissingDependency as error:
    answer = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
print(json.dumps(answer))
"""
_IMPORT_CASACORE = """
import json
import casacore.tables
print(json.dumps({}))
"""


def casa() -> Finding:
    """Check the import of CASA."""
    answer = _in_child(_IMPORT_CASA)
    if "version" in answer:
        return Finding("CASA", "ok", f"CASA {answer['version']} loads.")
    if answer["kind"] == "CasaDataMissing":
        return Finding("CASA", "missing", answer["message"], answer["hint"])
    found = installed_version("casatools")
    message = answer["message"]
    if "libssl" in message or "libcrypto" in message:
        message += (
            f" The wheel of casatools {found} brings a libssl that does not fit the libcrypto of this system;"
            " 6.7.6.14 is known to do that."
        )
    release = RELEASES.get(sys.version_info[:2])
    if release is None:
        return Finding("CASA", "missing", message, "Use Python 3.11, 3.12 or 3.13, on which a CASA is known to load.")
    if found == release:
        remedy = f"This release is known to load elsewhere: 'pip install --force-reinstall casatools=={release}'."
    else:
        remedy = f"Run 'pip install casatools=={release} casatasks=={release} six', which is known to load."
    return Finding("CASA", "missing", message, remedy)


def shell() -> Finding:
    """Check CASA's shell, which the CASA kernel needs."""
    if found := installed_version("casashell"):
        return Finding("CASA's shell", "ok", f"casashell {found}: the CASA kernel has inp, go and default.")
    release = RELEASES.get(sys.version_info[:2])
    message = (
        "casashell is not installed: the CASA kernel has tasks, but not inp, go, default and the tools' instances."
    )
    pinned = f"=={release}" if release else ""
    return Finding("CASA's shell", "warning", message, f"Run 'pip install casashell{pinned}'.")


def data() -> Finding:
    """Check CASA's run-time data, and name the setting that leads to them."""
    source = prepare()
    folders = data_folders()
    found = next((folder for folder in folders if measures_tables(folder)), None)
    if found is None:
        places = ", ".join(str(folder) for folder in folders)
        message = f"There are no CASA data in {places}."
        if source.site_config is not None and not source.site_config.is_file():
            message += f" CASASITECONFIG names {source.site_config}, which does not exist."
        return Finding("CASA data", "missing", message, "Run 'pip install casadata' (350 MB).")
    if found == casadata_path():
        return Finding("CASA data", "ok", f"casadata {installed_version('casadata')} in {found}.")
    config = f"the site configuration {source.site_config}" if source.origin == "site" else "your CASA configuration"
    return Finding("CASA data", "ok", f"{found}, which {config} or ~/.casa/config.py names.")


def leap_seconds(today: date | None = None) -> Finding:
    """Check the age of the leap-second and IERS tables."""
    today = today or datetime.now(UTC).date()
    tables: dict[str, tuple[date, str]] = {}
    for folder in data_folders():
        tables = tables or measures_tables(folder)
    if "TAI_UTC" not in tables:
        message = "CASA's data have no leap-second table."
        return Finding("leap seconds", "missing", message, "Run 'pip install casadata' (350 MB).")
    dated = min(day for day, _ in tables.values())
    versions = ", ".join(f"{name} of {day.isoformat()}" for name, (day, _) in sorted(tables.items()))
    if (today - dated).days <= _OLD_DAYS:
        return Finding("leap seconds", "ok", f"CASA's time tables are recent: {versions}.")
    message = (
        f"CASA's time tables are older than a year ({versions}), so CASA logs 'Leap second table TAI_UTC seems"
        f" out-of-date'. Data observed before {dated.isoformat()} are not affected. For later data, leap seconds that"
        " were announced since are not known, and Earth orientation is predicted or absent. Every record names these"
        " tables."
    )
    remedy = (
        "Run 'pip install --upgrade casadata'. If that is the newest already, name a data folder that CASA keeps up to"
        " date as measurespath in ~/.casa/config.py."
    )
    return Finding("leap seconds", "warning", message, remedy)


def casacore() -> Finding:
    """Check the import of python-casacore."""
    answer = _in_child(_IMPORT_CASACORE)
    if "kind" not in answer:
        return Finding("python-casacore", "ok", f"python-casacore {installed_version('python-casacore')} loads.")
    message = f"Tables are read through CASA itself, three times slower: {answer['message']}"
    return Finding("python-casacore", "warning", message, "Run 'pip install python-casacore'.")


def confinement() -> Finding:
    """Check the confinement of CASA, without which no crate of a stranger is replayed."""
    version = landlock_version()
    if version:
        return Finding("confinement", "ok", f"A replay confines CASA to its work folder (Landlock {version}).")
    message = "This system cannot confine CASA, so 'casaprov replay' refuses to run crates."
    remedy = (
        "It needs Linux 5.13 or later with Landlock (see 'cat /sys/kernel/security/lsm'); a crate that you trust"
        " can be replayed with --unconfined."
    )
    return Finding("confinement", "warning", message, remedy)


CHECKS: tuple[Check, ...] = (casa, shell, data, leap_seconds, casacore, confinement)


def _in_child(code: str) -> dict[str, Any]:
    """Run `code` in another Python; return the JSON object of its last line, or the kind and message of its failure."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # CASA leaves a log file in its working directory.
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        command = [sys.executable, "-c", code]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_IMPORT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"kind": "Timeout", "message": f"The import did not end within {_IMPORT_TIMEOUT_S} s."}
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    if done.returncode < 0:
        return {"kind": "Crash", "message": f"The import ended with signal {-done.returncode}."}
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return {"kind": "Error", "message": f"The import failed: {last}."}
