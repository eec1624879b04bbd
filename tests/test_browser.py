"""JupyterLab 4 and Notebook 7 as a user sees them: nothing in the way, and the record in the saved file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright", reason="Playwright is missing: pip install playwright")
pytest.importorskip("notebook", reason="Notebook 7 is missing: pip install notebook")

from playwright.sync_api import Browser  # noqa: E402

from casaprov.notebook.export import record_of  # noqa: E402
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


def short_notebook(jupyter: JupyterServer, name: str, fits: Path) -> None:
    write_notebook(
        jupyter.folder / f"{name}.ipynb",
        [
            "%load_ext casaprov\nfrom casatasks import *",
            f"importuvfits(fitsfile={str(fits)!r}, vis='{name}.ms')",
            f"listed = listobs('{name}.ms')",
            f"flagged = flagdata(vis='{name}.ms', autocorr=True)",
            "print('peak', 2 + 2)",
        ],
    )


def tasks(notebook: dict[str, Any]) -> list[str]:
    index = notebook["metadata"]["casaprov"]
    validate_record(index, "notebook-metadata-1")
    return [call["task"] for call in index["calls"]]


def test_a_notebook_runs_and_is_saved_with_its_record(
    window: Browser, jupyter: JupyterServer, application: str, ngc5921_fits: Path
) -> None:
    name = application.split(maxsplit=1)[0]
    short_notebook(jupyter, name, ngc5921_fits)
    notebook = opened(window, jupyter, application, f"{name}.ipynb")
    notebook.run_all()
    assert notebook.outputs(4).inner_text().strip() == "peak 4"
    written = notebook.save()
    assert tasks(written) == ["importuvfits", "listobs", "flagdata"]
    assert [call["cell"] for call in written["metadata"]["casaprov"]["calls"]] == [
        c["id"] for c in written["cells"][1:4]
    ]

    notebook.open()
    assert notebook.outputs(4).inner_text().strip() == "peak 4"
    assert notebook.save()["metadata"] == written["metadata"]
    assert notebook.dialogs == []
    notebook.page.close()


def test_a_notebook_that_is_renamed_while_it_is_open_keeps_all_its_calls(
    window: Browser, jupyter: JupyterServer, ngc5921_fits: Path
) -> None:
    short_notebook(jupyter, "before", ngc5921_fits)
    notebook = opened(window, jupyter, "JupyterLab", "before.ipynb")
    notebook.run_all()
    notebook.save()
    notebook.rename("after.ipynb")
    notebook.run(2)
    assert tasks(notebook.save()) == ["importuvfits", "listobs", "flagdata", "listobs"]

    notebook.restart_kernel()
    notebook.run(0)
    notebook.run(2)
    index = notebook.save()["metadata"]["casaprov"]
    assert [call["task"] for call in index["calls"]] == ["importuvfits", "listobs", "flagdata", "listobs", "listobs"]
    assert len(index["sessions"]) == 2
    record = record_of(notebook.path)
    assert record.activities[-1].used[0].entity in {usage.entity for usage in record.activities[2].generated}

    notebook.menu("Edit", "Clear Outputs of All Cells")
    cleared = notebook.save()
    assert [cell["outputs"] for cell in cleared["cells"]] == [[]] * 5
    assert len(tasks(cleared)) == 5
    assert not (jupyter.folder / "before.ipynb").exists()
    assert notebook.dialogs == []
    notebook.page.close()
