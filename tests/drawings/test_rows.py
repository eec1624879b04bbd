"""Folding: rows and lines that stay few where calls, states and pictures are many."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from casaprov.drawings.dot import to_dot
from casaprov.drawings.mermaid import to_mermaid
from casaprov.drawings.rows import Row, Rows, edges, fold
from casaprov.drawings.svg import to_svg
from casaprov.records.model import Document
from records import Story

LAPTOP = 1366  # pixels


def rounds(count: int) -> Document:
    """Self-calibration: nine calls a round, with pictures of everything."""
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"], parameters={"fitsfile": "raw.fits"})
    for n in range(count):
        plots = [f"round{n}-{k}.png" for k in range(4)]
        story.call(
            "gaincal", used=["a.ms"], generated=[f"r{n}.gcal"], parameters={"solint": f"{n + 1}min", "gaintype": "G"}
        )
        for plot in plots:
            story.call("plotms", used=[f"r{n}.gcal"], generated=[plot], parameters={"plotfile": plot, "xaxis": "time"})
        story.call("applycal", used=[f"r{n}.gcal"], changed=["a.ms", "a.ms.flagversions"])
        made = [f"r{n}.{kind}" for kind in ("image", "psf", "pb", "model", "residual")]
        story.call("tclean", used=["a.ms"], generated=made, parameters={"niter": 100 * n, "imsize": 512})
        story.call("imstat", used=[f"r{n}.image"])
        story.call("exportfits", used=[f"r{n}.image"], generated=[f"r{n}.fits"])
    return story.document


def row(folded: Rows, number: str) -> Row:
    return next(row for row in folded.rows if row.number == number)


def test_a_table_that_calls_change_is_one_line_with_states() -> None:
    folded = fold(rounds(3))
    (table,) = (lane for lane in folded.lanes if lane.path == "a.ms")
    assert table.states == 4
    how = [mark.how for one in folded.rows for mark in one.marks if folded.lanes[mark.lane] is table]
    assert how.count("made") == 1
    assert how.count("changed") == 3
    assert not [lane for lane in folded.lanes if lane.path.endswith(".flagversions")]


def test_pictures_are_counted_and_results_named_in_the_row_of_their_call() -> None:
    folded = fold(rounds(1))
    plots = row(folded, "3–6")
    assert (plots.title, plots.pictures, plots.results) == ("plotms × 4", 4, ())
    assert plots.parameters == "xaxis='time'"
    clean = row(folded, "8")
    assert clean.results == ("r0.psf", "r0.pb", "r0.model", "r0.residual")
    assert clean.parameters == "niter=0, imsize=512"
    assert not [lane for lane in folded.lanes if lane.path.endswith(".png")]


def test_two_calls_alike_stay_two_rows_and_a_failure_its_own() -> None:
    story = Story()
    for outcome in ("completed", "completed", "failed", "completed"):
        story.call("imstat", used=["a.image"], outcome=outcome)
    assert [row.number for row in fold(story.document).rows] == ["1", "2", "3", "4"]


def test_columns_are_used_again_and_lines_in_one_never_meet() -> None:
    folded = fold(rounds(30))
    assert max(lane.column for lane in folded.lanes) < 6
    for one in folded.lanes:
        for two in folded.lanes:
            if one is not two and one.column == two.column:
                assert one.last < two.first or two.last < one.first


def test_changes_and_copies_outside_of_calls_are_rows() -> None:
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.gap("a.ms")
    story.copy("a.ms", "b.ms")
    story.call("flagdata", changed=["b.ms"])
    folded = fold(story.document)
    assert [row.title for row in folded.rows] == [
        "importuvfits",
        "changed outside of tasks",
        "copied outside of tasks",
        "flagdata",
    ]
    assert [(edge.source, edge.target) for edge in edges(folded)] == [(None, 0), (0, 1), (1, 2), (2, 3)]


def test_inner_calls_belong_to_their_outer_call() -> None:
    story = Story()
    outer = story.call("simalma", generated=["sim.ms"])
    story.call("simobserve", generated=["x.ms"], parent=outer.id)
    (only,) = fold(story.document).rows
    assert only.results == ("sim.ms", "x.ms")


@pytest.mark.parametrize("calls", [6, 33])
def test_54_and_298_calls_fit_the_width_of_a_laptop_and_name_everything(calls: int) -> None:
    document = rounds(calls)
    svg = to_svg(document)
    root = ET.fromstring(svg)
    assert float(root.attrib["width"]) < LAPTOP
    assert float(root.attrib["height"]) < 45 * len(document.activities)
    assert len(svg) < 2_000 * len(document.activities)
    assert "solint=&#x27;1min&#x27;" in svg
    assert f"a.ms ·{calls + 1}" in svg
    assert "4 plots" in svg
    assert "round0" not in svg
    for text in ("read", "made", "changed in place", "changed outside of tasks", "input", "result"):  # the legend
        assert f">{text}</text>" in svg


def test_the_texts_for_other_programs_have_the_same_rows() -> None:
    document = rounds(2)
    folded = fold(document)
    dot, mermaid = to_dot(document), to_mermaid(document)
    assert len(re.findall(r"^  call\d+ \[label", dot, re.MULTILINE)) == len(folded.rows)
    assert len(re.findall(r"^    c\d+\[", mermaid, re.MULTILINE)) == len(folded.rows)
    assert 'label="a.ms ·2"' in dot
    assert "niter=100" in dot
    assert "4 plots" in dot
    assert "Legend" in dot
    assert '|"a.ms ·2"|' in mermaid


@pytest.mark.parametrize("text", ['a"b', "<b>&amp;</b>", "x\x1b[2J", "]] --> y", "end\nclick", "%%{init}%%", "`md`"])
def test_foreign_text_is_shown_and_never_obeyed(text: str) -> None:
    story = Story()
    story.call("split", used=[text], generated=[f"{text}.ms"], parameters={"field": text})
    svg = to_svg(story.document)
    ET.fromstring(svg.encode())
    assert "<b>" not in svg
    assert "\x1b" not in svg
    mermaid = to_mermaid(story.document)
    strings = re.findall(r'"([^"]*)"', mermaid)
    assert mermaid.count('"') == 2 * len(strings)
    assert all(not set("[]<>{}%`\n") & set(one.replace("<br/>", "")) for one in strings)
    assert mermaid.count("\n") == 1 + 4 + 3 + 2
    assert "\x1b" not in to_dot(story.document)
