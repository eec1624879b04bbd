"""Notebook files: read with a sentence for each fault, written whole or not at all."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest

from casaprov.cli.commands import main
from casaprov.errors import RecordError, UsageError
from casaprov.notebook.ipynb import read_notebook, save_notebook, write_notebook
from reductions import write_notebook as make_notebook

CELL: dict[str, Any] = {
    "cell_type": "code",
    "id": "a",
    "metadata": {},
    "source": "1",
    "outputs": [],
    "execution_count": None,
}


def notebook_with(**facts: Any) -> str:
    return json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **facts})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "\udc80",
        '{"cells": 3}',
        notebook_with(cells=[{"cell_type": "code"}]),
        notebook_with(cells=[{**CELL, "metadata": 3}]),
        notebook_with(cells=[{**CELL, "outputs": [{"output_type": "unheard of"}]}]),
        notebook_with(nbformat_minor="five"),
    ],
)
def test_what_is_no_notebook_gets_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="is no notebook that can be read"):
        read_notebook(path)
    assert main(["sync", str(path)]) == 2
    told = capfd.readouterr()
    assert told.err.startswith("Error: ")
    assert len(told.err.splitlines()) <= 3
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_file_that_cannot_be_read_is_not_called_broken(tmp_path: Path) -> None:
    (tmp_path / "n.ipynb").mkdir()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_notebook(tmp_path / "n.ipynb")


def test_cells_without_ids_get_some_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_text(notebook_with(cells=[{key: value for key, value in CELL.items() if key != "id"}]))
    assert read_notebook(path).cells[0].id


def test_half_a_character_in_an_output_is_written_as_it_came(tmp_path: Path) -> None:
    notebook = nbformat.read(make_notebook(tmp_path / "n.ipynb", ["1"]), as_version=4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="half \ud83d")]
    write_notebook(notebook, tmp_path / "n.ipynb")
    assert read_notebook(tmp_path / "n.ipynb").cells[0].outputs[0].text == "half \ud83d"


def test_a_notebook_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_notebook(tmp_path / "n.ipynb", ["1"])
    before = path.read_bytes()
    (tmp_path / ".n.ipynb.part").mkdir()  # in the way of the new one
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))
    notebook = nbformat.read(make_notebook(tmp_path / "other.ipynb", ["2"]), as_version=4)
    with pytest.raises(RecordError, match="cannot be written"):
        write_notebook(notebook, path)
    written, problem = save_notebook(notebook, path)
    assert problem is not None
    assert str(written) in problem.hint
    assert read_notebook(written).cells[0].source == "2"
    assert path.read_bytes() == before


def test_a_crate_is_no_notebook_and_its_commands_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ro-crate-metadata.json", "{}")
    with pytest.raises(UsageError, match="but a zip file") as caught:
        read_notebook(tmp_path / "a.zip")
    assert "casaprov replay" in caught.value.hint
