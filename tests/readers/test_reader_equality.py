"""Both libraries give the same digests, column by column, for whatever CASA writes.

Where casatools would give another one, it is refused: a digest must never depend on what is installed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from hypothesis import given, settings
from hypothesis import strategies as st

from casaprov.digests.measurement import measure
from casaprov.errors import DigestError
from casaprov.processes.worker import Worker
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader
from checkout import ROOT, SUPPORT
from sample_tables import TYPES, ColumnSpec, Layout, TableSpec, layouts, tables, write, written

pytestmark = pytest.mark.casa

SEARCH = {"PYTHONPATH": f"{SUPPORT}:{ROOT}"}
REFUSED = "casatools cannot read"


@pytest.fixture(scope="module")
def casatools_trees(casa_site_config: Any) -> Iterator[Callable[[list[Path]], list[Any]]]:
    """What casatools reads of products, in a process of its own."""
    with closing(Worker("reader_process", environment=SEARCH)) as child:
        yield lambda paths: list(child.call("trees", reader="casatools", paths=[str(path) for path in paths]))


def _tree(path: Path) -> Any:
    return measure(path, CasacoreReader, fits_reader).tree


def _agreed(casatools_trees: Callable[[list[Path]], list[Any]], paths: list[Path]) -> dict[str, Any]:
    """Trees by the names of products, after both libraries gave the same."""
    expected = {path.name: _tree(path) for path in paths}
    found = {path.name: tree for path, tree in zip(paths, casatools_trees(paths), strict=True)}
    assert [name for name in expected if found[name] != expected[name]] == []
    assert len(expected) == len(paths)
    return expected


def _subtypes(trees: dict[str, Any]) -> set[str]:
    return {tree["table"]["subtype"] for tree in trees.values() if tree["kind"] == "CalibrationTable"}


def _make(what: str, folder: Path, **arguments: str) -> list[Path]:
    with closing(Worker("casa_products", cwd=folder, environment=SEARCH)) as maker:
        return [folder / name for name in maker.call(what, **arguments)]


# -- what CASA writes --------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.slow
def test_both_agree_on_each_product_of_a_vla_reduction(
    casatools_trees: Any, ngc5921_fits: Path, tmp_path: Path
) -> None:
    trees = _agreed(casatools_trees, _make("vla", tmp_path, fits=str(ngc5921_fits)))
    kinds = {tree["kind"] for tree in trees.values()}
    assert kinds == {"MeasurementSet", "CalibrationTable", "Image", "Directory", "FITS"}
    jones = {"G Jones", "T Jones", "B Jones", "BPOLY", "GSPLINE", "K Jones", "M Mueller", "KAntPos Jones"}
    assert _subtypes(trees) >= jones


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.observations
def test_both_agree_on_a_calibration_of_polarisation(casatools_trees: Any, observations: Path, tmp_path: Path) -> None:
    (archive,) = (observations / "evla_tdem0003_ms").glob("*.tar.gz")
    trees = _agreed(casatools_trees, _make("evla", tmp_path, archive=str(archive)))
    assert _subtypes(trees) >= {"D Jones", "Df Jones", "Xf Jones", "Kcross Jones"}


@pytest.mark.slow
@pytest.mark.observations
def test_both_agree_on_an_observation_of_the_vlba_and_its_fringes(
    casatools_trees: Any, observations: Path, tmp_path: Path
) -> None:
    fits = observations / "vlba_m87_2006" / "mojave.uvfits"
    assert _subtypes(_agreed(casatools_trees, _make("vlba", tmp_path, fits=str(fits)))) == {"Fringe Jones"}


def test_both_agree_on_images_components_and_copies_of_the_tools(casatools_trees: Any, tmp_path: Path) -> None:
    trees = _agreed(casatools_trees, _make("tools", tmp_path))
    types = {name: trees[f"{name}.im"]["table"]["columns"]["map"]["type"] for name in ("f", "d", "c", "cd")}
    assert types == {"f": "float32", "d": "float64", "c": "complex64", "cd": "complex128"}
    assert trees["source.cl"]["kind"] == "Table"
    assert set(trees["f.im"]["table"]["tables"]) == {"masks/m1/mask", "masks/m2/mask"}


@pytest.mark.long
def test_both_agree_on_all_tables_of_casa_itself(casatools_trees: Any, casadata_path: Path) -> None:
    """Antenna responses are left out: seventy images of one kind, 300 MB."""
    folders = [casadata_path / name for name in ("geodetic", "ephemerides", "nrao", "catalogs", "gui", "demo")]
    paths = sorted(path.parent for folder in folders for path in folder.rglob("table.dat"))
    assert len(paths) > 250
    trees = casatools_trees(paths)
    assert [path for path, tree in zip(paths, trees, strict=True) if tree != _tree(path)] == []


# -- what casacore can hold -----------------------------------------------------------------


def _agree_or_refused(casatools_trees: Any, path: Path) -> bool:
    """Tell whether both gave the same; False if casatools was refused with a sentence that says what to do."""
    try:
        (other,) = casatools_trees([path])
    except DigestError as error:
        assert REFUSED in error.message
        assert "pip install python-casacore" in error.hint
        return False
    assert other == _tree(path)
    return True


@settings(max_examples=80)
@given(data=st.data())
def test_both_agree_on_any_table_or_casatools_is_refused(casatools_trees: Any, data: st.DataObject) -> None:
    spec = data.draw(tables())
    arrays = {column.type for column in spec.columns if column.layout != "scalar" and _values(column)}
    single = any(_lost(column) for column in spec.columns)
    with written(spec, data.draw(layouts(spec))) as path:
        agreed = _agree_or_refused(casatools_trees, path)
    assert agreed == (not single and not arrays & {"short", "int64"})


def _values(column: ColumnSpec) -> bool:
    return any(cell is not None and cell.size for cell in column.cells)


def _lost(column: ColumnSpec) -> bool:
    """Tell whether there is a NaN in single precision of which casatools may have lost the signal."""
    if column.type not in ("float", "complex"):
        return False
    words = np.concatenate([np.zeros(0, "u4"), *(c.reshape(-1).view("u4") for c in column.cells if c is not None)])
    return bool((np.isnan(words.view("f4")) & (words & 0x3FFFFF != 0)).any())


@pytest.mark.parametrize("kind", TYPES)
def test_both_agree_on_tables_without_rows(casatools_trees: Any, tmp_path: Path, kind: str) -> None:
    columns = tuple(ColumnSpec(layout, kind, layout, ()) for layout in ("scalar", "fixed", "variable"))
    assert _agree_or_refused(casatools_trees, write(tmp_path, TableSpec(0, columns), Layout()))


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("kind", ["string", "int64", "short", "uint", "double", "boolean"])
def test_both_agree_on_columns_that_repeat_their_values(
    casatools_trees: Any, tmp_path: Path, kind: str, rows: int
) -> None:
    cell = {"string": np.array("Müller 日本", object), "boolean": np.array(True)}.get(kind, np.array(7))
    spec = TableSpec(rows, (ColumnSpec("A", kind, "scalar", (cell,) * rows),))
    path = write(tmp_path, spec, Layout(managers=("IncrementalStMan",)))
    assert _agree_or_refused(casatools_trees, path)


@pytest.mark.parametrize("bits", [0x7FC00000, 0xFFC00000], ids=["NaN", "-NaN"])
@pytest.mark.parametrize("layout", ["scalar", "variable"])
def test_the_nan_that_casa_writes_is_read_by_both(casatools_trees: Any, tmp_path: Path, bits: int, layout: str) -> None:
    cell = np.array([bits], np.uint32).view("float32").reshape(() if layout == "scalar" else (1,))
    spec = TableSpec(2, (ColumnSpec("A", "float", layout, (cell, cell)),))
    assert _agree_or_refused(casatools_trees, write(tmp_path, spec, Layout()))


@pytest.mark.parametrize("value", [np.array([1, 2], "int16"), np.array([1, 2], "uint8")], ids=["int16", "uint8"])
def test_keywords_that_casatools_cannot_read_are_refused(casatools_trees: Any, tmp_path: Path, value: Any) -> None:
    path = write(tmp_path, TableSpec(1, (), {"A": value}), Layout())
    assert not _agree_or_refused(casatools_trees, path)


def _base(folder: Path) -> Path:
    values = tuple(np.array(float(n)) for n in range(9))
    names = tuple(np.array(f"n{n}", dtype=object) for n in range(9))
    arrays = tuple(np.arange(6.0).reshape(2, 3) * n for n in range(9))
    columns = (
        ColumnSpec("X", "double", "scalar", values),
        ColumnSpec("N", "string", "scalar", names),
        ColumnSpec("A", "double", "variable", arrays),
    )
    managers = ("IncrementalStMan", "StandardStMan", "TiledCellStMan")
    return write(folder, TableSpec(9, columns), Layout("base.tab", managers=managers))


VIEWS = ("X > 3", "X > 300", "X <= 3")


def test_both_agree_on_selections_sorted_tables_and_concatenations(casatools_trees: Any, tmp_path: Path) -> None:
    base = _base(tmp_path)
    made = [tmp_path / f"selected{number}.tab" for number in range(len(VIEWS))]
    with casacore.table(str(base), ack=False) as table:
        for path, view in zip(made, VIEWS, strict=True):
            table.query(view, name=str(path)).close()
        table.sort("X desc", name=str(tmp_path / "sorted.tab")).close()
    casacore.taql(f"SELECT X AS Y, N, A AS B FROM '{base}' GIVING '{tmp_path / 'renamed.tab'}'").close()
    with casacore.table(str(made[0]), ack=False) as selected:
        selected.query("X > 5", name=str(tmp_path / "twice.tab")).close()
    both = casacore.table([str(base), str(base)], ack=False)
    both.rename(str(tmp_path / "both.tab"))
    both.close()
    names = ("sorted.tab", "renamed.tab", "twice.tab", "both.tab")
    made += [tmp_path / name for name in names]
    trees = _agreed(casatools_trees, made)
    assert [tree["table"]["rows"] for tree in trees.values()] == [5, 0, 4, 9, 9, 3, 18]


def test_both_agree_on_compressed_columns(casatools_trees: Any, tmp_path: Path) -> None:
    path = write(tmp_path, TableSpec(3, (ColumnSpec("S", "int", "scalar", (np.array(1),) * 3),)), Layout())
    with casacore.table(str(path), readonly=False, ack=False) as table:
        stored = [casacore.makearrcoldesc("Q", 0, ndim=1, valuetype="int")]
        stored += [casacore.makescacoldesc(name, 0.0, valuetype="float") for name in ("SCALE", "OFFSET")]
        table.addcols(casacore.maketabdesc(stored))
        spec = {"SOURCENAME": "DATA", "TARGETNAME": "Q", "SCALENAME": "SCALE", "OFFSETNAME": "OFFSET",
                "AUTOSCALE": True, "FIXED": False}  # fmt: skip
        data = casacore.maketabdesc([casacore.makearrcoldesc("DATA", 0j, ndim=1, valuetype="complex")])
        table.addcols(data, {"NAME": "c", "TYPE": "CompressComplex", "SPEC": spec})
        for row in range(3):
            table.putcell("DATA", row, np.arange(5) * (1 + 2j) + row)
    assert _agree_or_refused(casatools_trees, path)


def test_cells_larger_than_a_read_agree_whatever_holds_them(casatools_trees: Any, tmp_path: Path) -> None:
    cell = np.random.default_rng(3).normal(size=(3, 300, 400))
    digests = set()
    for manager in ("StandardStMan", "TiledShapeStMan", "TiledCellStMan"):
        spec = TableSpec(3, (ColumnSpec("A", "double", "variable", (cell, None, cell + 1)),))
        path = write(tmp_path, spec, Layout(f"{manager}.tab", managers=(manager,), tile=50))
        assert _agree_or_refused(casatools_trees, path)
        digests.add(_tree(path)["table"]["digest"])
    assert len(digests) == 1


# -- where python-casacore is missing ----------------------------------------------------------


def test_a_session_without_python_casacore_says_so_once_and_has_the_same_digests(
    python_without: Callable[..., Path], casa_site_config: Any, casadata_path: Path, tmp_path: Path
) -> None:
    base = _base(tmp_path)
    image = casadata_path / "nrao" / "VLA" / "CalModels" / "3C286_X.im"
    script = (
        "import sys; from contextlib import closing; from pathlib import Path\n"
        "from casaprov.readers.installed import open_digester, table_reader\n"
        "for session in range(2):\n"
        "    with closing(open_digester()) as digester:\n"
        "        futures = [digester.submit(Path(path)) for path in sys.argv[1:]]\n"
        "        print(*[future.result().content_digest for future in futures])\n"
        "print(table_reader().name)\n"
    )
    python = python_without("python-casacore", "casacore")
    done = subprocess.run([python, "-c", script, base, image], capture_output=True, text=True, check=True)
    expected = [measure(path, CasacoreReader, fits_reader).content_digest for path in (base, image)]
    assert done.stdout.split() == [*expected, *expected, "casatools"]
    assert done.stderr.count("python-casacore is not installed") == 1
    assert "pip install python-casacore" in done.stderr
