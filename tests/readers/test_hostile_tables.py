"""Tables that somebody made to do harm when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from casacore.tables import makescacoldesc, maketabdesc, table

from casaprov.config import Config
from casaprov.errors import DigestError, UsageError
from casaprov.readers.installed import open_digester
from casaprov.readers.products import compare_products

STORAGE_MANAGER = b"StandardStMan"


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table whose storage manager is called like a library that lies below the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.tab"
    table(str(path), maketabdesc([makescacoldesc("X", 0)]), nrow=3, ack=False).close()
    named = b"/evilevilevil"
    assert len(named) == len(STORAGE_MANAGER)
    written = (path / "table.dat").read_bytes()
    (path / "table.dat").write_bytes(written.replace(STORAGE_MANAGER, named))
    Path("lib").mkdir()
    Path("lib/evilevilevil.so").write_bytes(b"no library")
    with pytest.raises(RuntimeError, match=r"file too short|invalid ELF header"):
        table(str(path), ack=False)  # casacore itself tries to load it
    return path


def test_a_digest_loads_no_library_that_a_table_names(hostile: Path) -> None:
    digester = open_digester(Config(workers=1))
    try:
        with pytest.raises(DigestError, match="cannot be opened as a table") as caught:
            digester.measure(hostile)
    finally:
        digester.close()
    assert "cannot open shared object file" in str(caught.value)


def test_a_comparison_loads_no_library_that_a_table_names(hostile: Path) -> None:
    with pytest.raises((UsageError, DigestError), match="cannot open shared object file"):
        compare_products(hostile, hostile)
