"""The notebook as a workflow of REANA (https://docs.reana.io/reference/reana-yaml/)."""

from __future__ import annotations

import json
import shlex
from typing import Any

from casaprov.crates.layout import ENVIRONMENT, Manifest
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document

__all__ = ["reana_text", "reana_workflow"]

_IMAGE = "docker.io/mambaorg/micromamba:2.0.5"


def reana_workflow(document: Document, manifest: Manifest) -> dict[str, Any]:
    """Return the content of ``reana.yaml``: build the environment, then run all cells."""
    notebook = shlex.quote(manifest.notebook)
    run = f"python {notebook}" if manifest.is_script else f"jupyter execute --inplace {notebook}"
    inside = "micromamba run --name base"
    folders = ["inputs"] if any((item.path or "").startswith("inputs/") for item in manifest.items) else []
    return {
        "version": "0.9.0",
        "inputs": {"files": [manifest.notebook, ENVIRONMENT], "directories": folders},
        "workflow": {
            "type": "serial",
            "specification": {
                "steps": [
                    {
                        "name": "notebook",
                        "environment": _IMAGE,
                        "commands": [
                            f"micromamba install --yes --name base --file {ENVIRONMENT}",
                            f"{inside} {run}",
                        ],
                    }
                ]
            },
        },
        "outputs": _outputs(document, manifest),
    }


def _outputs(document: Document, manifest: Manifest) -> dict[str, list[str]]:
    """Return the files and tables that the calls left in the folder of the notebook."""
    made = [entity for entity in Lineage(document).products() if not entity.path.startswith(("/", ".."))]
    files = [entity.path for entity in made if entity.kind in ("FITS", "File")]
    return {"files": [manifest.notebook, *files], "directories": [e.path for e in made if e.path not in files]}


def reana_text(document: Document, manifest: Manifest) -> bytes:
    """Return ``reana.yaml``. YAML takes JSON as it is."""
    return (json.dumps(reana_workflow(document, manifest), indent=2, ensure_ascii=False) + "\n").encode()
