"""Crates: a Document packed as an RO-Crate, and a crate opened again.

Packing streams files of any size, ends in a rename, and gives the same bytes
for the same records and files. Opening trusts nothing
(:mod:`casaprov.untrusted.zip_file`, :mod:`casaprov.crates.checking.validation`).
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from casaprov.crates.annotation import Annotation, annotated_text, linked_text, write_copy
from casaprov.crates.checking.validation import examine_crate, examine_folder
from casaprov.crates.entities import entity_ids
from casaprov.crates.layout import (
    METADATA,
    README,
    CrateItem,
    Manifest,
    call_names,
    log_path,
    shipped_path,
    state_path,
    tree_name,
)
from casaprov.crates.payload import PayloadItem
from casaprov.crates.signatures import signed_files
from casaprov.crates.stored_records import crate_root, read_records
from casaprov.crates.writer import CrateWriter
from casaprov.credits.model import Credits
from casaprov.credits.repository import content_address
from casaprov.errors import CrateError, Issue, RecordError, UsageError, first_issues
from casaprov.files.regular import digest_file
from casaprov.hashing import Digest
from casaprov.lineage.saved_cells import notebook_notes
from casaprov.records.consistency import record_issues, value_issues
from casaprov.records.model import Activity, Agent, Document, Entity, Identifier
from casaprov.records.schema import validate_record
from casaprov.records.serialise import unstructure
from casaprov.untrusted.zip_file import Limits, clear, name_problem, unpack

__all__ = ["OpenCrate", "Packed", "annotate_crate", "link_crate", "open_crate", "pack", "sign_crate"]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A crate that was written.

    Attributes
    ----------
    digest
        Digest of the bytes of the zip.
    items
        Decisions about inputs and products: shipped or only referenced, and why.
    notes
        Sentences about calls that the notebook contradicts.
    outlook
        Sentences about how many task calls a replay can run, and why not the others.
    """

    path: Path
    size_bytes: int
    digest: Digest
    items: tuple[PayloadItem, ...]
    notes: tuple[str, ...] = ()
    outlook: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OpenCrate:
    """An unpacked crate.

    Attributes
    ----------
    folder
        The folder of the unpacked crate; below the given one if the crate is a bag or lies inside a folder.
    notebook
        The notebook inside `folder`.
    manifest
        The list of what it holds beside its records.
    notes
        Additions by others.
    """

    folder: Path
    document: Document
    notebook: Path
    manifest: Manifest
    notes: tuple[Issue, ...] = ()

    def shipped(self, entity: Entity) -> Path | None:
        """Return the file or directory of a state; None if it is only referenced, or was removed."""
        path = self.manifest.shipped().get(entity.id)
        return self.folder / path if path is not None and (self.folder / path).exists() else None

    def tree(self, entity: Entity) -> Path | None:
        """Return the file with the digest tree of a state's content; None if there is none."""
        if entity.content_digest is None:
            return None
        return self._existing(tree_name(entity.content_digest))

    def log(self, activity: Activity) -> Path | None:
        """Return the file with the CASA log of a call; None if there is none."""
        return self._existing(log_path(call_names(self.document)[activity.id]))

    def _existing(self, path: str) -> Path | None:
        return self.folder / path if (self.folder / path).is_file() else None


def pack(
    document: Document,
    *,
    notebook: Path,
    journal: Path,
    items: Sequence[PayloadItem],
    out: Path,
    title: str | None = None,
    license: str | None = None,  # noqa: A002 - the word of RO-Crate
    authors: Sequence[Agent] = (),
    credits: Credits | None = None,  # noqa: A002 - the word of films and crates
    commit: str = "",
    repository: str = "",
    preview: Callable[[Document, Manifest], str] | None = None,
    remarks: Sequence[str] = (),
    extras: Callable[[Document, Manifest], Mapping[str, bytes]] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    profile: Literal["0.5", "0.6"] = "0.5",
) -> Packed:
    """Write a crate.

    Parameters
    ----------
    document
        The records; at least one call.
    notebook
        The notebook file.
    journal
        Folder of the journal, with logs and digest trees.
    items
        The decisions of :func:`casaprov.crates.payload.choose_payload`.
    out
        The zip. An existing file is replaced when the new one is complete.
    title
        Name of the crate; by default that of the notebook.
    license
        SPDX identifier or URL.
    authors
        People to name as authors, beside those of `credits`.
    credits
        People, rights and description.
    commit, repository
        The commit that holds the notebook, and the public address of its repository; by default the address by
        which Software Heritage names this content.
    preview
        Returns the page for readers; None for none.
    remarks
        Sentences for the README about what the notebook, run from the top, would not give in the same way.
    extras
        Returns files to add, of :data:`casaprov.crates.layout.EXTRAS`; None for none.
    on_progress
        Called with the bytes of inputs and products that are written, and of all that will be.
    profile
        Version of Workflow Run Crate that the description conforms to.

    Raises
    ------
    UsageError
        If there is no such notebook, or `out` cannot be the name of a crate.
    RecordError
        If the records hold no call, do not fit their schema, or contradict
        each other.
    CrateError
        If the crate cannot be written; nothing is left of it then.
    """
    _check_request(document, notebook, out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        saved = notebook.read_bytes()
        with part.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
            manifest = Manifest(
                notebook=notebook.name,
                title=title or notebook.stem,
                license=license or "",
                authors=tuple(authors),
                credits=credits or Credits(),
                commit=commit,
                repository=repository or content_address(saved),
                items=tuple(map(_crate_item, items)),
                profile=profile,
                connections=True,
            )
            CrateWriter(archive, document, on_progress).write(manifest, saved, journal, items, preview, remarks, extras)
        part.replace(out)
    except OSError as error:
        raise _unwritten(out, error) from error
    finally:
        part.unlink(missing_ok=True)
    return Packed(
        path=out,
        size_bytes=out.stat().st_size,
        digest=digest_file(out),
        items=tuple(items),
        notes=notebook_notes(saved, document, notebook.name),
    )


def open_crate(
    path: Path,
    into: Path,
    *,
    verify: bool = True,
    limits: Limits | None = None,
    only: Callable[[str], bool] = lambda _: True,
) -> OpenCrate:
    """Open a crate from anywhere.

    Parameters
    ----------
    path
        A zip, or the folder of a crate that was unpacked before.
    into
        Folder to unpack a zip into; it is empty or does not exist. Not used if
        `path` is a folder.
    verify
        Check every digest, and that the description follows from the records.
        The records are checked for contradictions in any case.
    limits
        Limits of the crate's size.
    only
        Returns True for the names in a zip to unpack (:func:`casaprov.crates.layout.is_record`); nothing that is not
        unpacked can be verified.

    Raises
    ------
    CrateError
        If the crate is unsafe, damaged, without records, or was changed after
        it was packed; nothing is left in `into` then.
    RecordError
        If its records do not fit their schemas.
    NoSpace
        If there is no space to unpack it.
    UsageError
        If there is no crate `path`, or `into` is not empty.
    """
    if path.is_dir():
        return _opened(path, path, limits, verify=verify)
    existed = into.exists()
    unpack(path, into, limits, only=only)
    try:
        return _opened(path, into, limits, verify=verify)
    except BaseException:
        clear(into, remove=not existed)
        raise


def annotate_crate(path: Path, out: Path, annotation: Annotation) -> tuple[Issue, ...]:
    """Write a copy of a valid crate with an annotation, and return the notes about the copy.

    Raises
    ------
    UsageError
        If there is no crate `path`, or `out` exists or has no folder.
    CrateError
        If the crate is not valid, or the copy cannot be written; nothing is left of it then.
    """

    def changes(_crate: OpenCrate, place: str) -> dict[str, bytes]:
        return {place + METADATA: annotated_text(path, place + METADATA, annotation)}

    return _copy_with(path, out, changes, "The annotation cannot be added")


def link_crate(
    path: Path, out: Path, links: Callable[[Document], Mapping[str, tuple[Identifier, ...]]]
) -> tuple[Issue, ...]:
    """Write a copy of a valid crate with identifiers of its inputs in archives, and return the notes about the copy.

    Parameters
    ----------
    links
        Returns the identifiers by Entity id, from the records.

    Raises
    ------
    UsageError
        If there is no crate `path`, or `out` exists or has no folder.
    CrateError
        If the crate is not valid, or the copy cannot be written; nothing is left of it then.
    """

    def changes(crate: OpenCrate, place: str) -> dict[str, bytes]:
        ids = entity_ids(crate.document, crate.manifest)
        found = {ids[entity]: known for entity, known in links(crate.document).items()}
        return {place + METADATA: linked_text(path, place + METADATA, found)}

    return _copy_with(path, out, changes, "The link cannot be added")


def sign_crate(path: Path, out: Path, key: Path) -> tuple[Issue, ...]:
    """Write a copy of a valid crate with one more signature, and return the notes about the copy.

    Parameters
    ----------
    key
        A private key of SSH, or the public one of a key that an agent holds.

    Raises
    ------
    UsageError
        If there is no crate `path`, `out` exists or has no folder, or the key signs nothing.
    CrateError
        If the crate is not valid, or the copy cannot be written; nothing is left of it then.
    """

    def changes(crate: OpenCrate, place: str) -> dict[str, bytes]:
        return {place + name: data for name, data in signed_files(crate.folder, crate.manifest, key).items()}

    return _copy_with(path, out, changes, "The signature cannot be added")


def _copy_with(
    path: Path, out: Path, changes: Callable[[OpenCrate, str], dict[str, bytes]], failure: str
) -> tuple[Issue, ...]:
    """Write a copy of a valid crate with changes, and return the notes about it.

    Parameters
    ----------
    changes
        Returns the files to change or add, from the crate and the path of its folder in the zip.
    """
    if out.exists() or out.is_symlink() or not out.parent.is_dir():
        why = "exists" if out.parent.is_dir() else "lies in a folder that does not exist"
        raise UsageError(f"The crate cannot be written: {out} {why}.", hint="Name a new file or folder with --output.")
    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        into = path if path.is_dir() else Path(folder)
        opened = open_crate(path, into)
        below = opened.folder.relative_to(into).as_posix()
        changed = changes(opened, "" if below == "." else f"{below}/")
    try:
        write_copy(path, out, changed)
        if issues := (findings := examine_crate(out)).errors:
            raise CrateError(f"{failure} to {path}: {first_issues(issues)}", issues)
    except BaseException as error:
        _remove(out)
        if isinstance(error, OSError):
            raise _unwritten(out, error) from error
        raise
    return findings.notes


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_request(document: Document, notebook: Path, out: Path) -> None:
    if not notebook.is_file():
        raise UsageError(f"There is no notebook {notebook}.", hint="Check the name.")
    if notebook.name in (METADATA, README) or name_problem(notebook.name):
        raise UsageError(f"A notebook in a crate cannot be called {notebook.name!r}.", hint="Rename it first.")
    if out.is_dir() or not out.parent.is_dir():
        why = "is a folder" if out.is_dir() else "lies in a folder that does not exist"
        raise UsageError(f"The crate cannot be written: {out} {why}.", hint="Name a file, for example reduction.zip.")
    if not document.activities:
        hint = "Run its cells with recording on, then export again."
        raise RecordError(f"The record of {notebook} holds no task call.", hint=hint)
    # Crates are checked in the same way when they are written and when they are read.
    validate_record(unstructure(document), "document-1")
    if issues := record_issues(document):
        hint = "Run the notebook again and export that; please report this as a bug of casaprov."
        raise RecordError(f"The record of {notebook} contradicts itself: {issues[0]}", hint=hint)
    if issues := tuple(value_issues(document)):
        raise RecordError(issues[0].message, hint="Call the task without it, run the notebook again and export that.")


def _crate_item(item: PayloadItem) -> CrateItem:
    place = state_path if item.in_between else shipped_path
    path = None if item.source is None else place(item.entity, directory=item.source.is_dir())
    return CrateItem(entity=item.entity.id, decision=item.decision, reason=item.reason, path=path)


def _opened(path: Path, folder: Path, limits: Limits | None, *, verify: bool) -> OpenCrate:
    root = crate_root(folder) if folder.is_dir() else folder
    document, manifest = read_records(root)
    findings = examine_folder(folder, limits, checksums=verify)
    if issues := findings.errors:
        problem = "is not what its author packed" if verify else "cannot be used, with or without checksums"
        hint = f"Get it again, or see 'casaprov validate {path}'."
        raise CrateError(f"{path} {problem}: {first_issues(issues)}", issues, hint=hint)
    return OpenCrate(
        folder=root, document=document, notebook=root / manifest.notebook, manifest=manifest, notes=findings.notes
    )


def _unwritten(out: Path, error: OSError) -> CrateError:
    if error.errno in _NO_SPACE:
        free = shutil.disk_usage(out.parent).free
        hint = f"{free / 1e6:.0f} MB are free there. Make space, or write the crate to another disk."
        return CrateError(f"There is no space left to write the crate {out}.", hint=hint)
    where = f" ({error.filename})" if error.filename else ""
    hint = "Nothing was written. Check that the file can be read and the folder written."
    return CrateError(f"The crate {out} cannot be written: {error.strerror or error}{where}.", hint=hint)
