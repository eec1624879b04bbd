"""Checks of an archive: its settings, disks, database, kept files, replays."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from casaprov.archive.app.composition import open_parts
from casaprov.archive.settings import Settings
from casaprov.archive.work.replaying import casa_version
from casaprov.archive.work.worker import Parts
from casaprov.doctor import Check, Finding

__all__ = ["checks"]


def checks(settings: Settings) -> Sequence[Check]:
    """Return the checks of an archive with these settings; they change no more than a start does."""
    parts: list[Parts] = []

    def opened() -> Parts:
        if not parts:
            parts.append(open_parts(settings))
        return parts[0]

    checks_of_parts: tuple[Callable[[Parts], Finding], ...] = (_database, _kept_files, _jobs)
    return (
        lambda: _disk(settings),
        *((lambda act=act: act(opened())) for act in checks_of_parts),
        lambda: _address(settings),
        lambda: _identity(settings),
        lambda: _data(settings),
        lambda: _replays(settings),
    )


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.root if settings.root.exists() else settings.root.parent).free
    wanted = settings.limits.keep_free + 2 * settings.limits.max_upload
    text = f"{free / 1e9:.0f} GB are free."
    if free < settings.limits.keep_free:
        return Finding("disk", "missing", f"{text} No deposit is taken.", "Free some space, or lower limits.keep_free.")
    if free < wanted:
        return Finding("disk", "warning", f"{text} Two of the largest deposits would not fit.", "Free some space.")
    return Finding("disk", "ok", text)


def _database(parts: Parts) -> Finding:
    counts = parts.repository.counts()
    engine = parts.repository.engine
    return Finding("database", "ok", f"{engine.dialect.name}, {sum(counts.values())} deposits.")


def _kept_files(parts: Parts) -> Finding:
    if errors := parts.storage.validate():
        remedy = "Start the archive: it mends what a kill left. Restore what is damaged from a backup."
        return Finding("kept files", "missing", f"{len(errors)} errors: {errors[0][:200]}", remedy)
    return Finding("kept files", "ok", "Every file has its digest.")


def _jobs(parts: Parts) -> Finding:
    waited = parts.repository.oldest_wait()
    if waited > 3600:
        return Finding(
            "jobs",
            "warning",
            f"A deposit has waited for {waited / 3600:.1f} h.",
            "Does the archive run? More workers help.",
        )
    return Finding("jobs", "ok", "No deposit has waited for long.")


def _address(settings: Settings) -> Finding:
    if settings.url.startswith("https://"):
        return Finding("address", "ok", settings.url)
    return Finding(
        "address",
        "warning",
        f"{settings.url}: tokens are sent without encryption.",
        "Set url, behind a proxy with TLS.",
    )


def _identity(settings: Settings) -> Finding:
    if not settings.identity.issuer:
        return Finding(
            "identity",
            "warning",
            "There is no OpenID provider: one token for all.",
            "Set identity.issuer in archive.toml.",
        )
    import requests

    url = f"{settings.identity.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found = requests.get(url, timeout=10).json()
    except (requests.RequestException, ValueError):
        return Finding("identity", "missing", f"{url} does not answer.", "Check identity.issuer in archive.toml.")
    if not isinstance(found, dict) or found.get("issuer", "").rstrip("/") != settings.identity.issuer.rstrip("/"):
        return Finding(
            "identity", "missing", f"{url} names another issuer.", "Write identity.issuer as it names itself."
        )
    return Finding("identity", "ok", settings.identity.issuer)


def _data(settings: Settings) -> Finding:
    if missing := [folder for folder in settings.replay.data if not Path(folder).is_dir()]:
        return Finding("data", "missing", f"There is no folder {missing[0]}.", "Correct replay.data in archive.toml.")
    if not settings.replay.data:
        return Finding("data", "warning", "No folders of observations: few crates can be replayed.", "Set replay.data.")
    return Finding("data", "ok", f"{len(settings.replay.data)} folders.")


def _replays(settings: Settings) -> Finding:
    if not settings.replay.enabled:
        return Finding("replays", "warning", "They are turned off.", "Set replay.enabled = true.")
    version = casa_version(settings.replay)
    if not version:
        return Finding(
            "replays", "missing", "The Python of the replays has no CASA.", "Set replay.python, or install it."
        )
    python = settings.replay.python or sys.executable
    done = subprocess.run(
        [python, "-P", "-m", "casaprov", "doctor", "--json"], check=False, capture_output=True, text=True
    )
    if done.returncode:
        return Finding("replays", "warning", f"CASA {version}; more is missing.", f"See: {python} -m casaprov doctor")
    return Finding("replays", "ok", f"CASA {version}.")
