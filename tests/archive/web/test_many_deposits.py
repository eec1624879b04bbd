"""Fifty deposits at once for one experiment: each has its receipt, its number and its file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from archived import served
from casaprov.archive.settings import LimitSettings
from postgresql import a_database

MANY = 50


def a_notebook(number: int) -> bytes:
    return bytes(nbformat.writes(new_notebook(cells=[new_code_cell(f"{number}", id="a")])).encode())


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def test_many_at_once_are_all_taken_and_numbered_without_gaps(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = a_database(request) if kind == "postgresql" else ""
    with served(tmp_path, limits=LimitSettings(keep_free=0), database=database) as archive:
        with ThreadPoolExecutor(MANY) as clients:
            answers = list(
                clients.map(lambda number: archive.post({"file": ("a.ipynb", a_notebook(number))}), range(MANY))
            )
        assert [answer.status_code for answer in answers] == [202] * MANY
        receipts = [answer.json() for answer in answers]
        assert sorted(receipt["name"] for receipt in receipts) == [f"N14C3-{n:04d}" for n in range(1, MANY + 1)]
        assert archive.spooled() == sorted(receipt["id"] for receipt in receipts)
        assert len(archive.archive.repository.listed()) == MANY
