"""The child process in which roc-validator runs: ``python -m casaprov.profiles.validator CRATE FOLDER SCHEMAS``.

It is confined before it loads anything: it may write in FOLDER, and reach no network. The contexts that a crate
names are in the cache of the validator, so it asks nobody for them. SCHEMAS holds them, and the profile of CASA
notebooks, which builds on those that the validator brings.
"""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from casaprov.confinement.kernel_rules import confine
from casaprov.errors import ConfinementMissing
from casaprov.terms import CONFORMANCES, WORKFLOW_RUN_CONTEXT

__all__ = ["SKIPPED", "main"]

SKIPPED = ("process-run-crate-0.5_5.1",)
"""Checks that no crate of a notebook can meet: an absolute URI of each tool. Tasks of CASA have none of their own."""

_PROFILE, _NEWER_PROFILE = "casa-notebook-run-crate-0.1", "ro-crate-1.3"
"""Profile of a crate, and of one by Workflow Run Crate 0.6, of which the validator knows only the base."""

_CONTEXTS = {c.context: f"ro-crate-{c.ro_crate}.jsonld" for c in CONFORMANCES.values()}
_CONTEXTS[WORKFLOW_RUN_CONTEXT] = "workflow-run.jsonld"
_METADATA = "ro-crate-metadata.json"
_READABLE = ("/usr", "/lib", "/lib64", "/etc", "/proc/self", sys.prefix, sys.base_prefix)


def main() -> None:
    """Validate a crate and write the findings."""
    crate, folder, schemas = map(Path, sys.argv[1:])
    contexts = {url: (schemas / "contexts" / name).read_bytes() for url, name in _CONTEXTS.items()}
    profiles = schemas / "profiles"
    os.environ |= {"TMPDIR": str(folder), "HOME": str(folder)}
    os.chdir(folder)
    package = Path(__file__).resolve().parents[1]
    with suppress(ConfinementMissing):  # casaprov's own checks have found nothing unsafe
        confine(write=[folder], read=[crate, package, profiles, *map(Path, _READABLE)])
    warnings.simplefilter("ignore")  # rdflib warns of its own deprecations
    (folder / "findings.json").write_text(json.dumps(_findings(crate, _cache(contexts, folder), profiles)), "utf-8")


def _cache(contexts: dict[str, bytes], folder: Path) -> Path:
    """Fill a cache of the validator with the contexts; return its path."""
    import requests
    from requests.adapters import HTTPAdapter
    from requests_cache import CachedSession
    from urllib3.response import HTTPResponse

    path = folder / "roc_http_cache"
    session = CachedSession(cache_name=str(path), backend="sqlite", expire_after=-1)
    for url, text in contexts.items():
        headers = {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(body=io.BytesIO(text), headers=headers, status=200, preload_content=False)
        request = session.prepare_request(requests.Request("GET", url))
        session.cache.save_response(HTTPAdapter().build_response(request, raw))
    session.cache.close()  # type: ignore[no-untyped-call]
    return path


def _is_newer(crate: Path) -> bool:
    """Return True if the description conforms to Workflow Run Crate 0.6."""
    if crate.is_dir():
        text = (crate / _METADATA).read_bytes()
    else:
        with zipfile.ZipFile(crate) as archive:
            text = archive.read(_METADATA) if _METADATA in archive.namelist() else b""
    return CONFORMANCES["0.6"].context.encode() in text


def _findings(crate: Path, cache: Path, profiles: Path) -> list[dict[str, Any]]:
    from rocrate_validator import models, services

    settings = services.ValidationSettings(
        rocrate_uri=str(crate),
        cache_path=cache,
        offline=True,
        profile_identifier=_NEWER_PROFILE if _is_newer(crate) else _PROFILE,
        extra_profiles_path=profiles,
        requirement_severity=models.Severity.RECOMMENDED,
        skip_checks=list(SKIPPED),
    )
    return [
        {
            "check": issue.check.identifier,
            "entity": str(issue.violatingEntity or ""),
            "message": str(issue.message or issue.check.name),
            "required": issue.severity >= models.Severity.REQUIRED,
        }
        for issue in services.validate(settings).get_issues()
    ]


if __name__ == "__main__":
    main()
