"""IRIs, profile URLs and media types of crates and records: constants only."""

from __future__ import annotations

from typing import Final

__all__ = [
    "BUILD_INSTRUCTIONS_CONTEXT",
    "CASAPROV",
    "CASA_DOCS",
    "CASA_PAPER",
    "CASA_PAPER_TITLE",
    "CONDA_ENVIRONMENT",
    "CONTENT_DIGEST",
    "JUPYTER",
    "MEDIA_TYPES",
    "PARAMETER_PROFILE",
    "PROFILES",
    "PROGRAMMING_LANGUAGE",
    "PYTHON_MEDIA_TYPE",
    "ROCRATE_CONTEXT",
    "ROCRATE_PROFILE",
    "ROCRATE_VERSION",
    "SCHEMAS",
    "STATUS_COMPLETED",
    "STATUS_FAILED",
    "UNKNOWN_MEDIA_TYPE",
    "VOPROV",
    "WORKFLOW_PROFILE",
    "WORKFLOW_ROCRATE_PROFILE",
    "WORKFLOW_RUN",
    "WORKFLOW_RUN_CONTEXT",
]

CASAPROV: Final = "https://w3id.org/casaprov"
"""Base of casaprov's own IRIs."""

SCHEMAS: Final = f"{CASAPROV}/schemas"
"""``$id`` of the JSON Schemas, without the name."""

CONTENT_DIGEST: Final = f"{CASAPROV}/terms#content-digest"
"""``propertyID`` of the digest of an entity's scientific content."""

VOPROV: Final = "http://www.ivoa.net/documents/ProvenanceDM/index.html#"
"""Namespace of the IVOA Provenance Data Model, as the package ``voprov`` writes it."""

BUILD_INSTRUCTIONS_CONTEXT: Final = {"buildInstructions": "https://codemeta.github.io/terms/buildInstructions"}
"""CodeMeta's term, which Provenance Run Crate takes, and RO-Crate 1.1 has only if it is added to the context."""

CONDA_ENVIRONMENT: Final = (
    "https://conda.io/projects/conda/en/latest/user-guide/tasks/manage-environments.html#create-env-file-manually"
)
"""Page about the form of an environment file."""

CASA_DOCS: Final = "https://casadocs.readthedocs.io/en/stable/api/casatasks.html"
CASA_PAPER: Final = "https://doi.org/10.1088/1538-3873/ac9642"
CASA_PAPER_TITLE: Final = "CASA, the Common Astronomy Software Applications for Radio Astronomy"

ROCRATE_VERSION: Final = "1.1"
ROCRATE_PROFILE: Final = f"https://w3id.org/ro/crate/{ROCRATE_VERSION}"
WORKFLOW_ROCRATE_PROFILE: Final = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
ROCRATE_CONTEXT: Final = f"{ROCRATE_PROFILE}/context"
WORKFLOW_RUN: Final = "https://w3id.org/ro/terms/workflow-run"
"""Base of the terms of Workflow Run Crate."""

WORKFLOW_RUN_CONTEXT: Final = f"{WORKFLOW_RUN}/context"

PROFILES: Final = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    WORKFLOW_ROCRATE_PROFILE: ("Workflow RO-Crate", "1.0"),
}
"""Profiles to which a casaprov crate conforms: name and version by IRI."""

WORKFLOW_PROFILE: Final = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
PARAMETER_PROFILE: Final = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
JUPYTER: Final = "https://jupyter.org/"
PROGRAMMING_LANGUAGE: Final = "https://www.python.org/"
PYTHON_MEDIA_TYPE: Final = "text/x-python"
"""Media type of scripts; not in MEDIA_TYPES, since the descriptions of earlier crates follow from these."""


STATUS_COMPLETED: Final = "http://schema.org/CompletedActionStatus"
STATUS_FAILED: Final = "http://schema.org/FailedActionStatus"

UNKNOWN_MEDIA_TYPE: Final = "application/octet-stream"
MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".fit": "application/fits",
    ".fits": "application/fits",
    ".fts": "application/fits",
    ".html": "text/html",
    ".ipynb": "application/x-ipynb+json",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".listobs": "text/plain",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".uvfits": "application/fits",
}
"""Media type by lower-case file suffix."""
