"""Which calls ran in cells that the saved notebook does not have."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from casaprov.hashing import digest_bytes
from casaprov.lineage import saved_cells
from casaprov.lineage.saved_cells import (
    BUNDLE_MIME,
    code_cells,
    notebook_notes,
    unrecorded_cells,
    unsaved_calls,
    unsaved_note,
)
from casaprov.records.model import Document, Step
from records import Story


def notebook(*sources: str | list[str]) -> bytes:
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]}).encode()


def ran(*cells: tuple[str, str | None]) -> Document:
    """A call for each cell, in order: its source and its id."""
    story = Story()
    calls = [story.call("listobs", used=["a.ms"]) for _ in cells]
    steps = [Step(source_digest=digest_bytes(source.encode()), cell_id=cell_id) for source, cell_id in cells]
    activities = tuple(replace(call, step=step) for call, step in zip(calls, steps, strict=True))
    return replace(story.document, activities=activities)


def numbers(found: bytes, document: Document) -> list[int]:
    unsaved = unsaved_calls(found, document)
    return [number for number, activity in enumerate(document.activities) if activity in unsaved]


def test_a_cell_counts_as_saved_by_its_source_alone() -> None:
    document = ran(("a", "1"), ("b", "2"), ("b", None), ("c\nd", None), ("e", None))
    assert numbers(notebook("a", "b", "b", ["c\n", "d"], "e"), document) == []
    assert numbers(notebook("a", "x", ["c\n", "d"]), document) == [1, 2, 4]
    assert unsaved_note(notebook("a", "b", "c\nd", "e"), document, "n.ipynb") == ""


def test_earlier_runs_of_a_cell_that_is_saved_as_it_ran_last_do_not_count() -> None:
    document = ran(("niter=1", "1"), ("niter=2", "1"), ("other", "2"))
    assert numbers(notebook("niter=2", "other"), document) == []
    assert numbers(notebook("niter=3", "other"), document) == [0, 1]


def test_cells_that_ran_again_without_recording_are_named() -> None:
    document = ran(("a", "1"), ("b", None), ("c", None), ("d", None))
    shown = [{"output_type": "display_data", "data": {BUNDLE_MIME: {}}}]
    cells: list[dict[str, object]] = [
        {"id": "1", "source": "edited", "execution_count": 1, "outputs": [{"output_type": "stream", "text": "x"}]},
        {"source": "b", "execution_count": 2, "outputs": shown},
        {"source": "c", "execution_count": 3, "outputs": []},
        {"source": "d", "execution_count": None, "outputs": []},  # cleared
        {"source": "no call", "execution_count": 5, "outputs": []},
    ]
    saved = json.dumps({"cells": [{"cell_type": "code", **cell} for cell in cells]}).encode()
    assert unrecorded_cells(saved, document) == (1, 3)
    unsaved, rerun = notebook_notes(saved, document, "n.ipynb")
    assert "lacks or has in another form" in unsaved
    assert "n.ipynb was executed again without recording: the output of cells 1, 3 is not" in rerun
    assert notebook_notes(notebook("a", "b", "c", "d"), document, "n.ipynb") == ()


def test_calls_outside_of_cells_are_in_no_notebook() -> None:
    document = Story()
    document.call("listobs", used=["a.ms"])
    assert unsaved_calls(notebook(), document.document) == ()


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"cells": 5}', b'{"cells": [1]}', b"[" * 10**6])
def test_what_is_no_notebook_has_no_cells(data: bytes) -> None:
    assert code_cells(data) == []
    assert numbers(data, ran(("a", None))) == [0]


def test_a_notebook_that_is_too_large_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_cells, "MAX_NOTEBOOK_BYTES", 5)
    assert unsaved_calls(notebook("x"), ran(("a", None))) == ()
