"""Subjects and summary of a crate."""

from __future__ import annotations

from casaprov.crates.layout import Manifest
from casaprov.lineage.observed import observed_inputs
from casaprov.observations.summary import keywords
from casaprov.records.model import Document

__all__ = ["subjects", "summary"]


def subjects(document: Document, manifest: Manifest) -> list[str]:
    """Return the keywords that were given, then telescopes, targets and bands, each once."""
    found = keywords([row for entity in observed_inputs(document) for row in entity.observations])
    return list(dict.fromkeys((*manifest.credits.keywords, *found)))


def summary(document: Document, manifest: Manifest) -> str:
    """Return the description that was given, or a sentence about the content."""
    calls = f"{len(document.activities)} recorded CASA task calls of the notebook {manifest.notebook}"
    return manifest.credits.description or f"{calls}, with what they read and made."
