"""Fixtures of the tests of recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casaprov.recording.write_guard import guard_writes
from waiting_notebook import Waiting


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    (tmp_path / "in.txt").write_text("raw")
    notebook = Waiting(tmp_path)
    yield notebook
    notebook.open()
    notebook.finish_queue.wait()
    guard_writes(None)
