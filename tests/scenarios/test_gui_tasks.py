"""plotms and imview in a real kernel and in a real replay, on the VLA observation of NGC 5921."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from PIL import Image

from casaprov.casa.plots.appimages import PROGRAMS_VARIABLE, unpacked
from casaprov.cli.commands import main
from casaprov.journal.document import read_document
from casaprov.journal.folder import journal_folder
from casaprov.notebook.execute import run_notebook
from casaprov.records.model import Activity, Document
from casaprov.records.schema import validate_record
from live_kernel import CASA_EXTENSION, LiveKernel
from reductions import write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.slow, pytest.mark.usefixtures("casa_site_config", "gui")]

SMALL = "vis='n.ms', spw='0:30', antenna='1', field='0'"
CELLS = {
    "load": "%load_ext casaprov\nfrom casaplotms import plotms\nimport casaviewer",
    "import": "from casatasks import importuvfits, immath\nimportuvfits({fits!r}, 'n.ms')",
    "plot": f"plotms({SMALL}, xaxis='time', yaxis='amp')",
    "pages": "plotms('n.ms', spw='0:30', antenna='1', iteraxis='field', gridrows=1, showgui=True)",
    "named": f"import os\nos.mkdir('sub')\nplotms({SMALL}, plotfile='sub/named.png', width=900, height=700)",
    "image": "from casatools import image\nia = image()\nia.fromshape('m.image', [32, 32])\n"
    "ia.putchunk([[float(x * y) for y in range(32)] for x in range(32)])\nia.done()",
    "imview": "casaviewer.imview(raster={'file': 'm.image'}, contour={'file': 'm.image', 'levels': [0.5]})",
    "imview named": "from casaviewer import imview\nimview('m.image', out='view.png')",
    "selection": "plotms('n.ms', field='99')",
    "absent": "plotms('nothing.ms')",
    "no image": "imview('nothing.image')",
    "after": f"plotms({SMALL}, xaxis='time', yaxis='phase')",
}


@dataclass(frozen=True)
class Plotted:
    """A notebook that was run: its folder, its cells by name, and its record."""

    notebook: Path
    cells: dict[str, Any]
    document: Document

    def outputs(self, cell: str, mime: str = "image/png") -> list[Any]:
        outputs = [output for output in self.cells[cell].outputs if output.output_type == "display_data"]
        return [output.data[mime] for output in outputs if mime in output.data]

    def error(self, cell: str) -> str:
        (told,) = (output.evalue for output in self.cells[cell].outputs if output.output_type == "error")
        return str(told)

    def calls(self, task: str) -> list[Activity]:
        return [activity for activity in self.document.activities if activity.task == task]


@pytest.fixture(scope="module")
def plotted(ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory, gui: None) -> Plotted:
    folder = tmp_path_factory.mktemp("plotted")
    cells = [cell.replace("{fits!r}", repr(str(ngc5921_fits))) for cell in CELLS.values()]
    notebook = write_notebook(folder / "p.ipynb", cells)
    written = nbformat.read(notebook, 4)
    for cell in written.cells:
        cell.metadata["tags"] = ["raises-exception"]
    nbformat.write(written, notebook)
    result = run_notebook(notebook, notebook)
    assert result.failure is None
    assert result.document is not None
    run = dict(zip(CELLS, nbformat.read(notebook, 4).cells, strict=True))
    for name in ("load", "import", "plot", "pages", "named", "image", "imview", "imview named", "after"):
        assert not [output for output in run[name].outputs if output.output_type == "error"], run[name].outputs
    return Plotted(notebook, run, result.document)


def picture(encoded: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


@pytest.mark.long
def test_a_plot_without_a_file_is_shown_and_kept_out_of_the_way(plotted: Plotted) -> None:
    (shown,) = plotted.outputs("plot")
    call = plotted.calls("plotms")[0]
    assert call.outcome == "completed"
    (product,) = entities(plotted, call)
    assert product.path.startswith(".casaprov/p/plots/")
    assert (plotted.notebook.parent / product.path).read_bytes() == base64.b64decode(shown)
    assert picture(shown).size[0] > 600
    assert len(picture(shown).convert("RGB").getcolors(100_000)) > 2, "an empty picture"
    beside = {path.name for path in plotted.notebook.parent.iterdir()}
    assert {name for name in beside if name.endswith(".png")} == {"view.png"}


def entities(plotted: Plotted, call: Activity) -> list[Any]:
    known = {entity.id: entity for entity in plotted.document.entities}
    return [known[usage.entity] for usage in call.generated]


@pytest.mark.long
def test_all_pages_of_an_iteration_come_back_in_order(plotted: Plotted) -> None:
    call = plotted.calls("plotms")[1]
    pages = [
        output.data["text/plain"] for output in plotted.cells["pages"].outputs if "image/png" in output.get("data", {})
    ]
    assert len(plotted.outputs("pages")) == 3
    assert ["_Field1331" in pages[0], "_Field1445" in pages[1], "_FieldN5921" in pages[2]] == [True] * 3
    assert {Path(entity.path).name for entity in entities(plotted, call)} == {page[9:-1] for page in pages}
    assert call.parameters["showgui"] is False
    assert call.replaced["showgui"] is True
    assert call.parameters["exprange"] == "all"
    assert "showgui" in call.given


@pytest.mark.long
def test_a_file_that_the_user_names_is_the_one(plotted: Plotted) -> None:
    call = plotted.calls("plotms")[2]
    (product,) = entities(plotted, call)
    assert product.path == "sub/named.png"
    (shown,) = plotted.outputs("named")
    assert picture(shown).size == (900, 700)
    assert (plotted.notebook.parent / "sub" / "named.png").read_bytes() == base64.b64decode(shown)


@pytest.mark.long
def test_imview_draws_with_and_without_a_file(plotted: Plotted) -> None:
    first, second = plotted.calls("imview")[:2]
    (unnamed,), (named,) = entities(plotted, first), entities(plotted, second)
    assert unnamed.path.startswith(".casaprov/p/plots/")
    assert first.replaced == {"out": ""}
    assert named.path == "view.png"
    assert not second.replaced
    assert [usage.parameter for usage in first.used] == ["raster"]
    # The window, and with it the picture, would grow with every call.
    assert picture(plotted.outputs("imview")[0]).size == picture(plotted.outputs("imview named")[0]).size


@pytest.mark.long
def test_failures_say_why_and_are_recorded(plotted: Plotted) -> None:
    assert "99" in plotted.error("selection")
    assert "nothing.ms" in plotted.error("absent")
    assert "nothing.image" in plotted.error("no image")
    failed = [call for call in plotted.document.activities if call.outcome == "failed"]
    assert [call.task for call in failed] == ["plotms", "plotms", "imview"]
    assert all(call.failure and call.failure.type == "RuntimeError" for call in failed)
    assert len(plotted.outputs("after")) == 1, "a failure must not end plotting"


@pytest.mark.long
def test_the_records_are_valid(plotted: Plotted) -> None:
    for line in next(journal_folder(plotted.notebook).glob("*.jsonl")).read_text().splitlines():
        validate_record(json.loads(line), "journal-1")


@pytest.mark.long
def test_nothing_outlives_the_kernel(plotted: Plotted) -> None:
    assert not plotters(str(plotted.notebook.parent))


@pytest.mark.long
def test_a_replay_draws_the_same_pictures(plotted: Plotted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crate = tmp_path / "p.crate.zip"
    assert main(["export", str(plotted.notebook), "-o", str(crate)]) == 0
    capsys.readouterr()
    work = tmp_path / "again"
    main(["replay", str(crate), "--work", str(work), "--json"])
    told = json.loads(capsys.readouterr().out)
    verdicts = {
        product["path"]: product["comparison"]["verdict"]
        for product in told["products"]
        if product["path"].endswith(".png")
    }
    assert len(verdicts) == 8
    assert set(verdicts.values()) <= {"identical", "same-content"}
    assert told["confined"] is True
    assert not list(work.glob("*.dat"))


@pytest.mark.long
def test_where_nothing_can_draw_the_rest_is_replayed(
    plotted: Plotted, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crate = tmp_path / "p.crate.zip"
    assert main(["export", str(plotted.notebook), "-o", str(crate)]) == 0
    monkeypatch.setenv(PROGRAMS_VARIABLE, "/proc/nowhere")
    capsys.readouterr()
    main(["replay", str(crate), "--work", str(tmp_path / "again"), "--json"])
    told = json.loads(capsys.readouterr().out)
    found = {product["path"]: product["comparison"] for product in told["products"]}
    assert found["n.ms"]["verdict"] == "same-content"
    assert found["view.png"]["verdict"] == "not-verifiable"
    assert "casaviewer cannot draw here" in found["view.png"]["note"]


def plotters(belonging: str) -> list[str]:
    """Programs that draw whose command or environment names something."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (process / "comm").read_text().strip() in {"Xvfb", "casaplotms", "casaviewer"}:
                told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
                found += [process.name] if belonging.encode() in told else []
        except OSError:
            continue
    return found


@pytest.mark.long
def test_a_killed_kernel_leaves_no_program_and_no_file_behind(ngc5921_fits: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    mark = f"CASAPROV_TEST_MARK={tmp_path.name}-{os.getpid()}"
    name, _, value = mark.partition("=")
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path), env={**os.environ, name: value, "TMPDIR": str(scratch)})
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        code = (
            f"%load_ext casaprov\nfrom casatasks import importuvfits\nimportuvfits({str(ngc5921_fits)!r}, 'n.ms')\n"
            f"from casaplotms import plotms\nplotms({SMALL})"
        )
        reply = client.execute_interactive(code, timeout=120, output_hook=lambda _message: None)
        assert reply["content"]["status"] == "ok", reply
        assert len(plotters(mark)) == 2
        assert list(scratch.glob("casaprov-plots-*"))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)  # kills it
    until = time.monotonic() + 20
    while (plotters(mark) or any(scratch.glob("casaprov-*"))) and time.monotonic() < until:
        time.sleep(0.1)
    assert not plotters(mark)
    assert not any(scratch.glob("casaprov-*"))


WITHOUT_FUSE = """
import sys
from casaprov.casa.plots.programs import PlotPrograms
programs = PlotPrograms(xvfb=len(sys.argv) > 1)
told = programs.ready("casaplotms", "", "")
assert told["address"].rpartition(":")[2].isdigit(), told
print(told["display"])
programs.close()
"""


def test_programs_are_unpacked_once_where_there_is_no_fuse() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can take FUSE away from a process")
    hidden = 'mount --bind /dev/null /dev/fuse 2>/dev/null; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", hidden, "sh", sys.executable, "-c", WITHOUT_FUSE]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    assert first.stdout.strip() == ":offscreen"
    program = unpacked("casaplotms") / "AppRun"
    before = program.stat()
    second = subprocess.run([*command, "Xvfb"], check=True, capture_output=True, text=True)
    assert second.stdout.strip().removeprefix(":").isdigit()
    assert program.stat() == before


@pytest.mark.long
def test_an_old_notebook_s_default_and_go_draw(plotted: Plotted, tmp_path: Path) -> None:
    if find_spec("casashell") is None:
        pytest.skip("casashell is not installed: pip install -e '.[kernel]'")
    shutil.copytree(plotted.notebook.parent / "n.ms", tmp_path / "n.ms")
    kernel = LiveKernel(tmp_path, CASA_EXTENSION)
    try:
        shown = kernel.good("default(plotms)\nvis = 'n.ms'\nspw = '0:30'\nantenna = '1'\nfield = '0'\ngo()")
    finally:
        kernel.close()
    assert sum("image/png" in data for data in shown.data) == 1
    (folder,) = (tmp_path / ".casaprov").iterdir()
    (call,) = read_document(folder, folder.name).activities
    assert (call.task, call.package, call.outcome) == ("plotms", "casaplotms", "completed")
    assert {"vis", "spw", "antenna", "field"} <= set(call.given)
    assert call.replaced["showgui"] is True
