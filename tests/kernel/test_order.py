"""The order of a notebook's cells, and the sentences about stale results."""

from __future__ import annotations

from casaprov.kernel.order import CellOrder, stale_notes, used_stale
from casaprov.lineage.graph import Lineage
from records import Story


def test_what_is_stale_for_one_reason_is_told_in_one_sentence() -> None:
    story = Story()
    story.call("importuvfits", used=["a.fits"], generated=["a.ms"])
    story.call("bandpass", used=["a.ms"], generated=["a.bcal"])
    story.call("gaincal", used=["a.ms", "a.bcal"], generated=["a.gcal"])
    story.call("bandpass", used=["a.ms"], generated=["a.bcal"])
    last = story.call("applycal", used=["a.bcal", "a.gcal"], changed=["a.ms"], generated=["a.ms.flagversions"])
    again = story.call("applycal", used=["a.bcal", "a.gcal", "a.ms.flagversions"], changed=["a.ms"])
    cells = dict(zip(story.ids, (1, 2, 3, 2, 4, 4), strict=True))
    lineage, order = Lineage(story.document), CellOrder(cells, {})
    (told,) = used_stale(lineage, order, [last.id, again.id])
    assert told.startswith("applycal used a.gcal, a.ms.flagversions and a.ms, which are stale: gaincal (")
    assert "used a.bcal as it was before bandpass (" in told
    ((paths, reason),) = stale_notes(lineage, order, lineage.products())
    assert {"a.gcal", "a.ms"} <= set(paths)
    assert reason in told


def test_what_a_cell_further_down_made_stale_is_not_told_above_it() -> None:
    """A user who improves solutions step by step runs gaincal and applycal again and again, in this order."""
    story = Story()
    story.call("importuvfits", used=["a.fits"], generated=["a.ms"])
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("applycal", used=["a.gcal"], changed=["a.ms"])
    again = story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    looking = story.call("tclean", used=["a.ms"], generated=["a.image"])
    cells = dict(zip(story.ids, (1, 2, 3, 2, 4), strict=True))
    lineage, order = Lineage(story.document), CellOrder(cells, {})
    assert used_stale(lineage, order, [again.id]) == []
    (told,) = used_stale(lineage, order, [looking.id])
    assert told.startswith("tclean used a.ms, which is stale: applycal (")


def test_what_a_cell_above_made_stale_is_told_though_one_below_did_as_well() -> None:
    story = Story()
    runs = []
    for cell in (1, 3, 4, 3, 2, 1, 3):
        match cell:
            case 1:
                runs.append(story.call("setjy", used=["a.fits"], generated=["a.cl"]))
            case 2:
                runs.append(story.call("ft", used=["a.cl"], changed=["a.ms"]))
            case 3:
                runs.append(story.call("gaincal", used=["a.ms"], generated=["a.gcal"]))
            case _:
                runs.append(story.call("applycal", used=["a.gcal"], changed=["a.ms"]))
    cells = dict(zip(story.ids, (1, 3, 4, 3, 2, 1, 3), strict=True))
    (told,) = used_stale(Lineage(story.document), CellOrder(cells, {}), [runs[-1].id])
    assert told.startswith("gaincal used a.ms, which is stale: ft (")
