"""Digest trees from outside: whether they are what the records say, and can be compared with.

A tree is named by the digest that it is the root of, so most of it proves
itself. Its sketches enter no content digest; they are held to their form alone.
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
    """Yield an issue for each tree in an unpacked crate that does not follow from its leaves, or is in no record."""
    kinds: dict[str, set[Kind]] = {}
    for entity in document.entities:
        if entity.content_digest is not None:
            kinds.setdefault(tree_name(entity.content_digest), set()).add(entity.kind)
    for file in sorted(path for path in (folder / TREES).rglob("*") if not path.is_dir()):
        name = file.relative_to(folder).as_posix()
        if name not in kinds:
            yield Issue(name, "The records know no content with this digest.")
        elif problem := _problem(file, name, kinds[name]):
            yield Issue(name, problem)


def _problem(file: Path, name: str, kinds: set[Kind]) -> str:
    """Say in a sentence what is wrong with a tree; nothing if it is right."""
    try:
        tree = Tree.from_json(read_json(file))
        digest = tree.computed_digest()
    except (CrateError, DigestError) as error:
        return error.message
    if tree_name(digest) != name or (tree.table is not None and tree.table.digest != digest):
        return "Its digest is not that of its columns, keywords and members."
    if tree.kind not in kinds:
        return f"This is the tree of a {tree.kind}; the records name a {' or '.join(sorted(kinds))}."
    return ""
