"""Masked copies of a notebook, its logs and its products, and a record that agrees with them.

Cells, return values and products have digests in the record. They are computed again for what was masked, and the old
ones are replaced wherever they stand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from casaprov.crates.layout import script_digests, script_name, shipped_path, state_path
from casaprov.crates.payload import PayloadItem
from casaprov.digests.measurement import Measure, Measurement
from casaprov.errors import RecordError
from casaprov.hashing import Digest, digest_bytes, digest_record
from casaprov.journal.folder import script_path, store_bytes, store_tree, tree_path, trees_folder
from casaprov.lineage.saved_cells import source_digest
from casaprov.privacy.masks import Masks
from casaprov.privacy.scan import Packing
from casaprov.privacy.split import is_wrapped
from casaprov.records.model import Document
from casaprov.records.serialise import structure, unstructure
from casaprov.records.values import is_exact
from casaprov.scripts.cells import as_notebook, decoded, is_script
from casaprov.untrusted.parsing.bounded_json import parse_json

__all__ = ["Masked", "masked", "packing_of"]


@dataclass(frozen=True, kw_only=True)
class Masked:
    """A notebook with its journal, record and products, all with masks."""

    document: Document
    notebook: Path
    journal: Path
    items: tuple[PayloadItem, ...]


def packing_of(
    document: Document, notebook: Path, journal: Path, items: tuple[PayloadItem, ...], names: Mapping[str, str]
) -> Packing:
    """Return everything that is to be packed.

    Parameters
    ----------
    names
        Name of the log of each call in the crate, by Activity id.
    """
    logs = {names[a.id]: journal / a.log.path for a in document.activities if a.log is not None}
    files: dict[str, Path] = {}
    for item in items:
        if item.source is not None:
            place = state_path if item.in_between else shipped_path
            top = place(item.entity, directory=item.source.is_dir())
            files |= {f"{top}{path}": item.source / path for path in _files(item.source)} or {top: item.source}
    logs |= {script_name(digest): script_path(journal, digest) for digest in script_digests(document)}
    present = {name: path for name, path in logs.items() if path.is_file()}
    return Packing(document=document, notebook=notebook.read_bytes(), logs=present, files=files)


def masked(
    document: Document,
    notebook: Path,
    journal: Path,
    items: tuple[PayloadItem, ...],
    masks: Masks,
    *,
    into: Path,
    measure: Measure[Measurement],
) -> Masked:
    """Mask a notebook, its logs, its record and its products.

    What holds nothing to mask is left where it is.

    Parameters
    ----------
    into
        An empty folder for the copies.
    measure
        Measures a product after it was masked.

    Raises
    ------
    RecordError
        If a product cannot be masked.
    """
    content = _notebook_content(notebook)
    texts = _texts(document, journal, masks)
    new_items, trees, digests = [], [], [*_source_digests(content, masks), *_returned_digests(document, masks)]
    digests += [pair for old, new in texts for pair in _script_digests(old, new, masks)]
    for number, item in enumerate(items):
        copy = _masked_copy(item, masks, into / f"product-{number}")
        if copy is None:
            new_items.append(item)
            continue
        found = measure(copy, tier=item.entity.tier)
        trees.append(found)
        digests += _new_digests(item, found)
        new_items.append(replace(item, source=copy))
    masks = masks.with_digests(digests)
    new_document = structure(masks.json(unstructure(document)), Document)
    entities = {entity.id: entity for entity in new_document.entities}
    return Masked(
        document=new_document,
        notebook=_masked_notebook(notebook, content, masks, into),
        journal=_masked_journal(document, journal, masks, trees, texts, into / "journal"),
        items=tuple(replace(item, entity=entities[item.entity.id]) for item in new_items),
    )


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _texts(document: Document, journal: Path, masks: Masks) -> list[tuple[bytes, bytes]]:
    """Return the texts of the Python files that calls came from, as they are and with masks."""
    files = [script_path(journal, digest) for digest in script_digests(document)]
    return [(old := path.read_bytes(), _masked_script(old, masks)) for path in files if path.is_file()]


def _masked_script(data: bytes, masks: Masks) -> bytes:
    return masks.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _script_digests(old: bytes, new: bytes, masks: Masks) -> Iterator[tuple[Digest, Digest]]:
    """Yield the old and the new digest of a masked script and of its cells."""
    if old == new:
        return
    yield digest_bytes(old), digest_bytes(new)
    for cell in as_notebook(decoded(old))["cells"]:
        yield source_digest(cell), source_digest({"source": masks.text(cell["source"])})


def _notebook_content(notebook: Path) -> Any:
    if is_script(notebook.name):
        return None
    try:
        return parse_json(notebook.read_bytes(), strict=False)
    except ValueError:
        return None


def _source_digests(content: Any, masks: Masks) -> Iterator[tuple[Digest, Digest]]:
    cells = content.get("cells") if isinstance(content, dict) else None
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            yield source_digest(cell), source_digest({"source": masks.json(cell.get("source", ""), lines=True)})


def _returned_digests(document: Document, masks: Masks) -> Iterator[tuple[Digest, Digest]]:
    """Yield the digest of each return value that is masked, and the digest of the masked one."""
    for activity in document.activities:
        new = masks.json(activity.returned)
        if activity.returned_digest is None or new == activity.returned or not is_exact(activity.returned):
            continue
        if digest_record("casaprov/value/1", activity.returned) == activity.returned_digest:
            yield activity.returned_digest, digest_record("casaprov/value/1", new)


def _masked_copy(item: PayloadItem, masks: Masks, place: Path) -> Path | None:
    """Copy a product that holds a secret, with masks; None if it holds none."""
    if item.source is None or not masks.secrets:
        return None
    inside = [item.source / name for name in _files(item.source)] if item.source.is_dir() else [item.source]
    changed = {}
    for path in inside:
        old = path.read_bytes()
        if (new := masks.binary(old, wrapped=is_wrapped(str(path), old[:6]))) != old:
            changed[path] = new
    if not changed:
        return None
    place.mkdir(parents=True)
    copy = place / item.source.name
    if item.source.is_dir():
        shutil.copytree(item.source, copy)
    for path, data in changed.items():
        (copy / path.relative_to(item.source) if item.source.is_dir() else copy).write_bytes(data)
    return copy


def _new_digests(item: PayloadItem, found: Measurement) -> Iterator[tuple[Digest, Digest]]:
    pairs = ((item.entity.content_digest, found.content_digest), (item.entity.byte_digest, found.byte_digest))
    for old, new in pairs:
        if old is not None and new is None:
            raise RecordError(f"{item.entity.path} cannot be digested after a secret was taken out of it.")
        if old is not None and new is not None:
            yield old, new


def _masked_notebook(notebook: Path, content: Any, masks: Masks, into: Path) -> Path:
    new = masks.json(content, lines=True)
    text = notebook.read_bytes()
    if new == content:
        data = _masked_script(text, masks) if is_script(notebook.name) else masks.binary(text)
        if content is not None or data == text:
            return notebook
    else:
        data = json.dumps(new, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
    (into / "notebook").mkdir()
    path = into / "notebook" / notebook.name
    path.write_bytes(data)
    return path


def _masked_journal(
    document: Document,
    journal: Path,
    masks: Masks,
    trees: list[Measurement],
    texts: list[tuple[bytes, bytes]],
    into: Path,
) -> Path:
    """Write the logs, trees and scripts of a journal with masks; return it as it is if there is nothing to mask."""
    logs = {}
    for activity in document.activities:
        if activity.log is not None and (path := journal / activity.log.path).is_file():
            text = path.read_text("utf-8", errors="surrogateescape")
            logs[activity.log.path] = (text, masks.text(text))
    if not trees and all(old == new for old, new in (*logs.values(), *texts)):
        return journal
    for _, masked_text in texts:
        store_bytes(script_path(into, digest_bytes(masked_text)), masked_text)
    for name, (_, new) in logs.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(new, "utf-8", errors="surrogateescape")
    trees_folder(into).mkdir(parents=True, exist_ok=True)
    for entity in document.entities:
        if entity.content_digest and (tree := tree_path(journal, entity.content_digest)).is_file():
            shutil.copyfile(tree, tree_path(into, entity.content_digest))
    for found in trees:
        if found.tree is not None:
            store_tree(into, found.content_digest, found.tree)
    return into
