"""Two recorded states compared by their records: digests find differences, sketches measure them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from casaprov.comparison.products import compare_trees
from casaprov.comparison.verdict import Comparison, Difference, Tolerance
from casaprov.diffs.run import Run
from casaprov.digests.measurement import Measurement
from casaprov.errors import CrateError
from casaprov.hashing import Digest
from casaprov.records.model import Entity
from casaprov.untrusted.json_file import read_json

__all__ = ["SameListing", "compare_states"]

SameListing = Callable[[Path, datetime, Path, datetime, Mapping[str, str]], bool]
"""Compares two texts but for folders and times (:func:`casaprov.comparison.listings.same_listing`)."""

_OTHER_BYTES = "The bytes differ; the record holds only their digest."


def compare_states(
    runs: tuple[Run, Run],
    first: Entity,
    second: Entity,
    tolerance: Tolerance,
    same_listing: SameListing,
    *,
    numbers: bool = True,
) -> Comparison:
    """Compare two recorded states.

    Parameters
    ----------
    runs
        The runs that they belong to.
    numbers
        False to leave it at the digests, which takes no reading of trees.
    """
    if first.content_digest is None or second.content_digest is None:
        return Comparison("not-verifiable", (), "its content was not digested when it was recorded")
    if first.byte_digest is not None and first.byte_digest == second.byte_digest:
        return Comparison("identical")
    if first.tier != second.tier:
        note = "one run recorded a digest of all of it, the other of samples"
        return Comparison("not-verifiable", (), note, tier="fast")
    read = numbers and first.content_digest != second.content_digest
    before, after = (
        _tree(run, digest) if read else None
        for run, digest in zip(runs, (first.content_digest, second.content_digest), strict=True)
    )
    now = Measurement(
        kind=second.kind,
        content_digest=second.content_digest,
        size_bytes=second.size_bytes,
        byte_digest=second.byte_digest,
        tree=after,
        tier=second.tier,
    )
    found = compare_trees(before, first.content_digest, first.byte_digest, now, tolerance)
    if second.kind == "File" and found.verdict == "differs":
        return _files(runs, first, second, same_listing)
    return found


def _tree(run: Run, digest: Digest) -> dict[str, Any] | None:
    path = run.tree(digest)
    if not path.is_file():
        return None
    try:
        found = read_json(path)
    except CrateError:
        return None  # a damaged tree says no more than the digest
    return found if isinstance(found, dict) else None


def _files(runs: tuple[Run, Run], first: Entity, second: Entity, same_listing: SameListing) -> Comparison:
    """Compare two plain files of other bytes, which for a listing may mean no more than another folder."""
    files = runs[0].file(first), runs[1].file(second)
    began = _began(runs[0], first), _began(runs[1], second)
    differences = (Difference("", _OTHER_BYTES),)
    if files[0] is None or files[1] is None or began[0] is None or began[1] is None:
        note = "a listing names folders and the time of writing; the files themselves would decide"
        return Comparison("not-verifiable", differences, note)
    folders = [next((s.folder for s in run.document.sessions if s.id == e.session), "")
               for run, e in zip(runs, (first, second), strict=True)]  # fmt: skip
    moved = {folders[0]: folders[1]} if all(folders) else {}
    if same_listing(files[0], began[0], files[1], began[1], moved):
        return Comparison("same-content", (), "the same text, but for folders and the time of writing")
    return Comparison("differs", differences)


def _began(run: Run, entity: Entity) -> datetime | None:
    call = run.lineage.activities.get(entity.generated_by or "")
    return datetime.fromisoformat(call.started_at) if call is not None else None
