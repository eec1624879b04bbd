"""The continuum notebook in the CASA kernel: every figure there, every call recorded, packed and replayed."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image

from casaprov.casa.hooks.tasks import task_names
from casaprov.casa.installed.data import import_casatasks
from casaprov.casa.plots.appimages import PLOT_TASKS
from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.kernelspec import DISPLAY_NAME, NAME
from casaprov.records.model import Activity, Document
from casaprov.records.schema import validate_record
from checkout import EXAMPLES
from made_once import made_once

NOTEBOOK = EXAMPLES / "continuum.ipynb"

PAGES = {"figure-initial-phase": 2, "figure-bandpass-amplitude": 2, "figure-phase": 2}
"""Pictures of a cell that has more than one: pages of an iteration, or two calls."""

FEWEST_BYTES, FEWEST_COLOURS, SMALLEST = 5_000, 8, (560, 480)


@dataclass(frozen=True)
class Executed:
    """The notebook after it was run, and its record."""

    path: Path
    cells: dict[str, NotebookNode]
    metadata: dict[str, Any]
    document: Document

    def pictures(self, cell: str) -> list[bytes]:
        shown = (output.data for output in self.cells[cell].outputs if output.output_type == "display_data")
        return [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]

    def told(self, cell: str) -> str:
        return "".join(output.text for output in self.cells[cell].outputs if output.get("name") == "stdout")


def source_cells() -> dict[str, str]:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    return {cell.id: cell.source for cell in cells if cell.cell_type == "code"}


def calls_of(cells: dict[str, str]) -> dict[str, list[str]]:
    """Tasks that each cell calls, as its text says: by name, or with go the one that default or tget chose."""
    names = {*task_names(import_casatasks()), *PLOT_TASKS}
    chosen = ""
    found: dict[str, list[str]] = {}
    for cell, source in cells.items():
        found[cell] = []
        for line in source.splitlines():
            if choice := re.match(r"""(?:default|tget)\(["']?(\w+)""", line):
                chosen = choice[1]
            elif re.match(r"go\b", line):
                found[cell].append(chosen)
            elif (call := re.match(r"(?:\w+ = )?(\w+)\(", line)) and call[1] in names:
                found[cell].append(call[1])
    return found


@pytest.fixture(scope="module")
def calls() -> dict[str, list[str]]:
    return calls_of(source_cells())


@pytest.fixture(scope="module")
def executed(casa_site_config: Any, gui: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executed]:
    def execute(folder: Path) -> None:
        (folder / "run").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_DATA_DIR", str(folder / "nothing"))
            patch.setenv("JUPYTER_PATH", str(folder / "share" / "jupyter"))
            assert main(["kernel", "install", "--prefix", str(folder)]) == 0
            assert main(["run", str(NOTEBOOK), "-o", str(folder / "run" / "continuum.ipynb")]) == 0

    folder = made_once(tmp_path_factory, "continuum", execute)
    path = folder / "run" / "continuum.ipynb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "share" / "jupyter"))
        notebook = nbformat.read(path, as_version=4)
        code = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
        yield Executed(path, code, notebook.metadata, read_document(journal_folder(path), path.name))


def test_notebook_is_valid_and_carries_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec == {"display_name": DISPLAY_NAME, "language": "python", "name": NAME}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert not any("casaprov" in cell.source or "casatasks" in cell.source for cell in code)
    assert not re.search(r"[\"'](/|~|[A-Z]:\\)", NOTEBOOK.read_text().replace('"/demo/', ""))


@pytest.mark.casa
def test_it_is_as_long_as_the_one_that_it_follows(calls: dict[str, list[str]]) -> None:
    every = [task for tasks in calls.values() for task in tasks]
    assert len(every) >= 44
    assert every.count("plotms") >= 18
    assert {"imview", "plotants"} <= set(every)


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_no_cell_fails(executed: Executed) -> None:
    errors = [cell for cell in executed.cells.values() if any(o.output_type == "error" for o in cell.outputs)]
    assert errors == []
    assert [cell.execution_count for cell in executed.cells.values()] == list(range(1, len(executed.cells) + 1))


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_every_call_is_recorded_once_and_in_order(executed: Executed, calls: dict[str, list[str]]) -> None:
    made = [task for tasks in calls.values() for task in tasks]
    assert [activity.task for activity in executed.document.activities] == made
    assert {activity.outcome for activity in executed.document.activities} == {"completed"}


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_every_figure_is_there_once_and_no_blank(executed: Executed, calls: dict[str, list[str]]) -> None:
    drawing = {cell for cell, tasks in calls.items() if {"plotms", "imview", "plotants"} & set(tasks)}
    assert drawing == {cell for cell in calls if cell.startswith("figure-")}
    assert {cell: len(executed.pictures(cell)) for cell in drawing} == {cell: PAGES.get(cell, 1) for cell in drawing}
    every = [picture for cell in sorted(drawing) for picture in executed.pictures(cell)]
    assert len(set(every)) == len(every), "a picture is shown twice"
    for picture in every:
        image = Image.open(io.BytesIO(picture))
        assert len(picture) > FEWEST_BYTES
        assert image.width >= SMALLEST[0]
        assert image.height >= SMALLEST[1]
        assert len(image.convert("RGB").getcolors(2**24)) >= FEWEST_COLOURS


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_every_figure_is_a_product_of_its_call(executed: Executed) -> None:
    paths = {entity.id: entity.path for entity in executed.document.entities}

    def drawn(call: Activity) -> set[bytes]:
        files = [executed.path.parent / paths[usage.entity] for usage in call.generated]
        return {file.read_bytes() for file in files if file.suffix == ".png"}

    recorded = set().union(*(drawn(call) for call in executed.document.activities))
    shown = {picture for cell in executed.cells for picture in executed.pictures(cell) if cell.startswith("figure-")}
    antennas = (executed.path.parent / "ngc5921.antennas.png").read_bytes()
    assert antennas in shown
    assert shown == recorded
    beside = {file.name for file in executed.path.parent.glob("*.png")}
    assert beside == {"ngc5921.antennas.png"}, "pictures without a name are kept out of the way"


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_the_log_of_every_call_is_folded_below_its_cell(executed: Executed, calls: dict[str, list[str]]) -> None:
    for name, tasks in calls.items():
        outputs = executed.cells[name].outputs
        pages = [output.data.get("text/html", "") for output in outputs if output.output_type == "display_data"]
        folded = re.findall(r"<details[^>]*>\s*<summary[^>]*>(.*?)</summary>", "".join(pages), re.DOTALL)
        logs = [re.sub("<[^>]+>", "", summary).partition(":")[0].strip() for summary in folded if "log line" in summary]
        assert logs == tasks, name


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_the_index_in_the_notebook_is_valid_and_complete(executed: Executed, calls: dict[str, list[str]]) -> None:
    index = executed.metadata["casaprov"]
    validate_record(json.loads(json.dumps(index)), "notebook-metadata-1")
    assert [call["task"] for call in index["calls"]] == [task for tasks in calls.values() for task in tasks]


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_the_reduction_finds_what_casas_references_say(executed: Executed) -> None:
    assert executed.told("set-flux-density") == "3C 286: 14.76 Jy\n"
    (flux,) = re.findall(r"1445\+099: (\d\.\d+) ±", executed.told("transfer-flux-scale"))
    assert float(flux) == pytest.approx(2.485, abs=0.006)
    before, after = (
        [float(number) for number in re.findall(r"\d+\.\d+", line)]
        for line in executed.told("measure-self").splitlines()
    )
    assert before[1] > before[0], "self-calibration raises the peak"
    assert after[1] < after[0], "and lowers the noise"


@pytest.mark.casa
@pytest.mark.slow
@pytest.mark.long
def test_it_is_packed_and_a_confined_replay_verifies_every_product(
    executed: Executed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crate = tmp_path / "continuum.crate.zip"
    assert main(["export", str(executed.path), "-o", str(crate)]) == 0
    capsys.readouterr()
    code = main(["replay", str(crate), "--work", str(tmp_path / "again"), "--json"])
    told = json.loads(capsys.readouterr().out)
    found = {product["path"]: product["comparison"]["verdict"] for product in told["products"]}
    assert {path: verdict for path, verdict in found.items() if verdict not in ("identical", "same-content")} == {}
    pictures = [path for path in found if path.endswith(".png")]
    assert len(pictures) == sum(len(executed.pictures(cell)) for cell in executed.cells)
    assert told["confined"] is True
    assert code == 0
