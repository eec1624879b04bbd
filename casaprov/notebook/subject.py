"""The subject of ``casaprov inspect``: the record of a notebook, in a journal folder or in a crate, with the cells."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from casaprov.crates.layout import tree_name
from casaprov.credits.model import Credits
from casaprov.credits.people import Person
from casaprov.errors import UsageError
from casaprov.hashing import Digest
from casaprov.journal.changed_parts import ChangedParts
from casaprov.journal.document import read_document
from casaprov.journal.folder import is_journal_folder, tree_path
from casaprov.lineage.continued import Relevant, all_matters
from casaprov.lineage.saved_cells import code_cells, notebook_notes, source_digest
from casaprov.records.model import Activity, Agent, Document, Entity, Step, Usage
from casaprov.tasks.dependence import only_adds, parts_that_matter

__all__ = ["Subject", "cell_numbers", "open_subject", "relevance"]


@dataclass(frozen=True)
class Subject:
    """The record of a notebook or in a crate.

    Attributes
    ----------
    cells
        Number of the code cell of each Activity, by its id.
    notes
        Sentences on the saved notebook.
    relevant
        Tells which parts of what a call used matter to it.
    people
        Returns the authors that are named for the crate or the notebook.
    """

    document: Document
    cells: dict[str, int]
    notes: tuple[str, ...]
    relevant: Relevant
    people: Callable[[], tuple[Agent, ...]] = tuple


def relevance(tree: Callable[[Digest], Path], states: Iterable[Entity] = ()) -> Relevant:
    """Return a function that tells which parts of a table matter to a call.

    Parameters
    ----------
    tree
        Returns the file with the digest tree of a content; it may not be there.
    states
        States whose trees are read at once, since their files go away.
    """
    parts = ChangedParts(tree, states)

    def relevant(call: Activity, usage: Usage, used: Entity, other: Entity | None) -> tuple[str, ...]:
        if only_adds(call, usage, used.path):
            return ()
        changed = parts.between(used, other) if other is not None else None
        if changed is None:
            return all_matters(call, usage, used, other)
        return parts_that_matter(call, usage, changed, parts.columns(used))

    return relevant


def open_subject(path: Path) -> Subject:
    """Return the record, the number of the code cell of each Activity, and notes on the saved notebook or script.

    Raises
    ------
    UsageError
        If `path` is missing or neither a notebook, a journal folder nor a crate.
    CrateError, JournalError
        If there is no record in it.
    """
    if path == Path():
        raise UsageError("Nothing to inspect is named.", hint="Name a notebook or a crate.")
    if not path.exists():
        raise UsageError(f"There is no {path}.", hint="Name a notebook or a crate.")
    if path.suffix in (".ipynb", ".py"):
        from casaprov.notebook.export import find_journal, record_of  # needs Jupyter, which a crate does not

        document, saved, journal = record_of(path), path.read_bytes(), find_journal(path)
        notes = notebook_notes(saved, document, path.name)
        relevant = relevance(lambda digest: tree_path(journal, digest))
        return Subject(document, cell_numbers(saved, document), notes, relevant, partial(_authors, path))
    if is_journal_folder(path):
        document = read_document(path, path.name)
        return Subject(document, {}, (), relevance(lambda digest: tree_path(path, digest)))
    from casaprov.crate import open_crate  # takes a second to load; a kernel loads this module for cell numbers only

    with tempfile.TemporaryDirectory(prefix="casaprov-") as folder:
        crate = open_crate(path, Path(folder), verify=False)
        notebook = crate.notebook.read_bytes() if crate.notebook.is_file() else b""
        notes = notebook_notes(notebook, crate.document, crate.notebook.name)
        cells = cell_numbers(notebook, crate.document)
        relevant = relevance(lambda digest: crate.folder / tree_name(digest), crate.document.entities)
        people = (*crate.manifest.authors, *_people(crate.manifest.credits.authors))
        return Subject(crate.document, cells, notes, relevant, lambda: people)


def _authors(path: Path) -> tuple[Agent, ...]:
    """Return the authors of a notebook or script."""
    from casaprov.credits.sources import find_credits
    from casaprov.notebook.ipynb import read_notebook

    with suppress(UsageError):  # a file about the authors that cannot be read is the matter of an export
        return _people(find_credits(path, read_notebook(path).metadata, Credits()).authors)
    return ()


def _people(authors: Iterable[Person]) -> tuple[Agent, ...]:
    """Return authors as agents of a record."""
    return tuple(Agent(id=one.orcid or one.name, type="Person", name=one.name, url=one.orcid) for one in authors)


def cell_numbers(notebook: bytes, document: Document) -> dict[str, int]:
    """Return the number of the code cell, from 1 at the top, by Activity id.

    Parameters
    ----------
    notebook
        Content of the .ipynb file. Cells are found by their id, else by their source; a call whose cell is gone, or
        could be one of several, is left out. The cells of a script are those of its last text.
    """
    if document.last_run is not None and (last := document.last_run.script) is not None:
        same = {s.id for s in document.sessions if s.script is not None and s.script.digest == last.digest}
        steps = {a.id: a.step.execution_count for a in document.activities if a.session in same and a.step is not None}
        return {activity_id: number for activity_id, number in steps.items() if number is not None}
    code = code_cells(notebook)
    ids = {cell["id"]: number for number, cell in enumerate(code, start=1) if isinstance(cell.get("id"), str)}
    sources = [source_digest(cell) for cell in code]
    often = Counter(sources)
    by_source = {source: number for number, source in enumerate(sources, start=1) if often[source] == 1}

    def number_of(step: Step | None) -> int | None:
        if step is None:
            return None
        return ids.get(step.cell_id or "") or by_source.get(step.source_digest)

    found = {activity.id: number_of(activity.step) for activity in document.activities}
    return {activity_id: number for activity_id, number in found.items() if number is not None}
