"""The error of a task is one line with its traceback folded below; other errors look as always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from captured_shell import CapturedShell
from casaprov.kernel.display.task_errors import TaskErrors
from casaprov.notebook.execute import run_notebook
from casaprov.tasks.failures import note_failure
from reductions import write_notebook


def failing(*, noted: bool) -> None:
    error = RuntimeError("Table no.gcal does not exist.")
    if noted:
        note_failure(error, "applycal", {"gaintable": ["no.gcal"]})
    raise error


@pytest.fixture
def shell() -> CapturedShell:
    shell = CapturedShell()
    shell.user_ns["failing"] = failing
    return shell


def _run(shell: CapturedShell, cell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a cell that fails and return the error that it shows."""
    assert not shell.run_cell(cell).success
    return capsys.readouterr().out


def test_the_error_of_a_task_is_one_line_and_a_folded_traceback(
    shell: CapturedShell, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = _run(shell, "failing(noted=True)", capsys)
    assert "Traceback" in whole
    errors = TaskErrors(shell)
    errors.install()
    shown = _run(shell, "failing(noted=True)", capsys)
    assert shown == "applycal(gaintable=['no.gcal']) failed: Table no.gcal does not exist.\n"
    (output,) = shell.outputs
    assert output["data"]["text/html"].startswith("<details><summary>Traceback</summary>")
    assert "failing(noted=True)" in output["data"]["text/html"]
    assert "\x1b" not in output["data"]["text/html"]
    errors.remove()
    assert "Traceback" in _run(shell, "failing(noted=True)", capsys)
    assert len(shell.outputs) == 1


def test_any_other_error_looks_as_always(shell: CapturedShell, capsys: pytest.CaptureFixture[str]) -> None:
    TaskErrors(shell).install()
    assert "Traceback" in _run(shell, "failing(noted=False)", capsys)
    assert "invalid syntax" in _run(shell, "1 1", capsys)
    assert shell.outputs == []


def test_a_terminal_shows_the_whole_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    shell = CapturedShell(in_kernel=False)
    shell.user_ns["failing"] = failing
    TaskErrors(shell).install()
    assert "Traceback" in _run(shell, "failing(noted=True)", capsys)


@pytest.mark.long
@pytest.mark.casa
def test_the_error_of_a_real_task_is_saved_in_the_notebook(tmp_path: Path, casa_site_config: object) -> None:
    cells = ["%load_ext casaprov\nfrom casatasks import listobs", "listobs(vis='nope.ms')"]
    notebook = write_notebook(tmp_path / "n.ipynb", cells)
    result = run_notebook(notebook, notebook)
    assert result.failure is not None
    outputs: list[Any] = nbformat.read(notebook, as_version=4).cells[-1].outputs
    (error,) = (output for output in outputs if output.output_type == "error")
    assert len(error.traceback) == 1
    assert error.traceback[0].startswith("listobs(vis='nope.ms') failed: ")
    assert error.ename == "AssertionError"
    (folded,) = (o for o in outputs if "<summary>Traceback</summary>" in o.get("data", {}).get("text/html", ""))
    assert "casatasks" in folded.data["text/html"]
