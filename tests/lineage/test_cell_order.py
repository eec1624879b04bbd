"""The order of cells: what used the result of a cell further down, and what is stale."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casaprov.hashing import digest_bytes
from casaprov.lineage.cell_order import _past, find_out_of_order, find_stale
from casaprov.lineage.graph import Lineage
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
