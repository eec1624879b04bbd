"""Parts in which two states of a table differ, by their digest trees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from casaprov.hashing import Digest
from casaprov.records.model import Entity

__all__ = ["ChangedParts"]

_MOST_TREES = 64
"""Trees that are kept in memory, by their parts only."""


class ChangedParts:
    """Compares states by the trees of a journal or crate.

    Parameters
    ----------
    tree
        Returns the file with the tree of a content; it may not be there.
    states
        States whose trees are read at once, since their files go away.
    """

    def __init__(self, tree: Callable[[Digest], Path], states: Iterable[Entity] = ()) -> None:
        self._tree = tree
        digests = {state.content_digest for state in states if state.content_digest is not None}
        self._parts = lru_cache(max(_MOST_TREES, len(digests)))(self._read)
        for digest in digests:
            self._parts(digest)

    def between(self, one: Entity, other: Entity) -> frozenset[str] | None:
        """Return the names of the columns and sub-tables that differ, and ``keywords``; None if they are not known."""
        if one.content_digest is None or other.content_digest is None:
            return None
        if one.content_digest == other.content_digest:
            return frozenset()
        before, now = self._parts(other.content_digest), self._parts(one.content_digest)
        if before is None or now is None:
            return None
        return frozenset(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    def columns(self, state: Entity) -> frozenset[str]:
        """Return the names of the parts of a state; none if they are not known."""
        parts = self._parts(state.content_digest) if state.content_digest is not None else None
        return frozenset(parts or ())

    def _read(self, digest: Digest) -> Mapping[str, Any] | None:
        try:
            table = json.loads(self._tree(digest).read_text(encoding="utf-8"))["table"]
            parts = {name: [column["digest"], column.get("keywords")] for name, column in table["columns"].items()}
            parts |= {name: inside and inside["digest"] for name, inside in table["tables"].items()}
            facts = [table[name] for name in ("type", "subtype", "rows", "keywords")]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return {**parts, "keywords": facts}
