"""A session's digests are those of the product as it is, whatever was done to it since the last time.

Worker processes, columns that are not read again and the cache must never show: after any change, the digester
says what a measurement from the beginning says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from hypothesis import given, settings
from hypothesis import strategies as st

from casaprov.digests.digester import Digester
from casaprov.digests.measurement import measure
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader, open_digester
from checkout import ROOT
from sample_tables import TEXTS, layouts, tables, written

ROWS = 6
Edit = Callable[[Path, int], None]


@pytest.fixture(scope="module")
def session() -> Iterator[Digester]:
    """A digester with worker processes and a cache of its own, as a session has it."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as cache:
        patch.setenv("XDG_CACHE_HOME", cache)
        patch.setenv("PYTHONPATH", str(ROOT))
        with closing(open_digester()) as digester:
            yield digester


def _digest(path: Path) -> str:
    return measure(path, CasacoreReader, fits_reader).content_digest


@settings(max_examples=25)
@given(data=st.data())
def test_workers_give_the_digest_of_any_table(session: Digester, data: st.DataObject) -> None:
    spec = data.draw(tables())
    with written(spec, data.draw(layouts(spec))) as path:
        assert session.measure(path).content_digest == _digest(path)


def _small_ms(path: Path) -> None:
    """Two columns in each storage manager, arrays of variable shape, a sub-table and a table of flags."""
    described = [
        casacore.makescacoldesc("TIME", 0.0, datamanagertype="IncrementalStMan", datamanagergroup="ism"),
        casacore.makescacoldesc("SCAN", 0, datamanagertype="IncrementalStMan", datamanagergroup="ism"),
        casacore.makescacoldesc("NAME", "", datamanagertype="StandardStMan", datamanagergroup="ssm"),
        casacore.makearrcoldesc("MODEL", 0.0, ndim=-1, datamanagertype="StandardStMan", datamanagergroup="ssm"),
        casacore.makearrcoldesc("DATA", 0j, ndim=2, valuetype="complex", datamanagertype="TiledShapeStMan",
                                datamanagergroup="tiled"),
        casacore.makearrcoldesc("FLAG", False, ndim=2, datamanagertype="TiledShapeStMan", datamanagergroup="flags"),
    ]  # fmt: skip
    with casacore.table(str(path), casacore.maketabdesc(described), nrow=ROWS, ack=False) as table:
        table.putcol("DATA", np.zeros((ROWS, 4, 2), "complex64"))
        table.putcol("FLAG", np.zeros((ROWS, 4, 2), bool))
        table.putcol("SCAN", np.arange(ROWS) // 2)
        names = casacore.maketabdesc([casacore.makescacoldesc("NAME", "")])
        with casacore.table(str(path / "ANTENNA"), names, nrow=2, ack=False) as antennas:
            antennas.putcol("NAME", ["ea01", "ea02"])
        table.putkeyword("ANTENNA", f"Table: {path / 'ANTENNA'}")


def _in_table(change: Callable[[Any, int], Any], name: str = "") -> Edit:
    def edit(path: Path, value: int) -> None:
        with casacore.table(str(path / name), readonly=False, ack=False) as table:
            change(table, value)

    return edit


def _flip(table: Any, value: int) -> None:
    flags = table.getcol("FLAG")
    flags.reshape(-1)[value % flags.size] ^= True
    table.putcol("FLAG", flags)


def _text(table: Any) -> str:
    """Return the name that the column of texts has now."""
    return next(str(name) for name in table.colnames() if name.startswith("NAME"))


def _rename(table: Any, value: int) -> None:
    old = _text(table)
    table.renamecol(old, f"NAME{value % 3}" if old != f"NAME{value % 3}" else "NAME")


def _add(table: Any, value: int) -> None:
    if "CORRECTED" in table.colnames():
        table.removecols("CORRECTED")
    else:
        column = casacore.makearrcoldesc("CORRECTED", 0j, ndim=2, valuetype="complex")
        table.addcols(casacore.maketabdesc([column]), {"NAME": "new", "TYPE": "TiledShapeStMan"})
        table.putcol("CORRECTED", np.full((table.nrows(), 2, 2), value, "complex64"))


def _copy(path: Path, value: int) -> None:
    """Put a copy of the table in its place, with the times that it had."""
    other = path.with_name("copy")
    shutil.copytree(path, other)
    with casacore.table(str(other), readonly=False, ack=False) as table:
        table.putcell("TIME", value % ROWS, value + 0.5)
    for file in other.rglob("*"):
        os.utime(file, ns=(1, 1))
    shutil.rmtree(path)
    other.rename(path)


def _back(path: Path, value: int) -> None:
    """Change a value, and set the times of the files as they were before."""
    before = {file: file.stat() for file in path.iterdir()}
    _in_table(lambda table, _: table.putcell("SCAN", value % ROWS, value))(path, value)
    for file, stat in before.items():
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


EDITS: dict[str, Edit] = {
    "a scalar": _in_table(lambda table, value: table.putcell("TIME", value % ROWS, value * 1.5)),
    "a text": _in_table(lambda table, value: table.putcell(_text(table), 0, f"{TEXTS[value % len(TEXTS)]}{value}")),
    "an array of another shape": _in_table(
        lambda table, value: table.putcell("MODEL", value % ROWS, np.full((1 + value % 3, 2), float(value)))
    ),
    "a visibility": _in_table(lambda table, value: table.putcell("DATA", value % ROWS, np.full((4, 2), value * 1j))),
    "a flag": _in_table(_flip),
    "a keyword": _in_table(lambda table, value: table.putkeyword("VERSION", value)),
    "a keyword of a column": _in_table(lambda table, value: table.putcolkeyword("DATA", "UNIT", f"{value} Jy")),
    "a name of a column": _in_table(_rename),
    "a column more or less": _in_table(_add),
    "a value in a sub-table": _in_table(lambda table, value: table.putcell("NAME", 0, f"ea{value}"), "ANTENNA"),
    "a row in a sub-table": _in_table(lambda table, _: table.addrows(1), "ANTENNA"),
    "the type": _in_table(lambda table, value: table.putinfo({"type": f"T{value % 2}", "subType": "", "readme": ""})),
    "a copy in its place": _copy,
    "the times of its files set back": _back,
    "nothing": lambda path, value: None,
}  # fmt: skip
STEPS = st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 40), st.booleans()), min_size=1, max_size=8)


@settings(max_examples=30)
@given(steps=STEPS)
def test_after_any_change_the_digest_is_that_of_the_table_as_it_is(
    session: Digester, steps: list[tuple[str, int, bool]]
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.ms"
        _small_ms(path)
        for what, value, look in [("nothing", 0, True), *steps, ("nothing", 0, True)]:
            EDITS[what](path, value)
            if look:
                assert session.measure(path).content_digest == _digest(path), what


@pytest.mark.parametrize("what", sorted(EDITS.keys() - {"nothing"}))
def test_each_of_these_changes_has_another_digest(session: Digester, tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.ms"
    _small_ms(path)
    before = session.measure(path).content_digest
    EDITS[what](path, 7)
    after = session.measure(path).content_digest
    assert before != after == _digest(path)
