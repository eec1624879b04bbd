"""Which notebook a kernel belongs to, whatever happens to its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from casaprov.notebook.notebook_name import UNNAMED, NotebookName


@pytest.fixture
def user_ns(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for variable in ("CASAPROV_NOTEBOOK", "JPY_SESSION_NAME"):
        monkeypatch.delenv(variable, raising=False)
    return {}


@pytest.fixture
def untitled(tmp_path: Path, user_ns: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "Untitled.ipynb"
    path.write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", "somewhere/Untitled.ipynb")
    return path


def test_a_notebook_that_is_renamed_is_still_the_same(untitled: Path, user_ns: dict[str, Any]) -> None:
    name = NotebookName(user_ns, untitled.parent)
    assert name.path() == untitled
    renamed = untitled.rename(untitled.with_name("galaxy.ipynb"))
    untitled.write_text("the next new notebook")
    assert name.path() == renamed
    renamed.write_text("saved in place, as Jupyter Server does")
    again = renamed.rename(untitled.with_name("n5921.ipynb"))
    assert name.path() == again


def test_a_file_that_was_replaced_under_its_name_is_the_notebook(untitled: Path, user_ns: dict[str, Any]) -> None:
    name = NotebookName(user_ns, untitled.parent)
    part = untitled.with_name("part")
    part.write_text("new")
    part.replace(untitled)
    assert name.path() == untitled


def test_a_name_that_comes_later_counts(tmp_path: Path, user_ns: dict[str, Any]) -> None:
    name = NotebookName(user_ns, tmp_path)
    assert name.path() == tmp_path / UNNAMED
    (tmp_path / "code.ipynb").write_text("{}")
    user_ns["__vsc_ipynb_file__"] = str(tmp_path / "code.ipynb")
    assert name.path() == tmp_path / "code.ipynb"


def test_a_notebook_that_is_gone_has_no_name(untitled: Path, user_ns: dict[str, Any]) -> None:
    name = NotebookName(user_ns, untitled.parent)
    untitled.unlink()
    assert name.path() == untitled.parent / UNNAMED


def saved(path: Path, *cells: str) -> Path:
    path.write_text(json.dumps({"cells": [{"id": cell, "source": "x"} for cell in cells]}))
    return path


def test_a_notebook_that_was_renamed_while_its_kernel_started_is_found_by_its_cells(
    untitled: Path, user_ns: dict[str, Any]
) -> None:
    untitled.unlink()  # renamed before the kernel looked
    saved(untitled.with_name("other.ipynb"), "c1")
    name = NotebookName(user_ns, untitled.parent)
    name.note_cell("c7")
    assert name.path() == untitled.parent / UNNAMED  # not saved with this cell yet
    renamed = saved(untitled.with_name("galaxy.ipynb"), "c6", "c7", "c8")
    name.note_cell("c8")
    assert name.path() == renamed
    again = renamed.rename(untitled.with_name("n5921.ipynb"))
    assert name.path() == again


def test_of_two_notebooks_with_the_same_cells_none_is_taken(untitled: Path, user_ns: dict[str, Any]) -> None:
    untitled.unlink()
    for copy in ("a.ipynb", "a-Copy1.ipynb"):
        saved(untitled.with_name(copy), "c1")
    name = NotebookName(user_ns, untitled.parent)
    name.note_cell("c1")
    assert name.path() == untitled.parent / UNNAMED
