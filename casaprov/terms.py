"""IRIs, profile URLs and media types of crates and records: constants only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

__all__ = [
    "BUILD_INSTRUCTIONS_CONTEXT",
    "CASAPROV",
    "CASA_DOCS",
    "CASA_PAPER",
    "CASA_PAPER_TITLE",
    "CONDA_ENVIRONMENT",
    "CONFORMANCES",
    "CONTENT_DIGEST",
    "JUPYTER",
    "MEDIA_TYPES",
    "PARAMETER_PROFILE",
    "PROGRAMMING_LANGUAGE",
    "PYTHON_MEDIA_TYPE",
    "SCHEMAS",
    "STATUS_COMPLETED",
    "STATUS_FAILED",
    "UNKNOWN_MEDIA_TYPE",
    "VOPROV",
    "WORKFLOW_PROFILE",
    "WORKFLOW_RUN",
    "WORKFLOW_RUN_CONTEXT",
    "Conformance",
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

WORKFLOW_RUN: Final = "https://w3id.org/ro/terms/workflow-run"
"""Base of the terms of Workflow Run Crate."""

WORKFLOW_RUN_CONTEXT: Final = f"{WORKFLOW_RUN}/context"


class Conformance(NamedTuple):
    """Versions that go together: of the three profiles of Workflow Run Crate, of RO-Crate, and of Workflow RO-Crate.

    RO-Crate 1.3 gave ``ComputationalWorkflow``, ``FormalParameter``, ``input`` and ``output`` other IRIs, so that a
    description has either one row or the other.
    """

    workflow_run: str
    ro_crate: str
    workflow_ro_crate: str

    @property
    def ro_crate_profile(self) -> str:
        """IRI of RO-Crate."""
        return f"https://w3id.org/ro/crate/{self.ro_crate}"

    @property
    def workflow_ro_crate_profile(self) -> str:
        """IRI of Workflow RO-Crate."""
        return f"https://w3id.org/workflowhub/workflow-ro-crate/{self.workflow_ro_crate}"

    @property
    def context(self) -> str:
        """Address of RO-Crate's context."""
        return f"{self.ro_crate_profile}/context"

    @property
    def profiles(self) -> dict[str, tuple[str, str]]:
        """Profiles to which a casaprov crate conforms: name and version by IRI."""
        own = {
            f"https://w3id.org/ro/wfrun/{name.lower()}/{self.workflow_run}": (f"{name} Run Crate", self.workflow_run)
            for name in ("Process", "Workflow", "Provenance")
        }
        return {**own, self.workflow_ro_crate_profile: ("Workflow RO-Crate", self.workflow_ro_crate)}

    @property
    def descriptor_profiles(self) -> tuple[str, ...]:
        """Profiles to which ``ro-crate-metadata.json`` conforms."""
        both = (self.ro_crate_profile, self.workflow_ro_crate_profile)
        return both if self.ro_crate == "1.1" else both[:1]

    @property
    def more_contexts(self) -> tuple[str | dict[str, str], ...]:
        """Contexts behind that of RO-Crate: that of Workflow Run Crate, and a term if RO-Crate's has it not."""
        return (WORKFLOW_RUN_CONTEXT, *([BUILD_INSTRUCTIONS_CONTEXT] if self.ro_crate == "1.1" else []))

    def contexts_behind(self, entities: Iterable[Mapping[str, Any]]) -> list[str | dict[str, str]]:
        """Return those of the further contexts that a description with these entities takes."""
        built = any("buildInstructions" in entity for entity in entities)
        return [one for one in self.more_contexts if built or one != BUILD_INSTRUCTIONS_CONTEXT]


CONFORMANCES: Final = {
    "0.5": Conformance(workflow_run="0.5", ro_crate="1.1", workflow_ro_crate="1.0"),
    "0.6": Conformance(workflow_run="0.6", ro_crate="1.3", workflow_ro_crate="1.1"),
}
"""Specifications that a description can conform to, by the version of Workflow Run Crate."""

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
