"""JupyterLab 4 and Notebook 7 as a user sees them: nothing in the way, and the record in the saved file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright", reason="Playwright is missing: pip install playwright")
pytest.importorskip("notebook", reason="Notebook 7 is missing: pip install notebook")

from playwright.sync_api import Browser  # noqa: E402

from casaprov.validate import validate_record  # noqa: E402
from jupyter_pages import APPLICATIONS, JupyterServer, NotebookPage, browser, chromium, server  # noqa: E402
from reductions import write_notebook  # noqa: E402

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
def jupyter(casa_site_config: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with server(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(params=sorted(APPLICATIONS))
def application(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(window: Browser, jupyter: JupyterServer, application: str, name: str) -> NotebookPage:
    page = window.new_page(viewport={"width": 1280, "height": 1000})
    notebook = NotebookPage(page, jupyter, application, name)
    notebook.open()
    return notebook


def test_a_notebook_runs_and_is_saved_with_its_record(
    window: Browser, jupyter: JupyterServer, application: str, ngc5921_fits: Path
) -> None:
    folder = application.split(maxsplit=1)[0]
    write_notebook(
        jupyter.folder / f"{folder}.ipynb",
        [
            "%load_ext casaprov\nfrom casatasks import *",
            f"importuvfits(fitsfile={str(ngc5921_fits)!r}, vis='{folder}.ms')",
            f"listed = listobs('{folder}.ms')",
            f"flagdata(vis='{folder}.ms', autocorr=True)",
            "print('peak', 2 + 2)",
        ],
    )
    notebook = opened(window, jupyter, application, f"{folder}.ipynb")
    notebook.run_all()
    assert notebook.outputs(4).inner_text().strip() == "peak 4"
    index = notebook.save()["metadata"]["casaprov"]
    validate_record(index, "notebook-metadata-1")
    assert [call["task"] for call in index["calls"]] == ["importuvfits", "listobs", "flagdata"]
    notebook.screenshot(jupyter.folder / f"{folder}.png")
    assert notebook.dialogs == []
    notebook.page.close()
