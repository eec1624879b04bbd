"""A script as a notebook: its cells are the recorded ones, edited or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casaprov.forecast.saved_runs import SavedCell, saved_cells
from casaprov.forecast.script_run import script_as_notebook
from casaprov.hashing import digest_bytes
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Document, Outcome, ScriptRun, Step
from casaprov.scripts.cells import decoded, script_cells
from records import Story


def script(*cells: str) -> bytes:
    return "\n".join(f"# %%\n{cell}\n" for cell in cells).encode()


def record(ran: bytes, *calling: int, outcome: Outcome = "completed") -> Document:
    """The record of a script with calls in these cells; the last one ends with an outcome."""
    story, cells = Story(), script_cells(decoded(ran))
    for number in calling:
        story.call("write", generated=[f"{number}.txt"], outcome=outcome if number == calling[-1] else "completed")
    steps = [
        Step(source_digest=digest_bytes(cells[number - 1].source.encode()), execution_count=number)
        for number in calling
    ]
    activities = tuple(replace(call, step=step) for call, step in zip(story.activities, steps, strict=True))
    session = replace(story.session, script=ScriptRun(digest=digest_bytes(ran)))
    return replace(story.document, sessions=(session,), activities=activities)


def cells_of(document: Document, present: bytes, ran: bytes) -> tuple[list[SavedCell], list[bool]]:
    """The cells with their runs, and whether the last run executed each."""
    found = script_as_notebook(document, present, ran)
    cells = saved_cells(Lineage(found.document), found.notebook)
    return list(cells), [found.executed[cell.id] == cell.digest for cell in cells]


RAN = script("import x", "write(1)", "n = 3", "write(n)")


@pytest.mark.parametrize(
    ("present", "runs", "former", "executed"),
    [
        (RAN, [0, 1, 0, 1], [0, 0, 0, 0], [True] * 4),
        (script("import x", "write(2)", "n = 3", "write(n)"), [0, 0, 0, 1], [0, 1, 0, 0], [True, False, True, True]),
        (script("import x", "n = 3", "write(n)"), [0, 0, 1], [0, 0, 0], [True] * 3),
        (
            script("import x", "new", "write(1)", "n = 4", "write(n)"),
            [0, 0, 1, 0, 1],
            [0] * 5,
            [True, False, True, False, True],
        ),
    ],
)
def test_an_edited_cell_is_the_recorded_one(
    present: bytes, runs: list[int], former: list[int], executed: list[bool]
) -> None:
    cells, ran = cells_of(record(RAN, 2, 4), present, RAN)
    assert [len(cell.runs) for cell in cells] == runs
    assert [len(cell.former) for cell in cells] == former
    assert ran == executed


def test_a_script_without_cells_is_one_cell() -> None:
    ran = b"write(1)\n"
    (cell,), _ = cells_of(record(ran, 1), b"write(2)\n", ran)
    assert (len(cell.runs), len(cell.former)) == (0, 1)


def test_what_stands_below_a_failed_call_did_not_run() -> None:
    _, executed = cells_of(record(RAN, 2, outcome="failed"), RAN, RAN)
    assert executed == [True, True, False, False]
