"""roc-validator without a network: its cache, filled from the JSON-LD contexts beside the project."""

from __future__ import annotations

import io
import os
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3.response import HTTPResponse

from checkout import ROOT

CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": "ro-crate-1.1.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": "workflow-run.jsonld",
}


def contexts_folder() -> Path | None:
    """Folder of the JSON-LD contexts: ``CASAPROV_TEST_CONTEXTS``, or beside the real observations."""
    root = ROOT
    observations = Path(os.environ.get("CASAPROV_TEST_DATA", root.parent / "shared" / "data" / "observations"))
    folder = Path(os.environ.get("CASAPROV_TEST_CONTEXTS", observations.parent / "contexts"))
    return folder if all((folder / name).is_file() for name in CONTEXTS.values()) else None


def seed(contexts: Path, folder: Path) -> Path:
    """Write a cache into `folder` that holds the contexts; return the path for ``--cache-path``."""
    name = folder / "roc_http_cache"
    session = CachedSession(cache_name=str(name), backend="sqlite", expire_after=-1)
    for url, file in CONTEXTS.items():
        request = session.prepare_request(requests.Request("GET", url))
        raw = HTTPResponse(
            body=io.BytesIO((contexts / file).read_bytes()),
            headers={"Content-Type": "application/ld+json"},
            status=200,
            preload_content=False,
        )
        session.cache.save_response(HTTPAdapter().build_response(request, raw))
    session.cache.close()  # type: ignore[no-untyped-call]
    return name
