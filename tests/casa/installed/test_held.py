"""Open tables: descriptors of this process, locks of others, and nothing where a table is closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from casacore import tables as casacore

from casaprov.casa.installed.held import held_reason, writers_reason

OTHER = "from casacore import tables; table = tables.table('a.tab', readonly={}, ack=False); print(flush=True); input()"


@pytest.fixture
def table() -> Path:
    path = Path.cwd() / "a.tab"
    description = casacore.maketabdesc([casacore.makescacoldesc("X", 1)])
    casacore.table(str(path), description, nrow=3, ack=False).close()
    return path


def test_a_closed_table_is_free(table: Path) -> None:
    assert held_reason([table, Path("missing")]) == ""
    assert writers_reason([table]) == ""
    assert held_reason([]) == ""


def test_a_table_that_this_process_has_open_is_held_until_it_is_closed(table: Path) -> None:
    with casacore.table(str(table), ack=False):
        assert held_reason([table]).startswith("This session has ")
        assert held_reason([table.parent]) != ""
        assert held_reason([Path("a.ta"), Path("a.tab2")]) == ""
        assert writers_reason([table]) == ""
    assert held_reason([table]) == ""


def test_a_table_is_found_by_any_of_its_names(table: Path) -> None:
    Path("link.tab").symlink_to(table)
    with casacore.table("link.tab", ack=False):
        assert held_reason([Path("link.tab")]) != ""
        assert held_reason([table]) != ""


def test_a_table_that_this_process_writes_is_found(table: Path) -> None:
    with casacore.table(str(table), readonly=False, ack=False) as opened:
        opened.putcell("X", 0, 5)
        assert "open to write" in writers_reason([table])
    assert writers_reason([table]) == ""


@pytest.mark.parametrize("readonly", [True, False])
def test_a_table_that_another_process_has_open_is_held(table: Path, *, readonly: bool) -> None:
    command = [sys.executable, "-c", OTHER.format(readonly)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    other.stdout.readline()
    assert held_reason([table]) == f"Process {other.pid} has {table} open."
    other.communicate("\n")
    assert held_reason([table]) == ""
