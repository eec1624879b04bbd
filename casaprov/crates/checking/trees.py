"""The check of digest trees from outside: each must follow from its leaves, and have the form that a comparison reads.

A tree is named by its root digest, which proves most of it. Sketches enter no
content digest: each is held to a digest of its own, and to its form.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from casaprov.crates.layout import TREES, tree_name
from casaprov.digests.tree import Tree
from casaprov.errors import CrateError, DigestError, Issue
from casaprov.records.model import Document, Kind
from casaprov.untrusted.json_file import read_json

__all__ = ["tree_issues"]


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
    """Return the problem of a tree as a sentence; empty if there is none."""
    try:
        tree = Tree.from_json(read_json(file))
        digest = tree.computed_digest()
        tree.check_sketches()
    except (CrateError, DigestError) as error:
        return error.message
    if tree_name(digest) != name or (tree.table is not None and tree.table.digest != digest):
        return "Its digest is not that of its columns, keywords and members."
    if tree.kind not in kinds:
        return f"This is the tree of a {tree.kind}; the records name a {' or '.join(sorted(kinds))}."
    return ""
