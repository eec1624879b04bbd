"""The answer of ``casaprov inspect``: a part of a record, as PROV if asked for, and notes about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casaprov.errors import UsageError
from casaprov.lineage.cell_order import OutOfOrder, Stale, find_out_of_order, find_stale
from casaprov.lineage.continued import Continued, Relevant, all_matters
from casaprov.lineage.graph import Lineage
from casaprov.lineage.prov import plain_prov, to_prov
from casaprov.records.model import Activity, Agent, Document

__all__ = ["Inspection", "inspect_document", "observed_note"]

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A part of a record, with notes and the files written about it.

    Attributes
    ----------
    document
        The whole record, or the part between two paths.
    notes
        Calls out of order and stale products in that part; notes of gaps and inputs.
    written
        The files of PROV-JSON that were asked for.
    numbers
        Number of each call in the whole record, by Activity id.
    """

    document: Document
    numbers: Mapping[str, int]
    notes: tuple[OutOfOrder | Continued | Stale | str, ...]
    written: tuple[Path, ...]


def observed_note(activity: Activity) -> str:
    """Return a sentence about the files that changed while a call ran and that are no products of it."""
    names = ", ".join(activity.observed[:_MOST_NAMED])
    more = f" and {len(activity.observed) - _MOST_NAMED} more" if len(activity.observed) > _MOST_NAMED else ""
    return f"{names}{more} changed while {activity.task} ran; casaprov cannot tell that the call did it."


def inspect_document(
    document: Document,
    cells: Mapping[str, int],
    *,
    start: str | None = None,
    end: str | None = None,
    prov: Path | None = None,
    prov_plain: Path | None = None,
    people: Iterable[Agent] = (),
    remarks: tuple[str, ...] = (),
    relevant: Relevant = all_matters,
) -> Inspection:
    """Take the part of a record between two paths, and write it as PROV-JSON if asked for.

    Parameters
    ----------
    cells
        Number of the code cell that each Activity ran in, by Activity id.
    start, end
        Paths, as for :meth:`casaprov.lineage.graph.Lineage.between`.
    prov
        File to write PROV-JSON to.
    prov_plain
        File to write PROV-JSON to without the IVOA's words.
    people
        Authors of the notebook.
    remarks
        Sentences about the notebook, which become the first notes.
    relevant
        Tells which parts of what a call used matter to it.

    Raises
    ------
    UsageError
        If the record does not know a path, or the file cannot be written.
    """
    lineage = Lineage(document)
    part = lineage.between(start, end)
    calls = {activity.id for activity in part.activities}
    states = {entity.id for entity in part.entities}
    gaps = (
        f"{gap.path}: {gap.note or 'Something other than a recorded call changed it.'}"
        for gap in lineage.gaps()
        if gap.id in states
    )
    inputs = (f"{e.path}: {e.note}" for e in lineage.inputs() if e.id in states and e.note and not e.gap)
    notes: tuple[OutOfOrder | Continued | Stale | str, ...] = (
        *remarks,
        *(found for found in find_out_of_order(lineage, cells, relevant) if found.call.id in calls),
        *(found for found in find_stale(lineage, cells, relevant=relevant) if found.product.id in states),
        *gaps,
        *inputs,
        *map(observed_note, filter(lambda call: call.observed, part.activities)),
    )
    files: dict[Path, Callable[[dict[str, Any]], dict[str, Any]]] = {}
    if prov is not None:
        files[prov] = lambda statements: statements
    if prov_plain is not None:
        files[prov_plain] = plain_prov
    for path, form in files.items():
        text = json.dumps(form(to_prov(part, people)), indent=1) + "\n"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            message = f"{error.filename or path} cannot be written: {error.strerror or error}."
            raise UsageError(message, hint="Name another file.") from error
    return Inspection(document=part, numbers=document.call_numbers, notes=notes, written=tuple(files))
