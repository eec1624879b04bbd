"""Programs that run, convert and strip notebooks: none of them loses a record."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from casaprov.cli.commands import main
from casaprov.journal.folder import journal_folder
from casaprov.notebook.bundle import BUNDLE_MIME
from casaprov.notebook.export import record_of
from casaprov.notebook.index import sync_notebook
from casaprov.records.schema import validate_record
from reductions import Reduction, write_notebook

pytestmark = [pytest.mark.casa, pytest.mark.usefixtures("casa_site_config")]

CELLS = (
    "%load_ext casaprov\nfrom casatasks import flagdata, listobs",
    "listfile = 'n.txt'",
    "listed = listobs('n.ms', listfile=listfile)",
    "summary = flagdata(vis='n.ms', autocorr=True)\nprint('flagged')",
)


def command(*words: str, cwd: Path) -> str:
    """Run a program of this environment; return what it says."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def with_nbclient(path: Path) -> Path:
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}})
    asyncio.run(client.async_execute())
    nbformat.write(notebook, path)
    return path


def with_papermill(path: Path) -> Path:
    out = path.with_name("papermill.ipynb")
    command("papermill", path.name, out.name, "-p", "listfile", "given.txt", "--no-progress-bar", cwd=path.parent)
    return out


def with_jupyter_execute(path: Path) -> Path:
    command("jupyter", "execute", "--inplace", path.name, cwd=path.parent)
    return path


def with_nbconvert(path: Path) -> Path:
    command("nbconvert", "--to", "notebook", "--execute", "--output", "converted", path.name, cwd=path.parent)
    return path.with_name("converted.ipynb")


PROGRAMS = [
    with_nbclient,
    *(pytest.param(other, marks=pytest.mark.long) for other in (with_papermill, with_jupyter_execute, with_nbconvert)),
]


def prepare(folder: Path, reduction: Reduction) -> Path:
    """Write the notebook beside a MeasurementSet; its second cell holds the parameters."""
    path = write_notebook(folder / "n.ipynb", CELLS)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    shutil.copytree(reduction.data / "n.ms", folder / "n.ms")
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory, reduction: Reduction) -> Callable[[Any], Path]:
    """The notebook as each program leaves it; run once, read-only."""
    results: dict[Any, Path] = {}

    def by(program: Any) -> Path:
        if program not in results:
            results[program] = program(prepare(tmp_path_factory.mktemp(program.__name__), reduction))
        return results[program]

    return by


def copied(notebook: Path, folder: Path) -> Path:
    """Copy a notebook with everything beside it; return the copy."""
    shutil.copytree(notebook.parent, folder, dirs_exist_ok=True)
    return folder / notebook.name


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def bundles(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    return [
        o.data[BUNDLE_MIME] for c in notebook.cells for o in c.get("outputs", []) if BUNDLE_MIME in o.get("data", {})
    ]


def tasks(index: dict[str, Any]) -> list[str]:
    validate_record(index, "notebook-metadata-1")
    return [call["task"] for call in index["calls"]]


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_the_records_survive(executed: Callable[[Any], Path], tmp_path: Path, program: Any) -> None:
    path = copied(executed(program), tmp_path)
    found = bundles(read(path))
    outputs = [output for cell in read(path).cells for output in cell.get("outputs", [])]
    # VS Code says that it cannot show an output without a media type that it knows
    assert {output.data["text/plain"] for output in outputs if BUNDLE_MIME in output.get("data", {})} == {""}
    for bundle in found:
        validate_record(bundle, "bundle-1")
    calls = [call for bundle in found for call in bundle["calls"]]
    assert [call["task"] for call in calls] == ["listobs", "flagdata"]
    # Nobody listens after the last cell: its note has to be whole when it ends.
    assert all(state["digest"] for call in calls for state in (*call["used"], *call["generated"]))
    assert [bool(call["generated"]) for call in calls] == [True, True]
    assert "casaprov" not in read(path).metadata

    index = sync_notebook(path)
    notebook = read(path)
    assert tasks(index) == ["listobs", "flagdata"]
    assert notebook.metadata["casaprov"] == index
    by_id = {cell.id: cell.source for cell in notebook.cells}
    assert [by_id[call["cell"]].partition("(")[0] for call in index["calls"]] == [
        "listed = listobs",
        "summary = flagdata",
    ]
    assert index["sessions"][0]["journal"] == f".casaprov/{path.stem}/{index['sessions'][0]['id']}.jsonl"
    assert [a.task for a in record_of(path).activities] == ["listobs", "flagdata"]


@pytest.mark.long
@pytest.mark.slow
def test_papermill_keeps_what_is_its_own(executed: Callable[[Any], Path], tmp_path: Path) -> None:
    path = copied(executed(with_papermill), tmp_path)
    before = read(path)
    index = sync_notebook(path)
    after = read(path)
    assert after.metadata["papermill"] == before.metadata["papermill"]
    assert after.metadata["papermill"]["parameters"] == {"listfile": "given.txt"}
    assert [c.metadata.get("tags") for c in after.cells] == [[], ["parameters"], ["injected-parameters"], [], []]
    assert [c.metadata["papermill"] for c in after.cells] == [c.metadata["papermill"] for c in before.cells]
    assert index["calls"][0]["given"]["listfile"] == "given.txt"


@pytest.mark.slow
def test_exported_pages_show_the_outputs_and_nothing_else(executed: Callable[[Any], Path], tmp_path: Path) -> None:
    path = copied(executed(with_nbclient), tmp_path)
    said = command("nbconvert", "--to", "html", "--output", "page", path.name, cwd=tmp_path)
    assert "warn" not in said.lower()
    page = (tmp_path / "page.html").read_text()
    assert "vnd.casaprov" not in page
    assert "<pre>flagged" in page


@pytest.mark.slow
def test_a_notebook_with_cleared_outputs_gets_its_index_back(executed: Callable[[Any], Path], tmp_path: Path) -> None:
    path = copied(executed(with_nbclient), tmp_path)
    index = sync_notebook(path)
    command("nbconvert", "--clear-output", "--inplace", path.name, cwd=tmp_path)
    assert bundles(read(path)) == []
    assert sync_notebook(path) == index
    notebook = read(path)
    del notebook.metadata["casaprov"]
    nbformat.write(notebook, path)
    assert main(["sync", str(path)]) == 0
    assert read(path).metadata["casaprov"] == index


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--extra-keys", "metadata.casaprov metadata.kernelspec"), ("--keep-id",)])
def test_a_stripped_notebook_gets_its_index_back(
    executed: Callable[[Any], Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = copied(executed(with_nbclient), tmp_path)
    index = sync_notebook(path)
    command("nbstripout", *options, path.name, cwd=tmp_path)
    stripped = read(path)
    assert bundles(stripped) == []
    assert ("casaprov" in stripped.metadata) == ("--extra-keys" not in options)
    again = sync_notebook(path)
    assert tasks(again) == tasks(index)
    by_id = {cell.id: cell.source for cell in stripped.cells}
    assert [by_id[call["cell"]].partition("(")[0] for call in again["calls"]] == [
        "listed = listobs",
        "summary = flagdata",
    ]


@pytest.mark.slow
def test_renamed_and_copied_notebooks_keep_their_record(executed: Callable[[Any], Path], tmp_path: Path) -> None:
    path = copied(executed(with_nbclient), tmp_path)
    index = sync_notebook(path)
    shutil.copy(path, tmp_path / "copy.ipynb")
    path.rename(tmp_path / "renamed.ipynb")
    for name in ("copy", "renamed"):
        notebook = tmp_path / f"{name}.ipynb"
        assert sync_notebook(notebook)["calls"] == index["calls"]
        assert (journal_folder(notebook) / f"{index['sessions'][0]['id']}.jsonl").is_file()
        assert main(["export", str(notebook), "-o", str(tmp_path / f"{name}.zip")]) == 0


@pytest.mark.long
@pytest.mark.slow
def test_a_renamed_notebook_that_is_run_again_continues_its_record(
    executed: Callable[[Any], Path], tmp_path: Path
) -> None:
    path = copied(executed(with_nbclient), tmp_path).rename(tmp_path / "renamed.ipynb")
    before = record_of(path)
    notebook = read(path)
    notebook.cells = notebook.cells[:1] + notebook.cells[3:]
    again = write_notebook(tmp_path / "again.ipynb", [cell.source for cell in notebook.cells])
    shutil.copy(again, path)
    assert main(["run", str(path)]) == 0
    after = record_of(path)
    assert {usage.entity for usage in after.activities[-1].used} <= {entity.id for entity in before.entities}
    assert not any(entity.gap for entity in after.entities)
