"""Drawings: DOT text, the graph as JSON, and pictures by Graphviz."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from casaprov.errors import CasaprovError, MissingDependency, UsageError
from casaprov.lineage.drawing import DRAWING_FORMATS, draw, to_dot, to_graph
from records import Story

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz's program dot is not installed: apt-get install graphviz"
)

GOLDEN = """\
digraph "ngc5921.ipynb" {
  graph [label="ngc5921.ipynb", labelloc=t, fontname=Helvetica, fontsize=20];
  graph [rankdir=TB, nodesep=0.25, ranksep=0.22];
  node [fontname="Helvetica", fontsize=11, style=filled, margin="0.09,0.05"];
  edge [color="#555555", arrowsize=0.6, fontname="Helvetica", fontsize=9];
"""


@pytest.fixture
def story() -> Story:
    """A reduction with a change outside of tasks, and a failure in the end."""
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("gaincal", used=["a.ms"], generated=["a.gcal"])
    story.call("applycal", used=["a.gcal"], changed=["a.ms"])
    story.gap("a.ms")
    story.call("tclean", used=["a.ms"], generated=["a.image", "a.model", "a.psf", "a.residual"])
    story.call("exportfits", used=["a.image"], generated=["a.fits"])
    story.call("imfit", used=["a.image"], outcome="failed")
    return story


def long_story() -> Story:
    """Forty calls: self-calibration in ten rounds."""
    story = Story()
    for n in range(10):
        story.call("gaincal", used=["a.ms"], generated=[f"round{n}.gcal"])
        story.call("applycal", used=[f"round{n}.gcal"], changed=["a.ms"])
        story.call("tclean", used=["a.ms"], generated=[f"round{n}.{kind}" for kind in ("image", "psf", "pb", "model")])
        story.call("imstat", used=[f"round{n}.image"])
    return story


def node(dot: str, label: str) -> str:
    """Attributes of the node whose label starts so."""
    (line,) = (line for line in dot.splitlines() if f'[label="{label}' in line)
    return line


def test_the_text_of_a_small_reduction_is_golden() -> None:
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("flagdata", changed=["a.ms"])
    assert to_dot(story.document) == GOLDEN + (
        '  call1 [label="1  importuvfits", tooltip="20260501T100000-abcdef/0001", shape="box", '
        'style="filled,rounded", fillcolor="#33475b", fontcolor="white", color="#33475b"];\n'
        '  call2 [label="2  flagdata", tooltip="20260501T100000-abcdef/0002", shape="box", '
        'style="filled,rounded", fillcolor="#33475b", fontcolor="white", color="#33475b"];\n'
        '  state1 [label="raw.fits", tooltip="20260501T100000-abcdef/e0001", shape="ellipse", '
        'fillcolor="#fff2b3", color="#b38600", penwidth="1.6"];\n'
        '  state2 [label="a.ms\\nstate 1", tooltip="20260501T100000-abcdef/e0002", shape="ellipse", '
        'fillcolor="#d7e6f5", color="#777777", group="a.ms"];\n'
        '  state3 [label="a.ms\\nstate 2", tooltip="20260501T100000-abcdef/e0003", shape="ellipse", '
        'fillcolor="#c9ebc4", color="#1b7837", penwidth="1.6", group="a.ms"];\n'
        "  state1 -> call1;\n"
        "  call1 -> state2;\n"
        "  state2 -> call2 [penwidth=2, weight=8];\n"
        "  call2 -> state3 [penwidth=2, weight=8];\n"
        "}\n"
    )


def test_states_of_one_path_share_a_colour_and_are_numbered(story: Story) -> None:
    dot = to_dot(story.document)
    fills = {re.search(r'fillcolor="(#\w+)"', node(dot, f"a.ms\\nstate {number}")) for number in (1, 2, 3)}
    assert {found.group(1) for found in fills if found} == {"#d7e6f5"}
    assert "state" not in node(dot, "a.gcal").partition("label=")[2].partition(",")[0]


def test_troubles_are_red(story: Story) -> None:
    dot = to_dot(story.document)
    assert "changed outside of tasks" in node(dot, "a.ms\\nstate 3")
    assert 'style="filled,dashed"' in node(dot, "a.ms\\nstate 3")
    assert re.search(r'state\d+ -> state\d+ \[style=dashed, color="#c00000"\]', dot)
    assert 'color="#c00000"' in node(dot, "6  imfit\\nfailed")


def test_inputs_and_results_have_their_colours(story: Story) -> None:
    dot = to_dot(story.document)
    assert "#fff2b3" in node(dot, "raw.fits")
    assert "#c9ebc4" in node(dot, "a.fits")
    assert "#c9ebc4" not in node(dot, "a.image")


def test_what_nothing_used_stands_in_one_note(story: Story) -> None:
    assert 'shape="note"' in node(to_dot(story.document), "a.model\\na.psf\\na.residual")


def test_an_inner_call_hangs_on_its_outer_call() -> None:
    story = Story()
    outer = story.call("simalma", generated=["sim.ms"])
    story.call("simobserve", generated=["x.ms"], parent=outer.id)
    assert "call1 -> call2 [style=dotted" in to_dot(story.document)


def test_a_copy_hangs_on_what_it_was_copied_from() -> None:
    story = Story()
    story.call("importuvfits", used=["raw.fits"], generated=["a.ms"])
    story.call("flagdata", used=["b.ms"])
    copy = replace(story.entities[-1], copy_of=story.entities[1].id)
    document = replace(story.document, entities=(*story.entities[:-1], copy))
    assert 'state2 -> state3 [style=dashed, label="copied"];' in to_dot(document)
    assert [edge for edge in to_graph(document)["edges"] if edge["relation"] == "copy"] == [
        {"from": story.entities[1].id, "to": copy.id, "relation": "copy"}
    ]


def test_long_names_are_broken() -> None:
    story = Story()
    story.call("split", used=["uid___A002_X1234_with_a_very_long_name.ms.split.cal"], generated=["x" * 60])
    labels = re.findall(r'label="([^"]*)"', to_dot(story.document))
    assert max(len(line) for label in labels for line in label.split("\\n")) <= 24


def test_the_json_says_what_was_made_from_what(story: Story) -> None:
    graph = to_graph(story.document)
    labels = {node["id"]: node["label"] for node in graph["nodes"]}
    edges = {(labels[edge["from"]], edge["relation"], labels[edge["to"]]) for edge in graph["edges"]}
    assert ("raw.fits", "used", "1 importuvfits") in edges
    assert ("3 applycal", "generated", "a.ms") in edges
    assert ("a.ms", "revision", "a.ms") in edges
    facts = {node["label"]: node for node in graph["nodes"]}
    assert (facts["raw.fits"]["input"], facts["raw.fits"]["product"]) == (True, False)
    assert [node["id"][-5:] for node in graph["nodes"] if node.get("gap")] == ["e0005"]


@needs_dot
@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_pictures_are_drawn(story: Story, suffix: str, start: bytes, tmp_path: Path) -> None:
    draw(story.document, tmp_path / f"g{suffix}")
    assert (tmp_path / f"g{suffix}").read_bytes().startswith(start)


@needs_dot
def test_forty_calls_fit_on_a_page() -> None:
    dot = to_dot(long_story().document)
    done = subprocess.run(["dot", "-Tplain"], input=dot.encode(), capture_output=True, check=True)
    width, height = map(float, done.stdout.split()[2:4])
    assert (
        done.stdout.count(b"\nnode ") == 40 + 11 + 10 + 10 + 10
    )  # calls, states of the table, solutions, images, notes
    assert width < 12
    assert height < 50


@needs_dot
def test_the_names_are_in_the_picture_as_they_are(tmp_path: Path) -> None:
    story = Story()
    story.call("split", used=['a\\n"b" & <c>'], generated=["Größe &amp;.ms"])
    draw(story.document, tmp_path / "g.svg")
    drawn = (tmp_path / "g.svg").read_text()
    assert "a\\n&quot;b&quot; &amp; &lt;c&gt;" in drawn
    assert "Größe &amp;amp;.ms" in drawn


@pytest.mark.parametrize("suffix", [".dot", ".json"])
def test_texts_need_no_graphviz(story: Story, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    draw(story.document, tmp_path / f"g{suffix}")
    assert (tmp_path / f"g{suffix}").stat().st_size > 1000


def test_without_graphviz_it_is_said_how_to_get_it(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="apt-get install graphviz"):
        draw(story.document, tmp_path / "g.svg")
    assert not (tmp_path / "g.svg").exists()


def test_a_graphviz_that_fails_is_quoted(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dot").write_text("#!/bin/sh\necho 'no memory' >&2\nexit 1\n")
    (tmp_path / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(CasaprovError, match="no memory"):
        draw(story.document, tmp_path / "g.png")


@pytest.mark.parametrize("name", ["g.jpg", "g", "g.svg.zip"])
def test_a_format_that_is_none_is_refused(story: Story, name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be drawn") as refused:
        draw(story.document, tmp_path / name)
    assert all(suffix in refused.value.hint for suffix in DRAWING_FORMATS)
