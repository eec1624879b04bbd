"""The code cells of a saved notebook, and the calls whose cells it does not have as they ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from casaprov.hashing import Digest, digest_bytes
from casaprov.records.model import Activity, Document
from casaprov.records.wording import counted
from casaprov.untrusted.parsing.bounded_json import parse_json

__all__ = [
    "BUNDLE_MIME",
    "MAX_NOTEBOOK_BYTES",
    "cell_tags",
    "code_cells",
    "notebook_notes",
    "source_digest",
    "unrecorded_cells",
    "unsaved_calls",
    "unsaved_note",
]

BUNDLE_MIME = "application/vnd.casaprov.v1+json"
"""Media type of the display bundle of a cell that made calls; front ends, which do not know it, show nothing."""

MAX_NOTEBOOK_BYTES = 256 * 2**20
"""Size of the largest notebook whose cells are compared with the record."""


def code_cells(notebook: bytes) -> list[dict[str, Any]]:
    """Return the code cells in the content of an .ipynb file; none if it is no notebook."""
    try:
        cells = parse_json(notebook, strict=False)["cells"]
        return [cell for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    except (ValueError, TypeError, KeyError):
        return []  # the notebook of a crate may be anything


def source_digest(cell: dict[str, Any]) -> Digest:
    """Digest of the source of a cell, as a kernel records it (``Step.source_digest``)."""
    source = cell.get("source", "")
    lines = source if isinstance(source, list) else [source]
    text = "".join(line for line in lines if isinstance(line, str))
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def cell_tags(notebook: Mapping[str, Any]) -> dict[Digest, list[str]]:
    """Return the tags of the code cells that have any, by the digest of their source."""
    found = {}
    for cell in notebook.get("cells", ()):
        metadata = cell.get("metadata")
        tags = metadata.get("tags") if isinstance(metadata, dict) else None
        if cell.get("cell_type") == "code" and isinstance(tags, list) and tags:
            found[source_digest(cell)] = [tag for tag in tags if isinstance(tag, str)]
    return found


def unsaved_calls(notebook: bytes, document: Document) -> tuple[Activity, ...]:
    """Return the calls whose cell, or script, was edited or removed after they ran.

    A cell that was edited and then run again is in the notebook as it ran
    last: its earlier runs do not count.

    Parameters
    ----------
    notebook
        Content of the .ipynb file.
    """
    if len(notebook) > MAX_NOTEBOOK_BYTES:
        return ()
    if ran := {session.id: session.script.digest for session in document.sessions if session.script is not None}:
        present = digest_bytes(notebook)
        return tuple(call for call in document.activities if ran.get(call.session, present) != present)
    saved = {source_digest(cell) for cell in code_cells(notebook)}
    steps = {activity.id: activity.step for activity in document.activities if activity.step is not None}
    last = {step.cell_id: step.source_digest for step in steps.values() if step.cell_id}
    unsaved = {
        activity_id
        for activity_id, step in steps.items()
        if step.source_digest not in saved and last.get(step.cell_id or "") not in saved
    }
    return tuple(activity for activity in document.activities if activity.id in unsaved)


def unsaved_note(notebook: bytes, document: Document, name: str) -> str:
    """Return a sentence that names the calls which the notebook `name` contradicts; empty if there are none."""
    calls = unsaved_calls(notebook, document)
    if not calls:
        return ""
    tasks = ", ".join(dict.fromkeys(activity.task for activity in calls))
    if document.last_run is not None and document.last_run.script is not None:
        return (
            f"{counted(len(calls), 'call')} came from {name} when it had another text ({tasks}). The record holds that text; "
            "run the script again for one that fits the present text."
        )
    return (
        f"{counted(len(calls), 'call')} ran in cells that the saved notebook lacks or has in another form ({tasks}): "
        f"save {name}, or run those cells again as they are now, and export again."
    )


def unrecorded_cells(notebook: bytes, document: Document) -> tuple[int, ...]:
    """Return the numbers of the code cells that made recorded calls and then ran again without recording.

    Such a cell was saved with a number of execution, and without the note that recording leaves in its output.

    Parameters
    ----------
    notebook
        Content of the .ipynb file.
    """
    if len(notebook) > MAX_NOTEBOOK_BYTES:
        return ()
    steps = [activity.step for activity in document.activities if activity.step is not None]
    ids, sources = {step.cell_id for step in steps} - {None}, {step.source_digest for step in steps}
    return tuple(
        number
        for number, cell in enumerate(code_cells(notebook), start=1)
        if isinstance(cell.get("execution_count"), int)
        and (cell.get("id") in ids or source_digest(cell) in sources)
        and not _has_bundle(cell)
    )


def _has_bundle(cell: dict[str, Any]) -> bool:
    outputs = cell.get("outputs")
    shown = [output.get("data") for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    return any(isinstance(data, dict) and BUNDLE_MIME in data for data in shown)


def notebook_notes(notebook: bytes, document: Document, name: str) -> tuple[str, ...]:
    """Return sentences about the contradictions between the saved notebook `name` and its record."""
    cells = unrecorded_cells(notebook, document)
    listed = ", ".join(map(str, cells))
    rerun = (
        f"{name} was executed again without recording: the output of cell{'s' if len(cells) > 1 else ''} {listed} is not "
        "from the recorded calls. Run it under recording, or take the notebook as it was recorded."
    )
    return tuple(note for note in (unsaved_note(notebook, document, name), rerun if cells else "") if note)
