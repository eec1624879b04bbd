"""The README of a crate, for a reader without any knowledge of casaprov.

Its words may change; the facts in its tables are checked when a crate is opened (:func:`statements`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from casaprov.crates.layout import Manifest
from casaprov.lineage.observed import observed_inputs
from casaprov.lineage.saved_cells import unsaved_calls
from casaprov.observations.summary import band, utc
from casaprov.records.model import Activity, Document

__all__ = ["Statement", "readme", "statements"]

_MAX_CELL = 120  # characters
_MAX_REMARKS = 50
_MAX_VALUE = 60  # characters of a parameter


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Facts that a README states about one subject: the rows of a table, or a list in a sentence.

    Attributes
    ----------
    rows
        Accepted texts of each cell, by the name of its column; the first is what casaprov writes now.
    """

    subject: str
    rows: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    sentence: str = ""


def readme(document: Document, manifest: Manifest, notebook: bytes, remarks: Sequence[str] = ()) -> str:
    """Return the README.md of a crate, as Markdown.

    Parameters
    ----------
    notebook
        Content of the notebook in the crate.
    remarks
        Sentences about what the notebook, run from the top, would not give in the same way.
    """
    sections = (
        _head(document, manifest),
        _observed(document),
        _calls(document, notebook),
        _remarks(remarks),
        _data(document, manifest),
        _sessions(document),
    )
    return "\n\n".join(filter(None, ("\n".join(section) for section in sections))) + "\n"


def _head(document: Document, manifest: Manifest) -> Iterable[str]:
    yield f"# {_plain(manifest.title)}\n"
    what = "script" if manifest.is_script else "notebook"
    yield f"The {what} `{_plain(manifest.notebook)}` with the provenance of its {len(document.activities)} CASA task"
    yield "calls: their parameters, logs and environment, and content digests of all they read and made.\n"
    yield f"This is an [RO-Crate](https://www.researchobject.org/ro-crate/) (Provenance Run Crate {manifest.profile})"
    yield "written by [casaprov](https://w3id.org/casaprov).\n"
    yield from _run(document)
    yield from _credits(manifest)
    yield "To run it again with casaprov and see whether every product is the same:\n"
    yield "    casaprov replay <this crate>\n"
    yield "`records/document.json` holds the records, `parameters/` all parameters of every call, `logs/` what CASA"
    yield "said, `products/` what was small enough to be shipped."


def _run(document: Document) -> Iterable[str]:
    """Yield how the script ran last; nothing for a notebook."""
    run = document.last_run.script if document.last_run else None
    if run is not None:
        shell = " in CASA's shell" if run.casa_shell else ""
        line = " ".join((document.notebook, *map(shlex.quote, run.arguments)))
        yield f"The script ran{shell} as {_code(line)}.\n"


def _credits(manifest: Manifest) -> Iterable[str]:
    given = manifest.credits
    if given.description:
        yield f"{_plain(given.description)}\n"
    authors = [*(agent.name for agent in manifest.authors), *(person.name for person in given.authors)]
    facts = {
        "Authors": ", ".join(map(_plain, authors)),
        "Publisher": _plain(given.publisher.name) if given.publisher else "",
        "Licence": _plain(manifest.stated_license) or "not stated",
        "Access": _plain(given.conditions_of_access),
    }
    yield " ".join(f"{word}: {fact.rstrip('.')}." for word, fact in facts.items() if fact) + "\n"


def _observed(document: Document) -> Iterable[str]:
    inputs = observed_inputs(document)
    if not inputs:
        return
    yield "## Observed\n"
    yield "As the headers of the inputs state it.\n"
    yield "| input | target | telescope | project | band | from | to |"
    yield "|---|---|---|---|---|---|---|"
    for row in _observed_rows(document):
        yield f"| {' | '.join(accepted[0] for accepted in row.values())} |"


def _observed_rows(document: Document) -> Iterable[Mapping[str, tuple[str, ...]]]:
    for entity in observed_inputs(document):
        for row in entity.observations:
            times = (utc(time) if time is not None else "" for time in (row.t_min, row.t_max))
            facts = map(_cell, (row.target_name, row.facility_name, row.proposal_id, band(row), *times))
            columns = ("target", "telescope", "project", "band", "from", "to")
            yield {"input": (_code(entity.path),)} | {name: (fact,) for name, fact in zip(columns, facts, strict=True)}


def statements(document: Document, manifest: Manifest, notebook: bytes) -> Iterable[Statement]:
    """Return the facts that the README of a crate must state."""
    yield Statement(subject="observations", rows=tuple(_observed_rows(document)))
    calls = tuple(_call_row(number, activity) for number, activity in _numbered(document))
    yield Statement(subject="calls", rows=calls)
    if unsaved := _unsaved(document, notebook):
        yield Statement(subject="calls whose cells are not in the notebook as they ran", sentence=unsaved)
    yield Statement(subject="inputs and products", rows=tuple(_item_rows(document, manifest)))


def _numbered(document: Document) -> list[tuple[int, Activity]]:
    numbers = document.call_numbers
    return [(numbers[activity.id], activity) for activity in document.activities]


def _call_row(number: int, activity: Activity) -> Mapping[str, tuple[str, ...]]:
    return {
        "": (str(number),),
        "task": (_cell(activity.task),),
        "given parameters": (_given(activity), _given_in_120_characters(activity)),
        "outcome": (activity.outcome,),
    }


def _item_rows(document: Document, manifest: Manifest) -> Iterable[Mapping[str, tuple[str, ...]]]:
    entities = {entity.id: entity for entity in document.entities}
    for item in manifest.items:
        entity = entities[item.entity]
        yield {
            "path": (_code(entity.path),),
            "kind": (entity.kind,),
            "bytes": (str(entity.size_bytes),),
            "in this crate": (_code(item.path) if item.path else "no",),
        }


def _calls(document: Document, notebook: bytes) -> Iterable[str]:
    yield "## Calls\n"
    yield "| | task | given parameters | outcome | seconds |"
    yield "|--:|---|---|---|--:|"
    for number, activity in _numbered(document):
        facts = [accepted[0] for accepted in _call_row(number, activity).values()]
        yield f"| {' | '.join((*facts, _seconds(activity)))} |"
    if unsaved := _unsaved(document, notebook):
        if any(session.script is not None for session in document.sessions):
            yield "\nThe script in this crate had another text, which is in `records/scripts/`, when it made these calls:"
        else:
            yield "\nThe notebook in this crate does not have the cells of these calls as they ran:"
        yield unsaved
        yield "What ran is what this table and `records/` say."


def _remarks(remarks: Sequence[str]) -> Iterable[str]:
    if not remarks:
        return
    yield "## Not as a run from top to bottom\n"
    yield "Cells ran in another order than they stand, or went on from what earlier runs had left:\n"
    yield from (f"- {_plain(remark)}" for remark in remarks[:_MAX_REMARKS])
    if len(remarks) > _MAX_REMARKS:
        yield f"- and {len(remarks) - _MAX_REMARKS} more"


def _unsaved(document: Document, notebook: bytes) -> str:
    """Return a list of the calls that the notebook contradicts; empty if there is none."""
    numbers = document.call_numbers
    calls = [f"{numbers[activity.id]} ({_cell(activity.task)})" for activity in unsaved_calls(notebook, document)]
    return f"{', '.join(calls)}." if calls else ""


def _data(document: Document, manifest: Manifest) -> Iterable[str]:
    entities = {entity.id: entity for entity in document.entities}
    yield "## Inputs and products\n"
    yield "| path | kind | bytes | in this crate | why |"
    yield "|---|---|--:|---|---|"
    for item, row in zip(manifest.items, _item_rows(document, manifest), strict=True):
        yield f"| {' | '.join((*(accepted[0] for accepted in row.values()), _cell(item.reason)))} |"
    located = [entities[item.entity] for item in manifest.items if entities[item.entity].locators]
    if located:
        yield "\nWhere inputs that are not in this crate can be found:\n"
    for entity in located:
        places = ", ".join(f"{locator.scheme} {_code(locator.value)}" for locator in entity.locators)
        yield f"- {_code(entity.path)}: {places}" + (f". {_cell(entity.note)}" if entity.note else "")


def _sessions(document: Document) -> Iterable[str]:
    yield "## Environment\n"
    for session in document.sessions:
        where = session.environment
        versions = {"CASA": where.casatasks, "casadata": where.casadata, "Python": where.python, "on": where.platform}
        listed = ", ".join(f"{name} {_plain(version)}" for name, version in versions.items() if version)
        yield f"- {session.started_at}: casaprov {_plain(session.casaprov)}, {listed}"


def _given(activity: Activity) -> str:
    """Return the given parameters with the beginning of each value."""
    values = {name: json.dumps(activity.parameters.get(name), ensure_ascii=False) for name in activity.given}
    return _code(", ".join(f"{name}={_beginning(value, _MAX_VALUE)}" for name, value in values.items()), limit=None)


def _given_in_120_characters(activity: Activity) -> str:
    """Return the given parameters as casaprov 0.1.0 wrote them."""
    values: dict[str, Any] = {name: activity.parameters.get(name) for name in activity.given}
    return _code(", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()))


def _seconds(activity: Activity) -> str:
    try:
        took = datetime.fromisoformat(activity.ended_at or "") - datetime.fromisoformat(activity.started_at)
    except ValueError:
        return ""
    return f"{took.total_seconds():.1f}"


def _plain(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _beginning(text: str, limit: int | None) -> str:
    return text if limit is None or len(text) <= limit else text[:limit] + "…"


def _cell(text: str, limit: int | None = _MAX_CELL) -> str:
    return _beginning(_plain(text), limit).replace("\\", "\\\\").replace("|", "\\|")


def _code(text: str, limit: int | None = _MAX_CELL) -> str:
    # As code, since Markdown has other meanings for CASA's wild cards and underscores.
    cell = _cell(text.replace("`", "'"), limit)
    return f"`{cell}`" if cell else ""
