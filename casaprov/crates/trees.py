"""The check of digest trees from outside: each must follow from its leaves, and have the form that a comparison reads.

A tree is named by its root digest, which proves most of it. Sketches enter no
digest: only their form is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from casaprov.crates.layout import TREES, tree_name
from casaprov.digests.measurement import content_digest
from casaprov.digests.sketch import MAX_SAMPLES, sample_places
from casaprov.errors import CrateError, DigestError, Issue
from casaprov.records.model import Document, Kind
from casaprov.untrusted.json_file import read_json

__all__ = ["tree_issues"]

_STATISTICS = ("min", "max", "mean", "rms", "mean_re", "mean_im")
_LARGEST = 2**64  # integer of a column; a larger integer may have no float to subtract


def tree_issues(folder: Path, document: Document) -> Iterator[Issue]:
    """Yield an issue for each tree that does not follow from its leaves, or that belongs to no recorded content."""
    kinds: dict[str, set[Kind]] = {}
    for entity in document.entities:
        if entity.content_digest is not None:
            kinds.setdefault(tree_name(entity.content_digest), set()).add(entity.kind)
    for file in sorted(path for path in (folder / TREES).rglob("*") if not path.is_dir()):
        name = file.relative_to(folder).as_posix()
        if name not in kinds:
            yield Issue(name, "The records know no content with this digest.")
        elif message := _problem(file, name, kinds[name]):
            yield Issue(name, message)


def _problem(file: Path, name: str, kinds: set[Kind]) -> str:
    try:
        tree = read_json(file)
        if not isinstance(tree, dict) or not _well_formed(tree):
            return "This is no digest tree."
        digest = content_digest(tree)
    except (CrateError, DigestError) as error:
        return error.message
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return "This is no digest tree."
    if tree_name(digest) != name or ("table" in tree and tree["table"]["digest"] != digest):
        return "Its digest is not that of its columns, keywords and members."
    if tree["kind"] not in kinds:
        return f"This is the tree of a {tree['kind']}; the records name a {' or '.join(sorted(kinds))}."
    return ""


def _well_formed(tree: Mapping[str, Any]) -> bool:
    """Return True if every part of a tree that a comparison reads is there and of its type."""
    if "table" in tree:
        return _is_node(tree["table"])
    if "hdus" in tree:
        return all(_is_hdu(hdu) for hdu in tree["hdus"])
    return all(isinstance(member, str) for member in tree["members"].values())


def _is_node(node: Any) -> bool:
    return (
        all(isinstance(node[name], str) for name in ("digest", "type", "subtype", "keywords"))
        and type(node["rows"]) is int
        and all(_is_column(column) for column in node["columns"].values())
        and all(sub is None or _is_node(sub) for sub in node["tables"].values())
    )


def _is_hdu(hdu: Any) -> bool:
    return (
        all(isinstance(hdu[name], str) for name in ("name", "header", "data"))
        and _is_sketch(hdu.get("sketch"))
        and all(_is_column(column) for column in hdu.get("columns", {}).values())
    )


def _is_column(column: Any) -> bool:
    return (
        isinstance(column["digest"], str)
        and isinstance(column["type"], str)
        and isinstance(column.get("keywords", ""), str)
        and _is_sketch(column.get("sketch"))
        and _is_sketch(column.get("samples"))
    )


def _is_sketch(sketch: Any) -> bool:
    if sketch is None:
        return True
    count, samples = sketch["count"], sketch["samples"]
    return (
        all(type(sketch[name]) is int and 0 <= sketch[name] < 2**62 for name in ("count", "nan"))
        and all(_is_number(sketch.get(name)) for name in _STATISTICS)
        and isinstance(samples, list)
        and len(samples) <= MAX_SAMPLES
        and len(samples) == len(sample_places(count))
        and all(map(_is_sample, samples))
    )


def _is_sample(sample: Any) -> bool:
    return len(sample) == 2 and all(map(_is_number, sample)) if isinstance(sample, list) else _is_number(sample)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, float) or (type(value) is int and abs(value) <= _LARGEST)
