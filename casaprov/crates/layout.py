"""The layout of a crate, and its list of contents.

::

    ro-crate-metadata.json        the description, derived from the records
    ro-crate-preview.html         a page for readers
    README.md                     an introduction, and how to replay it
    .binder/                      the environment that the calls ran in, for programs that build it
    <notebook>.ipynb              or <script>.py
    records/document.json         the Document
    records/crate.json            the Manifest: the list of what is shipped, with reasons
    records/trees/<64 hex>.json   digest tree of a content
    records/scripts/<64 hex>.py   Python file that calls came from, by the digest of its bytes
    parameters/06-gaincal.json    all parameters of the sixth call
    logs/06-gaincal.log           the CASA log of that call
    products/<path>               products, by their path in the session's folder
    inputs/<path>                 inputs that were shipped on demand
    inputs/_states/<id>/<name>    states in between that no task can make again, by the id of the Entity
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from casaprov.credits.model import Credits
from casaprov.hashing import Digest
from casaprov.records.model import Activity, Agent, Document, Entity
from casaprov.terms import CONFORMANCES, Conformance

__all__ = [
    "CRATE_FORMAT",
    "DOCUMENT",
    "ENVIRONMENT",
    "EXTRAS",
    "MANIFEST",
    "METADATA",
    "OWN_FOLDERS",
    "PREVIEW",
    "README",
    "SCRIPTS",
    "TREES",
    "CrateFile",
    "CrateItem",
    "Manifest",
    "call_names",
    "is_record",
    "log_path",
    "metadata_text",
    "own_files",
    "parameters",
    "parameters_path",
    "script_digests",
    "script_name",
    "shipped_path",
    "state_path",
    "tree_name",
]

CRATE_FORMAT: Final = "casaprov/crate/2"
METADATA: Final = "ro-crate-metadata.json"
PREVIEW: Final = "ro-crate-preview.html"
README: Final = "README.md"
DOCUMENT: Final = "records/document.json"
MANIFEST: Final = "records/crate.json"
TREES: Final = "records/trees/"
SCRIPTS: Final = "records/scripts/"
ENVIRONMENT: Final = ".binder/environment.yml"
EXTRAS: Final = (ENVIRONMENT, ".binder/apt.txt", "codemeta.json", "reana.yaml")
"""Files that a crate may have beside its records, for programs of others."""

OWN_FOLDERS: Final = ("inputs", "logs", "parameters", "products", "records")
"""Folders of a crate in which every file belongs to the records."""


@dataclass(frozen=True, kw_only=True)
class CrateFile:
    """A file of a crate: its path there, the digest of its bytes, and its size."""

    path: str
    sha256: Digest
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class CrateItem:
    """The decision about one Entity.

    Attributes
    ----------
    path
        Its path in the crate, with a final ``/`` for a directory; None if it
        is only referenced.
    reason
        Why it is shipped or not.
    """

    entity: str
    decision: Literal["shipped", "referenced"]
    reason: str
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of a crate beside its records; stored as ``records/crate.json``.

    Attributes
    ----------
    license, authors
        In crates of format 1; later ones have `credits`.
    commit
        Commit of the repository that holds this notebook, but for its outputs.
    repository
        Address of the repository, if anybody can open it; else the address by which Software Heritage names the
        content of the notebook.
    preview
        The page for readers, as it was written. Archives replace it by one of their own.
    extras
        Files for running the notebook elsewhere and for catalogues: :data:`EXTRAS`.
    profile
        Version of Workflow Run Crate that the description conforms to.
    connections
        The description says which parameters of tasks are connected. Crates of format 2 that were written before do not.
    files
        Every file inside a directory of the crate (a table, the digest
        trees). Files that stand alone are listed, with their digests, in
        ``ro-crate-metadata.json``: thousands of table files would drown it.
    """

    notebook: str
    title: str
    license: str = ""
    authors: tuple[Agent, ...] = ()
    credits: Credits = field(default_factory=Credits)
    commit: str = ""
    repository: str = ""
    items: tuple[CrateItem, ...] = ()
    files: tuple[CrateFile, ...] = ()
    preview: CrateFile | None = None
    extras: tuple[str, ...] = ()
    profile: Literal["0.5", "0.6"] = "0.5"
    connections: bool = False
    format: Literal["casaprov/crate/1", "casaprov/crate/2"] = CRATE_FORMAT

    @property
    def is_script(self) -> bool:
        """True if the workflow is a Python script, not a notebook."""
        return self.notebook.endswith(".py")

    @property
    def is_first_format(self) -> bool:
        """True for a crate of casaprov 0.1.0, whose description has other statements."""
        return self.format == "casaprov/crate/1"

    @property
    def stated_license(self) -> str:
        """SPDX identifier or address of the licence; empty if none is stated."""
        return self.license or self.credits.license

    @property
    def conformance(self) -> Conformance:
        """Everything that the description conforms to."""
        return CONFORMANCES[self.profile]

    def shipped(self) -> Mapping[str, str]:
        """Return the path in the crate of each shipped Entity, by its id."""
        return {item.entity: item.path for item in self.items if item.path is not None}


def call_names(document: Document) -> dict[str, str]:
    """Return a short name of every call, ``06-gaincal``, by Activity id; the names sort in order of time."""
    numbers = document.call_numbers
    width = max(2, len(str(len(document.activities))))
    return {a.id: f"{numbers[a.id]:0{width}d}-{_plain(a)}" for a in document.activities}


def _plain(activity: Activity) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", activity.task)[:100] or "call"


def parameters(activity: Activity) -> dict[str, Any]:
    """Return the content of the file with the parameters of a call."""
    return {"task": activity.task, "given": list(activity.given), "parameters": activity.parameters}


def metadata_text(metadata: Mapping[str, Any]) -> bytes:
    """Return the bytes of a description; two spaces for each level would make it a tenth longer."""
    return json.dumps(metadata, indent=1, ensure_ascii=False, allow_nan=False).encode()


def parameters_path(call_name: str) -> str:
    """Return the path of the file with all parameters of a call."""
    return f"parameters/{call_name}.json"


def log_path(call_name: str) -> str:
    """Return the path of the log segment of a call."""
    return f"logs/{call_name}.log"


def tree_name(digest: Digest) -> str:
    """Return the path of the digest tree of a content."""
    return f"{TREES}{digest.removeprefix('sha256:')}.json"


def script_name(digest: Digest) -> str:
    """Return the path of a Python file that calls came from."""
    return f"{SCRIPTS}{digest.removeprefix('sha256:')}.py"


def script_digests(document: Document) -> tuple[Digest, ...]:
    """Return the digests of the Python files that calls came from, in the order of their first calls."""
    lines = (line for a in document.activities if a.step is not None for line in a.step.scripts)
    return tuple(dict.fromkeys(line.digest for line in lines))


def is_record(name: str) -> bool:
    """Return True for the name in a zip of a file that the records of a crate are read from, wherever the crate lies."""
    *folders, file = PurePosixPath(name).parts or ("",)
    return "records" in folders or file == "bagit.txt"


def own_files(document: Document, manifest: Manifest) -> list[str]:
    """Return the paths of the files that stand alone in a crate with these records, but for its description."""
    names = call_names(document)
    parameter_files = [parameters_path(names[activity.id]) for activity in document.activities]
    logs = [log_path(names[activity.id]) for activity in document.activities if activity.log is not None]
    shipped = [item.path for item in manifest.items if item.path is not None and not item.path.endswith("/")]
    scripts = map(script_name, script_digests(document))
    own = [manifest.notebook, README, DOCUMENT, MANIFEST, *manifest.extras]
    return [*own, *parameter_files, *logs, *scripts, *shipped]


def shipped_path(entity: Entity, *, directory: bool) -> str:
    """Return the path of a shipped Entity; recorded absolute paths go below ``_absolute/``."""
    top = "products" if entity.generated_by else "inputs"
    path = PurePosixPath(entity.path)
    inside = PurePosixPath("_absolute", *path.parts[1:]) if path.is_absolute() else path
    return f"{top}/{inside}" + ("/" if directory else "")


def state_path(entity: Entity, *, directory: bool) -> str:
    """Return the path of a state in between, whose path in the session's folder has another content by now."""
    return f"inputs/_states/{entity.id}/{PurePosixPath(entity.path).name}" + ("/" if directory else "")
