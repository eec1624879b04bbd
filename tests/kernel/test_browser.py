"""JupyterLab 4 and Notebook 7 as a user sees them: nothing in the way, and the record in the saved file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import nbformat
import pytest

from checkout import EXAMPLES

pytest.importorskip("playwright", reason="Playwright is missing: pip install playwright")
pytest.importorskip("notebook", reason="Notebook 7 is missing: pip install notebook")

from playwright.sync_api import Browser

from casaprov.notebook.export import record_of
from casaprov.records.schema import validate_record
from jupyter_pages import APPLICATIONS, JupyterServer, NotebookPage, browser, chromium, server, wait_until
from reductions import Reduction, write_notebook

EXAMPLE = EXAMPLES / "ngc5921.ipynb"

pytestmark = [
    pytest.mark.casa,
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="Chromium is missing: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def alone(casa_site_config: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server as one user has it, with the kernel "CASA (casaprov)"."""
    with server(tmp_path_factory.mktemp("alone")) as running:
        running.command("casaprov", "kernel", "install", "--user")
        yield running


@pytest.fixture(scope="module")
def together(casa_site_config: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server with jupyter-collaboration, which saves notebooks by itself."""
    if find_spec("jupyter_server_ydoc") is None:
        pytest.skip("jupyter-collaboration is missing: pip install jupyter-collaboration")
    with server(tmp_path_factory.mktemp("together"), collaboration=True) as running:
        yield running


def opened(window: Browser, jupyter: JupyterServer, application: str, name: str) -> NotebookPage:
    page = window.new_page(viewport={"width": 1280, "height": 1000})
    notebook = NotebookPage(page, jupyter, application, name)
    notebook.open()
    return notebook


def tasks(notebook: dict[str, Any]) -> list[str]:
    index = notebook["metadata"]["casaprov"]
    validate_record(index, "notebook-metadata-1")
    return [call["task"] for call in index["calls"]]


def check_first_run(notebook: NotebookPage) -> list[str]:
    """Look at the example after its cells ran once from top to bottom; return the tasks that its saved file names."""
    last = notebook.cells().count() - 1
    assert notebook.page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    # a fold for each call, closed; the log is behind it
    applied = notebook.outputs(notebook.place("apply-calibration")).locator("details")
    assert [fold.locator("summary").inner_text().partition(":")[0] for fold in applied.all()] == ["applycal"] * 2
    assert not applied.first.locator("pre").is_visible()
    applied.first.locator("summary").click()
    assert "ngc5921.fluxscale" in applied.first.locator("pre").inner_text()
    for figure in ("figure-antennas", "figure-spectrum", "figure-moments"):
        picture = notebook.outputs(notebook.place(figure)).locator("img")
        assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
    assert "Nothing is stale" in notebook.outputs(last - 1).last.inner_text()
    graph = notebook.outputs(last).locator("svg, img")
    graph.first.scroll_into_view_if_needed()
    size = graph.first.bounding_box()
    assert size is not None
    assert size["height"] > 500

    written = notebook.save()
    made = tasks(written)
    assert len(made) >= 20
    assert {"importuvfits", "applycal", "tclean", "exportfits"} <= set(made)
    assert {call["cell"] for call in written["metadata"]["casaprov"]["calls"]} <= {c["id"] for c in written["cells"]}
    return made


def check_second_run(notebook: NotebookPage, made: list[str]) -> None:
    """Run two cells again, out of order and with another parameter: later calls used a stale product."""
    last = notebook.cells().count() - 1
    solved = notebook.place("solve-bandpass")
    notebook.write(solved, "bandpass(vis=vis, caltable=prefix + '.bcal', field='0', solint='inf', refant='8');")
    notebook.run(solved)
    notebook.run(notebook.place("apply-calibration"))
    # It is told when what the calls left is digested, after the cell has ended.
    notebook.outputs(notebook.place("apply-calibration")).get_by_text("Stale:").first.wait_for()
    written = notebook.save()
    assert tasks(written) == [*made, "bandpass", "applycal", "applycal"]

    notebook.open()
    notebook.outputs(last).locator("svg, img").first.wait_for()
    assert notebook.save()["metadata"] == written["metadata"]
    assert notebook.dialogs == []


@pytest.mark.long  # a browser without a graphics card draws for minutes
def test_the_example_runs_in_the_casa_kernel(window: Browser, alone: JupyterServer) -> None:
    # One test, in which both run at the same time: tests in two processes would run both twice.
    example = nbformat.read(EXAMPLE, as_version=4)
    example.metadata["kernelspec"] = {"name": "casaprov", "display_name": "CASA (casaprov)", "language": "python"}
    example.cells += [nbformat.v4.new_code_cell("%casaprov status"), nbformat.v4.new_code_cell("%casaprov graph")]
    pages = []
    for application in APPLICATIONS:
        folder = alone.folder / application.split(maxsplit=1)[0]
        folder.mkdir()
        nbformat.write(example, folder / "galaxy.ipynb")
        pages.append(opened(window, alone, application, f"{folder.name}/galaxy.ipynb"))
        pages[-1].run_all()
    for notebook in pages:
        notebook.wait_until_run(300)
        check_second_run(notebook, check_first_run(notebook))
        notebook.page.close()


@pytest.mark.long
def test_a_notebook_that_is_renamed_while_it_is_open_keeps_all_its_calls(
    window: Browser, together: JupyterServer, reduction: Reduction
) -> None:
    shutil.copytree(reduction.data / "n.ms", together.folder / "n.ms")
    cells = [
        "%load_ext casaprov\nfrom casatasks import *",
        "flagged = flagdata(vis='n.ms', autocorr=True)",
        "listed = listobs('n.ms')",
        "print('peak', 2 + 2)",
    ]
    write_notebook(together.folder / "before.ipynb", cells)
    notebook = opened(window, together, "JupyterLab", "before.ipynb")
    notebook.run_all()
    notebook.wait_until_run()
    assert notebook.outputs(3).inner_text().strip() == "peak 4"
    notebook.save()
    notebook.rename("after.ipynb")
    notebook.run(2)
    assert tasks(notebook.save()) == ["flagdata", "listobs", "listobs"]

    notebook.restart_kernel()
    notebook.run(0)
    notebook.run(2)
    written = notebook.save()
    assert tasks(written) == ["flagdata", "listobs", "listobs", "listobs"]
    assert len(written["metadata"]["casaprov"]["sessions"]) == 2
    record = record_of(notebook.path)
    assert record.activities[-1].used[0].entity in {usage.entity for usage in record.activities[0].used}

    notebook.menu("Edit", "Clear Outputs of All Cells")
    cleared = notebook.save()
    assert [cell["outputs"] for cell in cleared["cells"]] == [[]] * 4
    assert tasks(cleared) == tasks(written)
    assert not (together.folder / "before.ipynb").exists()
    assert notebook.dialogs == []
    notebook.page.close()


@pytest.mark.long
def test_a_notebook_that_is_renamed_while_its_kernel_starts_keeps_its_calls(
    window: Browser, alone: JupyterServer, reduction: Reduction
) -> None:
    folder = alone.folder / "renamed"
    folder.mkdir()
    shutil.copytree(reduction.data / "n.ms", folder / "n.ms")
    metadata = {"kernelspec": {"name": "casaprov", "display_name": "CASA (casaprov)", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(text) for text in ("listobs('n.ms')", "flagdata('n.ms', autocorr=True);")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), folder / "Untitled.ipynb")
    page = window.new_page(viewport={"width": 1280, "height": 1000})
    notebook = NotebookPage(page, alone, "JupyterLab", "renamed/Untitled.ipynb")
    notebook.show()
    wait_until(lambda: notebook.kernel_state() != "", 60, "the kernel starts", page)
    assert notebook.kernel_state() == "starting"
    notebook.rename("ngc.ipynb")
    notebook.run_all()
    notebook.wait_until_run()
    assert tasks(notebook.save()) == ["listobs", "flagdata"]
    notebook.restart_kernel()
    notebook.run(0)
    assert tasks(notebook.save()) == ["listobs", "flagdata", "listobs"]
    assert [call.task for call in record_of(notebook.path).activities] == ["listobs", "flagdata", "listobs"]
    notebook.page.close()
