"""The writer of a crate: streams the files into a zip in a fixed order, and describes them last."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.dataset import Dataset
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

from casaprov import terms
from casaprov.crates.actions import last_time
from casaprov.crates.graph import crate_graph
from casaprov.crates.layout import (
    DOCUMENT,
    MANIFEST,
    METADATA,
    PREVIEW,
    README,
    TREES,
    CrateFile,
    Manifest,
    call_names,
    log_path,
    metadata_text,
    parameters,
    parameters_path,
    script_digests,
    script_name,
    tree_name,
)
from casaprov.crates.nodes import Node
from casaprov.crates.payload import PayloadItem, members
from casaprov.crates.readme import readme
from casaprov.errors import RecordError
from casaprov.hashing import Digest
from casaprov.journal.folder import script_path, tree_path, trees_folder
from casaprov.records.model import Activity, Document
from casaprov.records.serialise import unstructure

__all__ = ["CrateWriter", "metadata_document"]

_CHUNK = 2**20
_LOST_LOG = "The CASA log of the call was no longer in the journal when it was exported."


class CrateWriter:
    """Writes a crate into a zip. The same records and files give the same bytes.

    Parameters
    ----------
    archive
        An empty zip, open for writing.
    document
        The records; every entry of the zip gets the time at which they end.
    on_progress
        Called with the bytes of inputs and products that are written, and of all that will be.
    """

    def __init__(
        self,
        archive: zipfile.ZipFile,
        document: Document,
        on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        moment = datetime.fromisoformat(last_time(document)).timetuple()[:6]
        self._archive = archive
        self._document = document
        self._on_progress = on_progress
        self._payload = self._payload_written = 0
        # A zip knows the years from 1980 to 2107.
        self._date_time = moment if 1980 <= moment[0] <= 2107 else (1980, 1, 1, 0, 0, 0)

    def write(
        self,
        manifest: Manifest,
        notebook: bytes,
        journal: Path,
        items: Sequence[PayloadItem],
        preview: Callable[[Document, Manifest], str] | None = None,
        remarks: Sequence[str] = (),
        extras: Callable[[Document, Manifest], Mapping[str, bytes]] | None = None,
    ) -> None:
        """Write everything; the description comes last, since it holds the digests of the other files.

        Parameters
        ----------
        manifest
            The list of what the crate holds, without the files inside its directories.
        notebook
            Content of the notebook file.
        items
            The files and directories to ship, in the order of ``manifest.items``.
        preview
            Returns the page for readers; None for none.
        remarks
            Sentences for the README.
        extras
            Returns files to add, of :data:`casaprov.crates.layout.EXTRAS`; None for none.
        """
        document = _with_present_scripts(_with_present_logs(self._document, journal), journal)
        alone = [self._store(manifest.notebook, notebook)]
        names = call_names(document)
        for activity in document.activities:
            alone.append(self._store(parameters_path(names[activity.id]), _json(parameters(activity))))
            log = _log_source(journal, activity)
            if log is not None:
                alone.append(self._copy(log_path(names[activity.id]), log))
        alone += [self._copy(script_name(one), script_path(journal, one)) for one in script_digests(document)]
        inside = []
        if trees_folder(journal).is_dir():
            self._folder(TREES)
        digests = dict.fromkeys(entity.content_digest for entity in document.entities if entity.content_digest)
        trees = ((tree_name(digest), tree_path(journal, digest)) for digest in digests)
        inside += [self._copy(name, tree) for name, tree in trees if tree.is_file()]
        self._payload = sum(item.size_bytes for item in items if item.source is not None)
        for item, listed in zip(items, manifest.items, strict=True):
            if item.source is not None and listed.path is not None:
                if item.source.is_dir():
                    inside += self._copy_directory(listed.path, item.source)
                else:
                    alone.append(self._copy(listed.path, item.source))
        self._payload = 0
        manifest = replace(manifest, files=tuple(inside))
        if extras is not None:
            added = extras(document, manifest)
            alone += [self._store(path, data) for path, data in added.items()]
            manifest = replace(manifest, extras=tuple(added))
        if preview is not None:
            page = preview(document, manifest).encode()
            manifest = replace(manifest, preview=self._store(PREVIEW, page))
        alone.append(self._store(MANIFEST, _json({"format": manifest.format, **unstructure(manifest)})))
        alone.append(self._store(DOCUMENT, _json(unstructure(document))))
        alone.append(self._store(README, readme(document, manifest, notebook, remarks).encode()))
        content = metadata_document(crate_graph(document, manifest, alone), manifest.conformance)
        self._store(METADATA, metadata_text(content))

    def _copy_directory(self, path: str, source: Path) -> Iterable[CrateFile]:
        self._folder(path)
        for member in members(source):
            inside = path + member.relative_to(source).as_posix()
            if member.is_dir():
                self._folder(inside + "/")
            else:
                yield self._copy(inside, member)

    def _folder(self, path: str) -> None:
        # Folders have entries of their own: an empty folder can belong to a table, and validators look for the entries.
        self._archive.writestr(self._info(path, mode=0o40755), b"")

    def _copy(self, path: str, source: Path) -> CrateFile:
        hasher, size = hashlib.sha256(), 0
        with source.open("rb") as reader, self._open(path, source.stat().st_size) as writer:
            while data := reader.read(_CHUNK):
                hasher.update(data)
                size += len(data)
                writer.write(data)
                if self._payload:
                    self._payload_written = min(self._payload_written + len(data), self._payload)
                    self._on_progress(self._payload_written, self._payload)
        return CrateFile(path=path, sha256=Digest(f"sha256:{hasher.hexdigest()}"), size_bytes=size)

    def _store(self, path: str, data: bytes) -> CrateFile:
        with self._open(path, len(data)) as writer:
            writer.write(data)
        digest = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
        return CrateFile(path=path, sha256=digest, size_bytes=len(data))

    def _open(self, path: str, size: int) -> IO[bytes]:
        return self._archive.open(self._info(path), "w", force_zip64=size > 2**30)

    def _info(self, path: str, mode: int = 0o100644) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(path, self._date_time)
        info.compress_type = zipfile.ZIP_DEFLATED if mode & 0o100000 else zipfile.ZIP_STORED
        info.external_attr = mode << 16 | (0 if mode & 0o100000 else 0x10)
        return info


def metadata_document(nodes: Iterable[Node], conformance: terms.Conformance) -> dict[str, Any]:
    """Return the content of ``ro-crate-metadata.json`` for these entities."""
    crate = ROCrate(version=conformance.ro_crate)
    nodes = list(nodes)
    # ro-crate-py writes the context of RO-Crate only; "sha256" and "environment" are terms of a second one.
    crate.metadata.extra_contexts.extend(conformance.contexts_behind(nodes))
    own = {METADATA: crate.metadata, "./": crate.root_dataset}
    described = []
    for node in nodes:
        identifier, kind = node["@id"], node["@type"]
        is_part = not identifier.startswith("#")
        if identifier in own:
            described.append((own[identifier], node))
        elif is_part and "File" in kind:
            crate.add(File(crate, dest_path=unquote(identifier), properties=node))
        elif is_part and kind == "Dataset":
            crate.add(Dataset(crate, dest_path=unquote(identifier), properties=node))
        else:
            crate.add(ContextEntity(crate, identifier, properties=node))
    for entity, node in described:
        for key, member in node.items():
            if not key.startswith("@"):
                entity[key] = member
    content: dict[str, Any] = crate.metadata.generate()
    return content


def _with_present_logs(document: Document, journal: Path) -> Document:
    """Return the Document without logs that the journal has lost: a crate holds every log that its records name."""
    activities = tuple(
        activity
        if activity.log is None or _log_source(journal, activity)
        else replace(activity, log=None, problems=(*activity.problems, _LOST_LOG))
        for activity in document.activities
    )
    return replace(document, activities=activities)


def _with_present_scripts(document: Document, journal: Path) -> Document:
    """Return the Document without lines of Python files whose text the journal does not have."""
    lost = {digest for digest in script_digests(document) if not script_path(journal, digest).is_file()}
    activities = tuple(
        replace(a, step=replace(a.step, scripts=tuple(line for line in a.step.scripts if line.digest not in lost)))
        if a.step is not None and a.step.scripts
        else a
        for a in document.activities
    )
    return replace(document, activities=activities) if lost else document


def _log_source(journal: Path, activity: Activity) -> Path | None:
    if activity.log is None:
        return None
    path = (journal / activity.log.path).resolve()
    return path if path.is_relative_to(journal.resolve()) and path.is_file() else None


def _json(value: Any) -> bytes:
    # ASCII only: the escapes of JSON carry text that is no valid Unicode, such as file names in another encoding.
    try:
        return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"
    except ValueError as error:
        hint = "This is a fault of casaprov; please report it."
        raise RecordError(f"The record holds a number that JSON cannot express: {error}.", hint=hint) from error
