"""The example notebook: a valid notebook that finds what CASA's own references say."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode

from checkout import EXAMPLES
from made_once import made_once

NOTEBOOK = EXAMPLES / "ngc5921.ipynb"

TABLES = [
    "ngc5921.ms",
    "ngc5921.bcal",
    "ngc5921.gcal",
    "ngc5921.fluxscale",
    "ngc5921.src.split.ms",
    "ngc5921.contsub.ms",
    "ngc5921.cube.image",
    "ngc5921.moments.integrated",
    "ngc5921.moments.weighted_coord",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "example", execute)


@pytest.fixture(scope="module")
def executed(folder: Path) -> NotebookNode:
    """Return the notebook with its outputs, run by the interpreter that runs this test."""
    return nbformat.read(folder / "executed.ipynb", as_version=4)


def execute(folder: Path) -> None:
    """Run the notebook in a folder, without the command line of casaprov."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    spec = folder / "kernels" / "here" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "this interpreter", "language": "python"}))
    specs = KernelSpecManager(kernel_dirs=[str(spec.parents[1])], ensure_native_kernel=False)
    manager = AsyncKernelManager(kernel_name="here", kernel_spec_manager=specs)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    work = folder / "a folder"
    work.mkdir()
    client = NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": str(work)}})
    client.execute(cleanup_kc=True)  # the manager came from here, so nbclient would leave its sockets open
    nbformat.write(notebook, folder / "executed.ipynb")


def printed(notebook: NotebookNode, cell_id: str) -> str:
    (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
    return "".join(output.text for output in cell.outputs if output.get("name") == "stdout")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def test_notebook_is_valid_and_carries_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert code[0].source == "%load_ext casaprov"


def test_notebook_names_no_folder_of_one_machine() -> None:
    assert not re.search(r"[\"'](/|~|[A-Z]:\\)", NOTEBOOK.read_text())


@pytest.mark.casa
@pytest.mark.slow
def test_flux_densities_agree_with_casas_references(executed: NotebookNode) -> None:
    assert printed(executed, "set-flux-density").split(": ")[1] == "14.76 Jy\n"
    told = printed(executed, "transfer-flux-scale")
    flux, error = numbers(told)
    assert abs(flux - 2.48362) < 0.00216
    assert abs(flux - 2.48576) < (0.00123**2 + error**2) ** 0.5


@pytest.mark.casa
@pytest.mark.slow
def test_moments_agree_with_casas_regression_test(executed: NotebookNode) -> None:
    peak, _, mean = numbers(printed(executed, "make-moments"))
    assert peak == pytest.approx(1.4868, rel=0.05)
    assert mean == pytest.approx(1486.8473, rel=0.05)


@pytest.mark.casa
@pytest.mark.slow
def test_every_figure_is_drawn(executed: NotebookNode) -> None:
    figures = {cell.id: cell.outputs for cell in executed.cells if cell.id.startswith("figure-")}
    assert set(figures) == {"figure-antennas", "figure-spectrum", "figure-moments"}
    for outputs in figures.values():
        (png,) = (output.data["image/png"] for output in outputs if "image/png" in output.get("data", {}))
        assert base64.b64decode(png).startswith(b"\x89PNG")


@pytest.mark.casa
@pytest.mark.slow
def test_every_product_is_there(executed: NotebookNode, folder: Path) -> None:
    work = folder / "a folder"
    assert executed.cells
    assert [name for name in TABLES if not (work / name / "table.dat").is_file()] == []


@pytest.mark.casa
@pytest.mark.slow
def test_fits_files_hold_what_the_notebook_measured(executed: NotebookNode, folder: Path) -> None:
    from astropy.io import fits

    peak = numbers(printed(executed, "make-moments"))[0]
    with fits.open(folder / "a folder" / "ngc5921_mom0.fits") as hdus:
        assert hdus[0].header["BUNIT"] == "Jy/beam.km/s"
        assert np.nanmax(hdus[0].data) == pytest.approx(peak, abs=0.0005)
    with fits.open(folder / "a folder" / "ngc5921_cube.fits") as hdus:
        assert sorted(hdus[0].data.shape) == [1, 46, 256, 256]
        assert hdus[0].header["CTYPE3"].startswith("VRAD")
