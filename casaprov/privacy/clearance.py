"""Clearance of files for a crate: secrets stop it or are masked, and home and host of its author are left out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from casaprov.crates.layout import call_names, log_path
from casaprov.crates.payload import PayloadItem
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import SecretFound
from casaprov.privacy.masked_files import Masked, masked, packing_of
from casaprov.privacy.masks import Masks
from casaprov.privacy.scan import Finding, remaining, scan
from casaprov.records.home_folder import account_name
from casaprov.records.model import Document

__all__ = ["PrivacyPolicy", "cleared"]

_HOME = re.compile(r"/(?:home|Users)/[^/]+")
_SHARED_ACCOUNTS = {
    "", "admin", "astro", "casa", "casauser", "ci", "data", "debian", "docker", "guest", "home", "jovyan", "local",
    "nobody", "notebook", "observer", "opt", "pipeline", "project", "projects", "public", "reduction", "root", "runner",
    "scratch", "share", "shared", "test", "tmp", "ubuntu", "user", "users", "usr", "var", "work",
}  # fmt: skip
"""Names of accounts that name no person, and are names of folders as well."""

_NAME_OF_A_MACHINE = re.compile(r"(?=.*[\d.-])[A-Za-z0-9.-]{5,}")


@dataclass(frozen=True, kw_only=True)
class PrivacyPolicy:
    """The rules for secrets, and for the traces of the person who packed a crate.

    Attributes
    ----------
    redact
        Put masks in place of secrets, instead of refusing to pack them.
    allow
        Pack secrets: they are none, or anybody may know them.
    keep_paths
        Keep the home folder in paths, and the name of the machine.
    """

    redact: bool = False
    allow: bool = False
    keep_paths: bool = False


@contextmanager
def cleared(
    document: Document,
    notebook: Path,
    journal: Path,
    items: tuple[PayloadItem, ...],
    policy: PrivacyPolicy,
    measure: Measure[Measurement],
) -> Iterator[tuple[Masked, tuple[str, ...]]]:
    """Give the files that may be packed, and sentences about masks; copies last as long as the context.

    Raises
    ------
    SecretFound
        If there is a secret, and the policy neither allows nor masks it.
    """
    names = {activity: log_path(name) for activity, name in call_names(document).items()}
    findings = scan(packing_of(document, notebook, journal, items, names), os.environ)
    if findings and not (policy.allow or policy.redact):
        raise SecretFound(
            f"The crate would hold {_listed(findings)}.",
            hint="Take them out and run the notebook again; or mask them with --redact; or pack them with --allow.",
        )
    secrets = frozenset(finding.secret.value for finding in findings) if policy.redact else frozenset[str]()
    masks = (
        Masks(secrets)
        if policy.keep_paths
        else Masks(secrets, homes := _homes(document), _hosts(document), _users(homes), _folders(document))
    )
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        found = masked(document, notebook, journal, items, masks, into=Path(folder), measure=measure)
        if secrets:
            packing = packing_of(found.document, found.notebook, found.journal, found.items, names)
            if left := remaining(packing, secrets):
                raise SecretFound(
                    f"Masks could not be put over {_listed(left)}.",
                    hint="Take it out of this file, or leave the file out of the crate: casaprov export --include.",
                )
        if not policy.keep_paths:
            found = replace(found, document=_without_host(found.document))
        done = "Masked" if policy.redact else "Packed, since --allow was given"
        yield found, ((f"{done}: {_listed(findings)}.",) if findings else ())


def _listed(findings: tuple[Finding, ...]) -> str:
    return "; ".join(map(str, findings))


def _homes(document: Document) -> tuple[str, ...]:
    """Return the home folders that records may name: of this user, and of the sessions."""
    found = {str(Path.home())} | {match[0] for s in document.sessions if (match := _HOME.match(s.folder))}
    return tuple(sorted(home for home in found if len(Path(home).parts) > 1))


def _hosts(document: Document) -> tuple[str, ...]:
    """Return the names of machines that cannot be words of the notebook."""
    names = {session.environment.host for session in document.sessions}
    return tuple(sorted(name for name in names if _NAME_OF_A_MACHINE.fullmatch(name)))


def _users(homes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of accounts: of this user, and of those whose homes records may name."""
    names = {Path(home).name for home in homes if Path(home).parent.name.lower() in ("home", "users")}
    names |= {os.environ.get(variable, "") for variable in ("USER", "LOGNAME")} | {account_name()}
    return tuple(sorted(names - _SHARED_ACCOUNTS))


def _folders(document: Document) -> tuple[str, ...]:
    return tuple(session.folder for session in document.sessions)


def _without_host(document: Document) -> Document:
    sessions = (replace(session, environment=replace(session.environment, host="")) for session in document.sessions)
    return replace(document, sessions=tuple(sessions))
