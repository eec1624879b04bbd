"""Layouts: two tables of the same content in different files, of which a result was computed from one.

A content digest is free of the layout. If only the files that a call changed were put into a table with that digest, the
columns could be read from files that were not changed: without an error, and with wrong values.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from casacore import tables as casacore

from casaprov.digests.measurement import measure
from casaprov.readers.installed import fits_reader, table_reader
from casaprov.recompute.restore import restore
from casaprov.recompute.store.manifest import Manifest
from casaprov.recompute.store.results import Store
from live_kernel import LiveKernel
from made_once import made_once
from stored_results import a_key, a_manifest

pytestmark = [pytest.mark.casa, pytest.mark.slow]

CELL = """
import shutil
from casatasks import delmod, importuvfits, setjy, split
importuvfits({fits!r}, '{folder}/n.ms')
split('{folder}/n.ms', '{folder}/two.ms', datacolumn='data', spw='0:0~3', antenna='0~3', timerange='<09:25:00')
jansky = lambda name, flux: setjy('{folder}/' + name, standard='manual', fluxdensity=[flux, 0, 0, 0], usescratch=True)
shutil.copytree('{folder}/two.ms', '{folder}/again.ms')
jansky('two.ms', 2)
shutil.copytree('{folder}/two.ms', '{folder}/five.ms')
jansky('five.ms', 5)
jansky('again.ms', 2)
delmod('{folder}/again.ms', scr=True)
jansky('again.ms', 2)
"""


@pytest.fixture(scope="module")
def tables(plain_kernel: LiveKernel, ngc5921_fits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``two.ms`` has a model of 2 Jy, ``five.ms`` is what setjy(5 Jy) makes of it, ``again.ms`` has 2 Jy by another way."""
    return made_once(
        tmp_path_factory,
        "layouts",
        lambda folder: plain_kernel.good(CELL.format(fits=str(ngc5921_fits), folder=folder)),
    )


def content(path: Path) -> str:
    return measure(path, table_reader, fits_reader).content_digest


def model(path: Path) -> list[complex]:
    with casacore.table(str(path), ack=False) as table:
        return sorted({complex(value) for value in np.unique(table.getcol("MODEL_DATA"))}, key=abs)


def other_tiles(path: Path) -> Path:
    """Store MODEL_DATA of a table in tiles of another shape, by another storage manager."""
    with casacore.table(str(path), ack=False, readonly=False) as table:
        values, description = table.getcol("MODEL_DATA"), table.getcoldesc("MODEL_DATA")
        keywords = table.getcolkeywords("MODEL_DATA")
        table.removecols("MODEL_DATA")
        manager = {"TYPE": "TiledShapeStMan", "NAME": "other", "SPEC": {"DEFAULTTILESHAPE": [1, 2, 7]}}
        description.pop("keywords", None)
        column = casacore.makecoldesc("MODEL_DATA", description)
        table.addcols(casacore.maketabdesc(column), manager)
        table.putcol("MODEL_DATA", values)
        table.putcolkeywords("MODEL_DATA", keywords)
    return path


@pytest.mark.parametrize("way", ["setjy; delmod; setjy", "another tile shape"])
def test_a_result_comes_back_whole_into_a_table_of_another_layout(tables: Path, tmp_path: Path, way: str) -> None:
    work = tmp_path / "w.ms"
    shutil.copytree(tables / "two.ms", work)
    before = content(work)
    shutil.rmtree(work)
    shutil.copytree(tables / "five.ms", work)
    computed = measure(work, table_reader, fits_reader)
    store = Store(tmp_path / "store")
    captured = store.capture({"w.ms": work}, 10)
    store.keep(captured, a_manifest(), {"w.ms": (captured.stamps["w.ms"], computed)})
    shutil.rmtree(work)

    # The same call finds a table of the same content, which keeps it in other files.
    shutil.copytree(tables / ("again.ms" if way.startswith("setjy") else "two.ms"), work)
    if not way.startswith("setjy"):
        other_tiles(work)
    assert content(work) == before
    assert managers(work) != managers(tables / "two.ms")
    assert model(work) == [0, 2] if 0 in model(work) else [2]
    found = store.lookup(a_key("call"))
    assert isinstance(found, Manifest)
    restore(store, found, {"w.ms": work}, intents=tmp_path / "intents")
    assert content(work) == computed.content_digest
    assert max(model(work), key=abs) == 5


def managers(path: Path) -> object:
    """Storage manager of MODEL_DATA, with its number and shape of tiles."""
    with casacore.table(str(path), ack=False) as table:
        return next(
            (of["TYPE"], of["SEQNR"], str(of["SPEC"].get("HYPERCUBES", "")))
            for of in table.getdminfo().values()
            if "MODEL_DATA" in of["COLUMNS"]
        )
