"""What is known of a change that no recorded call made: in which file, to what, between which calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from casaprov.checksum import Measurement
from casaprov.compare_trees import compare_trees
from casaprov.differences import Tolerance
from casaprov.model import Entity

__all__ = ["describe_gap"]

_MAX_NAMED = 8


def describe_gap(before: Entity, tree: Mapping[str, Any] | None, now: Measurement, *, after: str, until: str) -> str:
    """Say what something that is no recorded call changed, and when.

    Parameters
    ----------
    before
        The last known state.
    tree
        Its digest tree, if it was kept.
    now
        What was found instead.
    after, until
        The last call that knew `before`, and what found the change; as words.
    """
    compared = compare_trees(tree, before.content_digest, before.byte_digest, now, Tolerance())
    names = [name for name in dict.fromkeys(difference.path for difference in compared.differences) if name]
    shown = ", ".join(names[:_MAX_NAMED]) or "its content"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"Something that is no recorded call changed {shown}{more} between {after} and {until}."
