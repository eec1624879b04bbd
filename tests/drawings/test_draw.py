"""Graphs as files: the format follows from the name, and only png and pdf need Graphviz."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from casaprov.drawings.draw import DRAWING_FORMATS, draw
from casaprov.drawings.graph_json import to_graph
from casaprov.errors import CasaprovError, MissingDependency, UsageError
from records import Story

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz's program dot is not installed: apt-get install graphviz"
)


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
@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_pictures_are_drawn(story: Story, suffix: str, start: bytes, tmp_path: Path) -> None:
    draw(story.document, tmp_path / f"g{suffix}")
    assert (tmp_path / f"g{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize("suffix", [".svg", ".dot", ".mmd", ".json"])
def test_all_but_png_and_pdf_need_no_graphviz(
    story: Story, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    draw(story.document, tmp_path / f"g{suffix}")
    assert (tmp_path / f"g{suffix}").stat().st_size > 500


def test_without_graphviz_it_is_said_how_to_get_it(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependency, match="apt-get install graphviz"):
        draw(story.document, tmp_path / "g.png")
    assert not (tmp_path / "g.png").exists()


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
