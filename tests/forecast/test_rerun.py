"""Runs from the top, worked out from a record: compared with runs of a small world in which contents follow from calls."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given

from casaprov.forecast.fresh_run import Presence, fresh_run
from casaprov.forecast.rerun import Check, check
from casaprov.hashing import Digest, digest_bytes
from casaprov.lineage.graph import Lineage
from casaprov.lineage.saved_cells import source_digest
from casaprov.records.model import Activity, Document, Entity, Session, Step, Usage
from examples import examples
from records import SESSION


@dataclass
class Book:
    """A notebook whose cells are lines such as ``tclean n.ms +n.model >n.image``.

    ``+`` marks a file that is changed, or made if it is not there; ``>`` one that is made anew.
    """

    cells: list[str]
    session: Session = SESSION
    disk: dict[str, Digest] = field(default_factory=dict)
    entities: list[Entity] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    states: dict[str, Entity] = field(default_factory=dict)
    executed: int = 0

    def run(self, *numbers: int) -> None:
        for number in numbers:
            self.executed += 1
            for line in self.cells[number - 1].splitlines():
                self._call(line, number)

    def edit(self, number: int, source: str) -> None:
        self.cells[number - 1] = source

    def remove(self, *paths: str) -> None:
        for path in paths:
            self.disk.pop(path, None)

    def change(self, path: str, text: str) -> None:
        """Change a file outside of calls."""
        self.disk[path] = digest_bytes(text.encode())

    def check(self) -> Check:
        lineage = Lineage(
            Document(
                notebook="n.ipynb",
                sessions=(self.session,),
                activities=tuple(self.activities),
                entities=tuple(self.entities),
            )
        )
        return check(lineage, fresh_run(lineage, self.notebook(), self.presence), self.presence)

    def notebook(self) -> bytes:
        cells = [
            {"cell_type": "code", "id": f"c{number}", "source": source, "execution_count": 1}
            for number, source in enumerate(self.cells, start=1)
        ]
        return json.dumps({"cells": cells}).encode()

    def presence(self, state: Entity) -> Presence:
        if state.path not in self.disk:
            return "gone"
        return "same" if self.disk[state.path] == state.content_digest else "other"

    def _call(self, line: str, number: int) -> None:
        task, *words = line.split()
        made, changed, used = (
            [word[1:] for word in words if word[0] == ">"],
            [word[1:] for word in words if word[0] == "+"],
            [word for word in words if word[0] not in ">+"],
        )
        self.disk.setdefault("raw", digest_bytes(b"raw"))
        found = {path: self._state(path) for path in (*used, *changed) if path in self.disk}
        name = f"{self.session.id}/{len(self.activities) + 1:04d}"
        inputs = sorted((path, str(state.content_digest)) for path, state in found.items())
        left = []
        for path in (*changed, *made):
            self.disk[path] = digest_bytes(repr((line, inputs, path)).encode())
            revised = found[path].id if path in found else None
            left.append(self._entity(path, generated_by=name, revision_of=revised))
        step = Step(source_digest=source_digest({"source": self.cells[number - 1]}), cell_id=f"c{number}")
        self.activities.append(
            Activity(
                id=name,
                session=self.session.id,
                task=task,
                package="casatasks",
                started_at="2026-05-01T10:00:00.000000+00:00",
                ended_at="2026-05-01T10:00:09.000000+00:00",
                outcome="completed",
                cwd=".",
                parameters={"vis": used, "imagename": changed, "outputvis": made},
                step=Step(source_digest=step.source_digest, cell_id=step.cell_id, execution_count=self.executed),
                used=tuple(Usage(entity=state.id) for state in found.values()),
                generated=tuple(Usage(entity=state.id, parameter="imagename") for state in left),
            )
        )

    def _state(self, path: str) -> Entity:
        known = self.states.get(path)
        if known is None:
            return self._entity(path)
        if known.content_digest != self.disk[path]:
            return self._entity(path, revision_of=known.id, gap=True)
        return known

    def _entity(self, path: str, **facts: object) -> Entity:
        entity = Entity(
            id=f"{self.session.id}/e{len(self.entities) + 1:04d}",
            path=path,
            kind="File",
            content_digest=self.disk[path],
            size_bytes=1,
            **facts,  # type: ignore[arg-type]
        )
        self.entities.append(entity)
        self.states[path] = entity
        return entity


CELLS = ["importuvfits raw >ms", "flagdata +ms", "gaincal ms >cal", "applycal cal +ms", "tclean ms +model >image"]


def book(*cells: str) -> Book:
    return Book(list(cells or CELLS))


def numbers(found: Check) -> list[int]:
    return [cell.number for cell in found.cells]


def run_again(written: Book, found: Check) -> None:
    for cell in found.cells:
        written.remove(*cell.aside)
        written.run(cell.number)


def test_a_run_from_the_top_gives_what_it_gave() -> None:
    written = book()
    written.run(1, 2, 3, 4, 5)
    assert written.check().holds


def test_an_edited_cell_and_what_follows_from_it_have_to_run() -> None:
    written = book()
    written.run(1, 2, 3, 4, 5)
    written.edit(5, "tclean ms +model >image niter")
    found = written.check()
    assert numbers(found) == [5]
    assert found.cells[0].reasons == ("It was edited after it ran.",)
    assert set(found.cells[0].aside) == {"model", "image"}
    assert {one.path for one in found.products} == {"model", "image"}


def test_cells_before_an_edited_one_run_again_where_it_needs_what_they_left() -> None:
    written = book()
    written.run(1, 2, 3, 4, 5)
    written.edit(3, "gaincal ms >cal solint")
    found = written.check()
    # gaincal needs the flagged data as they were before applycal.
    assert numbers(found) == [1, 2, 3, 4, 5]
    assert found.cells[0].aside == ("ms",)


def test_a_call_that_went_on_with_what_an_earlier_run_left_is_found() -> None:
    written = book()
    written.run(1, 2, 3, 4, 5, 5)
    found = written.check()
    assert numbers(found) == [5]
    assert {one.path for one in found.products} == {"model", "image"}
    run_again(written, found)
    assert written.check().holds


def test_a_model_from_a_cell_that_is_gone_is_a_leftover() -> None:
    written = book()
    written.run(1, 2, 3, 4)
    written.cells.append("tclean ms +model >image niter=1")
    written.run(6)
    del written.cells[5]
    written.run(5)
    found = written.check()
    assert numbers(found) == [5]
    assert "a run from the top finds nothing there" in " ".join(found.cells[0].reasons)


def test_cells_in_another_order_are_found() -> None:
    written = book()
    written.run(1, 2, 3, 4, 5, 2)
    found = written.check()
    assert {one.path for one in found.products} == {"ms"}
    run_again(written, found)
    assert written.check().holds


def test_an_input_with_other_content_is_named() -> None:
    written = book()
    written.run(1, 2)
    written.change("raw", "another observation")
    found = written.check()
    assert numbers(found)[0] == 1
    assert found.cells[0].reasons[0] == "importuvfits used raw, which has other content now."


def test_a_product_that_was_changed_or_removed_is_made_again() -> None:
    written = book()
    written.run(1, 2, 3, 4, 5)
    written.change("image", "painted")
    written.remove("cal")
    found = written.check()
    reasons = {one.path: one.reason for one in found.products}
    assert reasons["image"] == "Something that is not recorded changed it after the last call."
    assert reasons["cal"] == "It is not there; cell 3 makes it."
    run_again(written, found)
    assert written.check().holds


def test_an_input_that_was_changed_in_place_is_not_brought_back() -> None:
    written = book("flagdata +raw", "tclean raw >image")
    written.run(1, 2)
    assert written.check().holds
    written.edit(1, "flagdata +raw mode")
    found = written.check()
    assert found.lost == ("raw",)


def test_a_change_outside_of_calls_leaves_a_note_and_no_verdict() -> None:
    written = book("importuvfits raw >ms", "tclean ms >image")
    written.run(1)
    written.change("ms", "scaled")
    written.run(2)
    found = written.check()
    assert "not recorded" in found.notes[0]


_FILES = ["a", "b", "c"]
_LINES = st.builds(
    lambda task, used, other: f"{task}{other} {used}",
    st.sampled_from(["tclean +", "split >"]),
    st.sampled_from(["raw", *_FILES]),
    st.sampled_from(_FILES),
)


@examples(60)
@given(
    st.lists(_LINES, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 4), st.none() | _LINES), max_size=6),
)
def test_the_cells_that_are_listed_give_what_a_run_from_the_top_gives(
    cells: list[str], steps: list[tuple[int, str | None]]
) -> None:
    written = Book(list(cells))
    for number in range(1, len(cells) + 1):
        written.run(number)
    for number, edited in steps:
        if number <= len(cells) and edited is not None:
            written.edit(number, edited)
        elif number <= len(cells):
            written.run(number)
    fresh = Book(list(written.cells))
    fresh.run(*range(1, len(cells) + 1))
    present = {path: digest for path, digest in written.disk.items() if path in fresh.disk}
    found = written.check()
    if found.holds:
        assert present == fresh.disk
    for _ in range(len(cells) + 1):  # what an edited cell makes is known when it has run
        found = written.check()
        if not found.cells:
            break
        run_again(written, found)
    assert {path: digest for path, digest in written.disk.items() if path in fresh.disk} == fresh.disk


@pytest.mark.parametrize("cells", [[], ["1 +"], ["%matplotlib inline"]])
def test_cells_without_calls_are_no_trouble(cells: list[str]) -> None:
    written = book("importuvfits raw >ms")
    written.run(1)
    written.cells.extend(cells)
    assert written.check().holds
