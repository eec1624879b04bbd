"""Tables that somebody made to do harm when they are opened."""

from __future__ import annotations

import shutil
from pathlib import Path

from casacore.tables import makescacoldesc, maketabdesc, table

_MANAGER = b"StandardStMan"


def plain(path: Path, rows: int = 3) -> Path:
    """A table with one column, which does no harm."""
    table(str(path), maketabdesc([makescacoldesc("X", 0)]), nrow=rows, ack=False).close()
    return path


def claiming(path: Path, rows: int) -> Path:
    """A small table that has this many rows, by its own account."""
    column = makescacoldesc("X", 0, datamanagertype="IncrementalStMan", datamanagergroup="g")
    with table(str(path), maketabdesc([column]), nrow=rows // 2, ack=False) as made:
        made.addrows(rows // 2)  # in one step, the library takes no more than 2 ** 31
    return path


def evaluating(path: Path, expression: str) -> Path:
    """A table that has casacore evaluate an expression whenever it is opened."""
    _add(plain(path), "VirtualTaQLColumn", {"TAQLCALCEXPR": expression})
    return path


def replacing(path: Path, target: Path) -> Path:
    """A table that makes an empty one in the place of `target` whenever it is opened; here, another of that name."""
    here = target.with_name("x" * len(target.name))
    evaluating(path, f"[select rowid() from [create table {here} A int limit 3]][0]")
    # The expression names a table that this process has not opened, which it could not open again.
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes().replace(str(here).encode(), str(target).encode()))
    shutil.rmtree(here, ignore_errors=True)
    return path


def forwarding(path: Path, target: Path) -> Path:
    """A table whose column is read from that of another table."""
    with table(str(target), ack=False) as opened:
        description, column = opened.getdesc(), opened.colnames()[0]
    manager = {"TYPE": "ForwardColumnEngine", "NAME": "F", "COLUMNS": [column], "SPEC": {"FORWARDTABLE": str(target)}}
    table(str(path), description, nrow=1, dminfo={"1": manager}, ack=False).close()
    return path


def loading(path: Path, library: bytes = b"/evilevilevil") -> Path:
    """A table whose storage manager is called like a library below the working directory."""
    plain(path)
    assert len(library) == len(_MANAGER)
    written = (path / "table.dat").read_bytes()
    (path / "table.dat").write_bytes(written.replace(_MANAGER, library))
    return path


def _add(path: Path, kind: str, spec: dict[str, str]) -> None:
    with table(str(path), readonly=False, ack=False) as opened:
        description = maketabdesc([makescacoldesc("NOTES", 0, datamanagertype=kind, datamanagergroup="V")])
        manager = {"TYPE": kind, "NAME": "NOTES", "SEQNR": 99, "SPEC": spec, "COLUMNS": ["NOTES"]}
        opened.addcols(description, {"*1": manager})
