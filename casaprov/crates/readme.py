"""The README of a crate, for a reader without any knowledge of casaprov."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from casaprov.crates.layout import Manifest
from casaprov.lineage.observed import observed_inputs
from casaprov.lineage.saved_cells import unsaved_calls
from casaprov.observations.summary import band, utc
from casaprov.records.model import Activity, Document

__all__ = ["readme"]

_MAX_CELL = 120  # characters


def readme(document: Document, manifest: Manifest, notebook: bytes) -> str:
    """Return the README.md of a crate, as Markdown.

    It is derived again when a crate is opened: its words are part of the format ``casaprov/crate/1``.

    Parameters
    ----------
    notebook
        Content of the notebook in the crate.
    """
    sections = (
        _head(document, manifest),
        _observed(document),
        _calls(document, notebook),
        _data(document, manifest),
        _sessions(document),
    )
    return "\n\n".join(filter(None, ("\n".join(section) for section in sections))) + "\n"


def _head(document: Document, manifest: Manifest) -> Iterable[str]:
    yield f"# {_plain(manifest.title)}\n"
    yield f"The notebook `{_plain(manifest.notebook)}` with the provenance of its {len(document.activities)} CASA task"
    yield "calls: their parameters, logs and environment, and content digests of all they read and made.\n"
    yield "This is an [RO-Crate](https://www.researchobject.org/ro-crate/) (Provenance Run Crate 0.5)"
    yield f"written by [casaprov](https://w3id.org/casaprov). Licence: {_plain(manifest.license) or 'not stated'}.\n"
    yield "To run it again and see whether every product is the same:\n"
    yield "    pip install 'casaprov[casa]'"
    yield "    casaprov replay <this crate>\n"
    yield "`records/document.json` holds the records, `parameters/` all parameters of every call, `logs/` what CASA"
    yield "said, `products/` what was small enough to be shipped."


def _observed(document: Document) -> Iterable[str]:
    inputs = observed_inputs(document)
    if not inputs:
        return
    yield "## Observed\n"
    yield "As the headers of the inputs state it.\n"
    yield "| input | target | telescope | project | band | from | to |"
    yield "|---|---|---|---|---|---|---|"
    for entity in inputs:
        for row in entity.observations:
            times = (utc(time) if time is not None else "" for time in (row.t_min, row.t_max))
            facts = (row.target_name, row.facility_name, row.proposal_id, band(row), *times)
            yield f"| {_code(entity.path)} | {' | '.join(map(_cell, facts))} |"


def _calls(document: Document, notebook: bytes) -> Iterable[str]:
    yield "## Calls\n"
    yield "| | task | given parameters | outcome | seconds |"
    yield "|--:|---|---|---|--:|"
    numbers = document.call_numbers
    for activity in document.activities:
        values = {name: activity.parameters.get(name) for name in activity.given}
        given = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
        row = (str(numbers[activity.id]), _cell(activity.task), _code(given), activity.outcome, _seconds(activity))
        yield f"| {' | '.join(row)} |"
    if unsaved := unsaved_calls(notebook, document):
        yield "\nThe notebook in this crate does not have the cells of these calls as they ran:"
        yield ", ".join(f"{numbers[activity.id]} ({_cell(activity.task)})" for activity in unsaved) + "."
        yield "What ran is what this table and `records/` say."


def _data(document: Document, manifest: Manifest) -> Iterable[str]:
    entities = {entity.id: entity for entity in document.entities}
    yield "## Inputs and products\n"
    yield "| path | kind | bytes | in this crate | why |"
    yield "|---|---|--:|---|---|"
    for item in manifest.items:
        entity = entities[item.entity]
        where = _code(item.path) if item.path else "no"
        yield f"| {_code(entity.path)} | {entity.kind} | {entity.size_bytes} | {where} | {_cell(item.reason)} |"
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


def _seconds(activity: Activity) -> str:
    try:
        took = datetime.fromisoformat(activity.ended_at or "") - datetime.fromisoformat(activity.started_at)
    except ValueError:
        return ""
    return f"{took.total_seconds():.1f}"


def _plain(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())


def _cell(text: str) -> str:
    plain = _plain(text)
    return (plain if len(plain) <= _MAX_CELL else plain[:_MAX_CELL] + "…").replace("\\", "\\\\").replace("|", "\\|")


def _code(text: str) -> str:
    # As code, since Markdown has other meanings for CASA's wild cards and underscores.
    cell = _cell(text.replace("`", "'"))
    return f"`{cell}`" if cell else ""
