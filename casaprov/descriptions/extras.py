"""Files that a crate has beside its records, for programs of others."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from casaprov.crates.layout import Manifest
from casaprov.descriptions.codemeta import codemeta_record
from casaprov.descriptions.environment import environment_files
from casaprov.descriptions.workflow import reana_text
from casaprov.records.model import Document

__all__ = ["ON_DEMAND", "extra_files"]

ON_DEMAND: Final = ("codemeta", "reana")
"""Words for the files that a user asks for."""


def extra_files(document: Document, manifest: Manifest, wanted: Collection[str] = ()) -> dict[str, bytes]:
    """Return the environment, and the files that were asked for, by their path in the crate."""
    files = environment_files(document)
    manifest = replace(manifest, extras=tuple(files))
    if "codemeta" in wanted:
        text = json.dumps(codemeta_record(document, manifest), indent=2, ensure_ascii=False)
        files["codemeta.json"] = f"{text}\n".encode(errors="replace")
    if "reana" in wanted:
        files["reana.yaml"] = reana_text(document, manifest)
    return files
