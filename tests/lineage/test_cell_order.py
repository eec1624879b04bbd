"""The order of cells: what used the result of a cell further down, and what is stale."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.hashing import digest_bytes
from casaprov.lineage.cell_order import _past, find_out_of_order, find_stale
from casaprov.lineage.continued import all_matters, find_continued
from casaprov.lineage.graph import Lineage
from casaprov.records.model import Activity, Entity, Step, Usage
from records import Story


class TestOrderOfCells:
    """Cell 1 imports, 2 flags, 3 calibrates, 4 images."""

    @staticmethod
    def run(*numbers: int) -> tuple[Lineage, dict[str, int]]:
        """Run cells in this order."""
        story = Story()
        cells: dict[str, int] = {}
        for number in numbers:
            match number:
                case 1:
                    calls = [story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])]
                case 2:
                    calls = [story.call("flagdata", changed=["a.ms"])]
                case 3:
                    calls = [story.call("gaincal", used=["a.ms"], generated=["a.gcal"])]
                    calls.append(story.call("applycal", used=["a.gcal"], changed=["a.ms"]))
                case _:
                    calls = [story.call("tclean", used=["a.ms"], generated=["a.image"])]
            cells |= {call.id: number for call in calls}
        return Lineage(story.document), cells

    @pytest.mark.parametrize("order", [(1, 2, 3, 4), (1, 2, 3, 4, 4), (1, 2, 3, 4, 1, 2, 3, 4)])
    def test_in_order_there_is_nothing_to_tell(self, order: tuple[int, ...]) -> None:
        lineage, cells = self.run(*order)
        assert find_out_of_order(lineage, cells) == ()
        assert find_stale(lineage, cells) == ()

    def test_what_is_only_removed_is_not_used(self) -> None:
        story = Story()
        made = story.call("tclean", used=["a.ms"], generated=["a.image"])
        removal = story.call("rmtables", used=["a.image"], deleted=["a.image"])
        assert find_out_of_order(Lineage(story.document), {removal.id: 1, made.id: 2}) == ()

    def test_a_cell_that_used_what_a_later_one_made_is_told(self) -> None:
        lineage, cells = self.run(1, 3, 2, 4)
        assert list(map(str, find_out_of_order(lineage, cells))) == [
            "Cell 2 (flagdata) used the result of cell 3 (applycal), which stands below it: a.ms"
        ]

    def test_a_change_outside_of_tasks_does_not_hide_the_order(self) -> None:
        story = Story()
        below = story.call("setjy", changed=["a.ms"])
        story.gap("a.ms")
        above = story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
        assert len(find_out_of_order(Lineage(story.document), {below.id: 2, above.id: 1})) == 1

    def test_what_was_made_before_a_cell_above_ran_again_is_stale(self) -> None:
        lineage, cells = self.run(1, 2, 3, 4, 1)
        assert {found.product.path for found in find_stale(lineage, cells)} == {"a.gcal", "a.image"}
        assert "a.gcal is stale: flagdata used a.ms as it was before cell 1 (importuvfits) was run again" in {
            str(found) for found in find_stale(lineage, cells)
        }

    def test_the_image_is_stale_until_its_cell_ran_again(self) -> None:
        lineage, cells = self.run(1, 2, 3, 4, 1, 2, 3)
        assert [found.product.path for found in find_stale(lineage, cells)] == ["a.image"]

    def test_the_same_content_makes_nothing_stale(self) -> None:
        lineage, cells = self.run(1, 4, 1)
        assert [found.product.path for found in find_stale(lineage, cells)] == ["a.image"]
        entities = tuple(
            replace(entity, content_digest=digest_bytes(entity.path.encode())) for entity in lineage.document.entities
        )
        assert find_stale(Lineage(replace(lineage.document, entities=entities)), cells) == ()

    @given(numbers=st.lists(st.integers(1, 4), max_size=12), same=st.sets(st.integers(0, 30)))
    def test_a_state_is_past_if_a_cell_above_left_another_since(self, numbers: list[int], same: set[int]) -> None:
        lineage, cells = self.run(*numbers)
        alike = digest_bytes(b"the same content")
        entities = tuple(
            replace(entity, content_digest=alike) if n in same else entity
            for n, entity in enumerate(lineage.document.entities)
        )
        calls = lineage.document.activities
        contents = {entity.id: (entity.path, entity.content_digest) for entity in entities}

        def is_past(n: int) -> bool:
            last = max(m for m, other in enumerate(calls) if cells[other.id] == cells[calls[n].id])
            above = [other for other in calls[last + 1 :] if cells[other.id] < cells[calls[n].id]]
            left = [contents[usage.entity] for other in above for usage in other.generated]
            used = dict(contents[usage.entity] for usage in calls[n].used)
            return any(path in used and digest != used[path] for path, digest in left)

        found = _past(Lineage(replace(lineage.document, entities=entities)), cells)
        assert list(found) == [call.id for n, call in enumerate(calls) if is_past(n)]

    def test_calls_outside_of_cells_are_not_judged(self) -> None:
        lineage, _ = self.run(1, 3, 2, 4, 1)
        assert find_out_of_order(lineage, {}) == ()
        assert find_stale(lineage, {}) == ()


class TestOrderOfCopies:
    """Cell 1 makes an image, 2 smooths it in place, 3 uses a copy of one of the two."""

    @staticmethod
    def run(*numbers: int, copied_after: int) -> list[str]:
        """Run cells in this order, with a copy after one of them; return what is stale."""
        story, cells = Story(), {}
        for number in numbers:
            match number:
                case 1:
                    call = story.call("imsubimage", used=["cube.im"], generated=["a.im"])
                case 2:
                    call = story.call("imsmooth", changed=["a.im"])
                case _:
                    call = story.call("exportfits", used=["b.im"], generated=["b.fits"])
            if number == copied_after and "b.im" not in story.current:
                story.copy("a.im", "b.im")
            cells[call.id] = number
        return list(map(str, find_stale(Lineage(story.document), cells)))

    def test_a_copy_of_what_was_made_anew_is_past(self) -> None:
        assert self.run(1, 3, 1, copied_after=1) == [
            "b.fits is stale: exportfits used b.im, a copy of a.im, as it was before cell 1 (imsubimage) was run again"
        ]
        assert len(self.run(1, 2, 3, 1, copied_after=2)) == len(self.run(1, 2, 3, 2, copied_after=2)) == 1

    def test_the_cell_that_made_the_content_may_be_gone(self) -> None:
        story = Story()
        story.call("imsubimage", used=["cube.im"], generated=["a.im"])
        story.copy("a.im", "b.im")
        used = story.call("exportfits", used=["b.im"], generated=["b.fits"])
        again = story.call("imsubimage", used=["cube.im"], generated=["a.im"])
        assert len(find_stale(Lineage(story.document), {used.id: 3, again.id: 1})) == 1

    def test_a_copy_of_what_only_later_cells_changed_again_is_not(self) -> None:
        assert self.run(1, 2, 3, 2, copied_after=1) == []
        assert self.run(1, 2, 3, copied_after=1) == []

    def test_a_cell_that_used_a_copy_of_what_one_below_made_is_told(self) -> None:
        story = Story()
        below = story.call("imsubimage", used=["cube.im"], generated=["a.im"])
        story.copy("a.im", "b.im")
        above = story.call("exportfits", used=["b.im"], generated=["b.fits"])
        assert len(find_out_of_order(Lineage(story.document), {below.id: 2, above.id: 1})) == 1


class TestOldRuns:
    """Cell 1 imports, 2 calibrates in place, 3 solves, 4 images and goes on from the model that it finds."""

    def run(self, *numbers: int, fresh: bool = False, sessions: int = 0) -> tuple[Lineage, dict[str, int]]:
        """Run cells in this order, each with an execution count of its own; `fresh` removes images before."""
        story, cells = Story(), {}
        for count, number in enumerate(numbers, start=1):
            match number:
                case 1:
                    call = story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
                case 2:
                    call = story.call("applycal", changed=["a.ms"])
                case 3:
                    call = story.call("bandpass", used=["a.ms"], generated=["a.bcal"])
                case _:
                    there = "a.model" in story.current and not fresh
                    changed = ["a.model"] if there else []
                    generated = [] if there else ["a.model"]
                    call = story.call("tclean", used=["a.ms"], changed=changed, generated=generated)
            step = Step(source_digest=digest_bytes(str(number).encode()), cell_id=str(number), execution_count=count)
            session = "later" if sessions and count > sessions else call.session
            story.activities[-1] = replace(call, step=step, session=session)
            cells[call.id] = number
        return Lineage(story.document), cells

    def test_a_call_that_goes_on_from_an_earlier_run_of_its_cell_is_told_and_its_product_is_stale(self) -> None:
        lineage, cells = self.run(1, 4, 4)
        assert list(map(str, find_out_of_order(lineage, cells))) == [
            (
                "Cell 4 (tclean) continued from a.model, which an earlier run of cell 4 (tclean) had left; "
                "a run from the top begins without that"
            )
        ]
        assert list(map(str, find_stale(lineage, cells))) == [
            "a.model is stale: tclean continued from a.model, which cell 4 (tclean) had left in an earlier run"
        ]

    def test_a_run_of_the_whole_notebook_in_another_session_goes_on_as_well(self) -> None:
        lineage, cells = self.run(1, 4, 1, 4, sessions=2)
        assert [found.product.path for found in find_stale(lineage, cells)] == ["a.model"]

    def test_what_was_removed_before_is_nothing_to_go_on_from(self) -> None:
        lineage, cells = self.run(1, 4, 4, fresh=True)
        assert find_out_of_order(lineage, cells) == ()
        assert find_stale(lineage, cells) == ()

    def test_two_calls_of_one_run_may_go_on_from_each_other(self) -> None:
        lineage, cells = self.run(1, 4, 4)
        same = tuple(replace(a, step=lineage.document.activities[1].step) for a in lineage.document.activities)
        assert find_continued(Lineage(replace(lineage.document, activities=same)), cells) == {}

    def test_a_note_goes_away_when_the_cell_ran_again(self) -> None:
        lineage, cells = self.run(1, 2, 3, 1, 3)
        assert len(find_continued(*self.run(1, 2, 2, 3))) == 1
        assert find_out_of_order(lineage, cells) == ()
        twice = self.run(2, 1, 2, 2, 1, 2)
        assert find_out_of_order(*twice) == ()

    def test_what_does_not_matter_to_a_call_makes_nothing_stale(self) -> None:
        """Cell 3 solves after cell 2, which stands above and ran again, changed a column that it does not read."""
        lineage, cells = self.run(1, 2, 3, 2)
        assert [found.product.path for found in find_stale(lineage, cells)] == ["a.bcal", "a.ms"]

        def unread(call: Activity, usage: Usage, used: Entity, other: Entity | None) -> tuple[str, ...]:
            matters = all_matters(call, usage, used, other)
            return () if other is not None and call.task in ("bandpass", "applycal") else matters

        assert find_stale(lineage, cells, relevant=unread) == ()
        asked: list[tuple[str, str | None]] = []

        def flags(call: Activity, usage: Usage, used: Entity, other: Entity | None) -> tuple[str, ...]:
            asked.append((used.id, other.id if other is not None else None))
            return ("FLAG",)

        (one,) = (one for several in find_continued(lineage, cells, flags).values() for one in several)
        states = [state.id for state in lineage.states("a.ms")]
        assert asked == [(states[1], states[0])]  # as cell 1 left it, not as cell 2 had left it before
        assert one.source == "a.ms (FLAG)"
