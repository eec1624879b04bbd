"""``casaprov inspect``: parts, drawings, PROV-JSON and the order of cells, of a crate and of a notebook."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prov.model import ProvDocument

from casaprov.cli.commands import main
from casaprov.cli.render import graph_view
from casaprov.cli.terminal import PlainConsole
from casaprov.crate import open_crate
from casaprov.hashing import digest_bytes
from casaprov.lineage.prov import from_prov
from casaprov.notebook.subject import cell_numbers
from casaprov.records.model import Activity, Document, Step
from records import Story
from reductions import Reduction, reduce
from sample_records import make_reduction, pack_reduction


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    return pack_reduction(make_reduction(tmp_path / "nb"), tmp_path / "x.zip").path


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": cells}).encode()


def code(source: str | list[str], cell_id: str | None = None) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, **({"id": cell_id} if cell_id else {})}


def called_in(source: str, cell_id: str | None = None) -> tuple[Document, Activity]:
    story = Story()
    call = story.call("listobs", used=["a.ms"])
    step = Step(source_digest=digest_bytes(source.encode()), cell_id=cell_id, execution_count=3)
    return replace(story.document, activities=(replace(call, step=step),)), call


def test_the_graph_is_shown_or_drawn_wherever_the_option_stands(
    crate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(crate), "--graph"]) == 0
    tree = capsys.readouterr().out
    assert "├──" in tree
    assert main(["inspect", "--graph", str(crate)]) == 0
    assert capsys.readouterr().out == tree
    assert main(["inspect", "--graph", str(tmp_path / "g.dot"), str(crate)]) == 0
    assert "g.dot" in capsys.readouterr().out
    assert (tmp_path / "g.dot").read_text().startswith("digraph")
    assert main(["inspect", str(crate), "--graph", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "casaprov/graph/1"


def test_prov_is_written_beside_the_json(crate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(crate), "--prov", str(tmp_path / "p.json"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    document = open_crate(crate, tmp_path / "opened").document
    assert from_prov(json.loads((tmp_path / "p.json").read_text())) == document
    assert len(printed["activities"]) == len(document.activities)


def test_a_part_can_be_asked_for(crate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(crate), "--upstream", "n.gcal", "--json"]) == 0
    tasks = [activity["task"] for activity in json.loads(capsys.readouterr().out)["activities"]]
    assert tasks[-1] == "gaincal"
    assert main(["inspect", str(crate), "--downstream", "n.gcal", "--json"]) == 0
    assert "gaincal" not in [activity["task"] for activity in json.loads(capsys.readouterr().out)["activities"]]


@pytest.mark.parametrize(
    "options",
    [["--upstream", "nothing.ms"], ["--graph", "g.jpg"], ["--graph", "no/such/g.dot"], ["--prov", "no/such/p.json"]],
    ids=" ".join,
)
def test_what_cannot_be_done_is_a_usage_error(
    crate: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(crate), *options]) == 2
    assert options[1] in capsys.readouterr().err


def test_something_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect"]) == 2
    assert "Name a notebook or a crate" in capsys.readouterr().err


def test_a_cell_is_found_by_its_id_then_by_its_source() -> None:
    document, call = called_in("listobs('a.ms')", "moved")
    cells = [code("x = 1", "first"), {"cell_type": "markdown", "source": "text"}, code("edited", "moved")]
    assert cell_numbers(notebook(*cells), document) == {call.id: 2}
    cells = [code("x = 1"), code(["listobs(", "'a.ms')"])]
    assert cell_numbers(notebook(*cells), document) == {call.id: 2}


def test_a_cell_that_could_be_one_of_several_or_is_gone_is_left_out() -> None:
    document, _ = called_in("listobs('a.ms')")
    assert cell_numbers(notebook(code("listobs('a.ms')"), code("listobs('a.ms')")), document) == {}
    assert cell_numbers(notebook(code("x = 1")), document) == {}
    assert cell_numbers(notebook(), Story().document) == {}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"cells": 3}', b'{"cells": [3, {"cell_type": "code"}]}', b"\xff"])
def test_a_notebook_that_is_none_has_no_order(text: bytes) -> None:
    document, _ = called_in("listobs('a.ms')")
    assert cell_numbers(text, document) == {}


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
def test_cells_run_out_of_order_are_shown(
    casa_site_config: object, ngc5921_fits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = reduce(
        tmp_path,
        ngc5921_fits,
        [
            "%load_ext casaprov\nfrom casatasks import importuvfits, flagdata, listobs",
            "importuvfits(fitsfile='NGC5921.fits', vis='n.ms')",
            "flagdata(vis='n.ms', autocorr=True)",
            "listobs('n.ms', listfile='n.txt')",
        ],
    )
    # The user moves the last cell up, as if it had been run after the one that is now below it.
    moved = json.loads(done.notebook.read_text())
    moved["cells"][2:4] = moved["cells"][3:1:-1]
    done.notebook.write_text(json.dumps(moved))
    capsys.readouterr()
    assert main(["inspect", str(done.notebook)]) == 0
    assert "Cell 3 (listobs) used the result of cell 4 (flagdata)" in capsys.readouterr().out
    assert main(["inspect", str(done.crate)]) == 0
    assert "Cell" not in capsys.readouterr().out


@pytest.mark.casa
@pytest.mark.slow
def test_a_real_reduction_is_drawn_and_exported(reduction: Reduction, tmp_path: Path) -> None:
    picture, prov = tmp_path / "n.svg", tmp_path / "n.json"
    assert main(["inspect", str(reduction.crate), "--graph", str(picture), "--prov", str(prov)]) == 0
    drawn = picture.read_text()
    assert all(name in drawn for name in ("NGC5921.fits", "importuvfits", "n.ms", "n.gcal", "tclean", "n.fits"))
    calls = open_crate(reduction.crate, tmp_path / "opened").document.activities
    with prov.open() as file:
        records = ProvDocument.deserialize(file).get_records()
    assert sum(str(record.identifier).startswith("call:") for record in records) == len(calls)


def test_the_graph_goes_on_through_copies_and_changes_by_others() -> None:
    story = Story()
    story.call("imsubimage", used=["cube.im"], generated=["a.im"])
    story.gap("a.im")
    story.copy("a.im", "b.im")
    story.call("immath", used=["b.im"], generated=["d.im"])
    file = io.StringIO()
    PlainConsole(file=file, width=200, no_color=True).print(graph_view(story.document))
    assert [line.lstrip("│└├─ ").rstrip() for line in file.getvalue().splitlines()] == [
        "ngc5921.ipynb",
        "d.im by 2 immath",
        "b.im copy of",
        "a.im (changed outside of tasks) from",
        "a.im by 1 imsubimage",
        "cube.im input",
    ]
