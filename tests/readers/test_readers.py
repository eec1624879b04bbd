"""Readers: both libraries give the same values for the same table, and tables of any size fit in memory."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from casacore import tables as casacore
from hypothesis import given
from hypothesis import strategies as st

from casaprov.digests.measurement import measure
from casaprov.digests.tree import content_digest
from casaprov.errors import DigestError, MissingDependency
from casaprov.files.stamps import stamp
from casaprov.formats.tables import Column
from casaprov.processes.worker import Worker
from casaprov.readers import blocks, installed
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader, table_reader
from checkout import ROOT, SUPPORT

TYPES = ("boolean", "uchar", "int", "uint", "float", "double", "complex", "dcomplex", "string")
ARCHIVES = (
    "alma_x5707_ms/X5707_1spw_1scan_10chan_1time_1bl_noatm.ms",
    "evla_tdem0003_ms/day2_TDEM0003_10s_norx_1src_1spw.ms",
    *(f"sma_caltables/sma.ms.{name}" for name in ("amp.gcal", "bcal", "dcal", "dterms.pcal", "pha.gcal", "tcal")),
)


@pytest.fixture(scope="module")
def children(casa_site_config: Any) -> Iterator[tuple[Worker, Worker]]:
    """Child processes with python-casacore and with casatools."""
    environment = {**installed.WORKER_ENVIRONMENT, "PYTHONPATH": f"{SUPPORT}:{ROOT}"}
    pair = (Worker("reader_process", environment=environment), Worker("reader_process", environment=environment))
    yield pair
    for worker in pair:
        worker.close()


def _assert_equal(children: tuple[Worker, Worker], paths: list[Path]) -> None:
    given = [str(path) for path in paths]
    first = children[0].call("trees", reader="python-casacore", paths=given)
    second = children[1].call("trees", reader="casatools", paths=given)
    assert len(first) == len(second) == len(paths)
    for path, one, other in zip(paths, first, second, strict=True):
        assert one == other, path.name


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(f"{archive}.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name


@pytest.mark.casa
@pytest.mark.observations
def test_both_libraries_agree_on_real_observations(
    children: tuple[Worker, Worker], observations: Path, tmp_path: Path
) -> None:
    _assert_equal(children, [_unpack(observations / name, tmp_path) for name in ARCHIVES])


@pytest.mark.casa
def test_who_reads_leaves_nothing_in_a_table(
    children: tuple[Worker, Worker], tmp_path: Path, casadata_path: Path
) -> None:
    """A lock that were made anew would be left where somebody removes the table meanwhile."""
    table = tmp_path / "Observatories"
    shutil.copytree(casadata_path / "geodetic" / "Observatories", table)
    (table / "table.lock").unlink(missing_ok=True)
    before = stamp(table)
    for child, reader in zip(children, ("python-casacore", "casatools"), strict=True):
        (tree,) = child.call("trees", reader=reader, paths=[str(table)])
        assert tree["table"]["rows"] > 0
        assert stamp(table) == before
        assert not (table / "table.lock").exists()


@pytest.mark.casa
def test_both_libraries_agree_on_arrays_without_dimensions(
    children: tuple[Worker, Worker], ngc5921_fits: Path, tmp_path: Path
) -> None:
    """cvel leaves them in SOURCE::POSITION."""
    code = (
        "import sys\nfrom casatasks import cvel, importuvfits\n"
        "importuvfits(sys.argv[1], 'n.ms')\ncvel('n.ms', 'cvel.ms', mode='channel', nchan=2)"
    )
    subprocess.run([sys.executable, "-c", code, str(ngc5921_fits)], cwd=tmp_path, check=True, capture_output=True)
    _assert_equal(children, [tmp_path / "cvel.ms"])


@pytest.mark.casa
def test_both_libraries_agree_on_images_of_casa_data(children: tuple[Worker, Worker], casadata_path: Path) -> None:
    models = casadata_path / "nrao" / "VLA" / "CalModels"
    _assert_equal(children, [models / "3C286_X.im", models / "3C48_L.im"])


@pytest.mark.casa
def test_both_libraries_agree_on_what_casatools_makes(children: tuple[Worker, Worker], tmp_path: Path) -> None:
    made = [Path(path) for path in children[1].call("make", folder=str(tmp_path))]
    _assert_equal(children, made)


@pytest.mark.long
@pytest.mark.casa
@pytest.mark.slow
def test_a_reduction_done_twice_has_the_same_content_and_other_bytes(
    children: tuple[Worker, Worker], ngc5921_fits: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        children[1].call("reduce", fits=str(ngc5921_fits), folder=str(tmp_path / name))
    products = sorted(path.name for path in (tmp_path / "one").iterdir() if path.name.startswith("x."))
    assert {"x.ms", "x.b", "x.g", "x.k", "x.amp", "x.image", "x.image.pbcor", "x.mask", "x.ms.flagversions"} <= set(
        products
    )
    first, second = ([tmp_path / name / product for product in products] for name in ("one", "two"))
    for one, other in zip(first, second, strict=True):
        assert _digest(one) == _digest(other), one.name
    assert _bytes(tmp_path / "one" / "x.ms") != _bytes(tmp_path / "two" / "x.ms")
    assert _bytes(tmp_path / "one" / "x.image") != _bytes(tmp_path / "two" / "x.image")
    _assert_equal(children, first)


def _bytes(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _digest(path: Path) -> str:
    measured = measure(path, CasacoreReader, fits_reader)
    assert measured.tree is None or content_digest(measured.tree) == measured.content_digest
    return measured.content_digest


def _descriptions(types: tuple[str, ...]) -> list[Any]:
    return [
        description
        for kind in types
        for description in (
            casacore.makescacoldesc(f"s_{kind}", 0, valuetype=kind),
            casacore.makearrcoldesc(f"f_{kind}", 0, shape=[2, 3], valuetype=kind),
            casacore.makearrcoldesc(f"v_{kind}", 0, ndim=-1, valuetype=kind),
            casacore.makearrcoldesc(f"never_{kind}", 0, ndim=2, valuetype=kind),
        )
    ]


def _all_types(path: Path, types: tuple[str, ...]) -> Path:
    """A table with a scalar, a fixed and a variable column of each type; some cells undefined or empty."""
    columns = _descriptions(types)
    rng = np.random.default_rng(5)
    with casacore.table(str(path), casacore.maketabdesc(columns), nrow=6, ack=False) as table:
        for kind in types:
            for row, shape in enumerate([(4,), None, (2, 3), (2, 3), (0, 3), (3, 2)]):
                if shape is not None:
                    table.putcell(f"v_{kind}", row, _values(rng, kind, shape))
            table.putcol(f"f_{kind}", _values(rng, kind, (6, 2, 3)))
            scalars = _values(rng, kind, (6,))
            table.putcol(f"s_{kind}", scalars)
        table.putkeywords(
            {
                "array": np.arange(6).reshape(2, 3),
                "floats": np.array([[0.1, np.nan, np.inf]], dtype="float32"),
                "strings": ["a", "Müller"],
                "table of strings": {"shape": [2, 2], "array": ["1", "2", "3", "é"]},
                "record": {"empty": {}, "bools": np.array([True, False]), "none": np.zeros((0, 3))},
                "single": np.float32(0.1),
                "complex": 1 + 2j,
                "long": 2**40,
                "text": "Grüße\nzwei Zeilen",
            }
        )
    return path


def _values(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape))
    if kind == "string":
        texts = ["", "a", "ein längerer Text mit Umlauten äöü", "x" * 300, " spaces ", "\n"]
        flat = [texts[n % len(texts)] for n in range(size)]
        return flat if len(shape) == 1 else {"shape": list(shape), "array": flat}
    numbers = rng.integers(0, 200, size=shape)
    if kind == "boolean":
        return numbers > 100
    if "complex" in kind:
        return numbers / 7 + 1j * numbers / 3
    return numbers / 7 if kind in ("float", "double") else numbers


@pytest.mark.casa
def test_both_libraries_agree_on_every_type(children: tuple[Worker, Worker], tmp_path: Path) -> None:
    _assert_equal(children, [_all_types(tmp_path / "types.tab", TYPES)])


@pytest.mark.casa
def test_both_libraries_agree_on_tables_without_rows(children: tuple[Worker, Worker], tmp_path: Path) -> None:
    path = tmp_path / "types.tab"
    casacore.table(str(path), casacore.maketabdesc(_descriptions(TYPES)), nrow=0, ack=False).close()
    _assert_equal(children, [path])


@pytest.mark.casa
@pytest.mark.parametrize("kind", ["short", "int64"])
def test_casatools_refuses_what_it_reads_wrongly(children: tuple[Worker, Worker], tmp_path: Path, kind: str) -> None:
    path = _all_types(tmp_path / "types.tab", (kind,))
    with pytest.raises(DigestError, match=r"casatools cannot read the int(16|64) arrays") as caught:
        children[1].call("trees", reader="casatools", paths=[str(path)])
    assert "pip install python-casacore" in caught.value.hint


@pytest.mark.casa
@pytest.mark.parametrize("kind", ["short", "int64"])
def test_casatools_reads_such_scalars(children: tuple[Worker, Worker], tmp_path: Path, kind: str) -> None:
    description = casacore.maketabdesc([casacore.makescacoldesc("A", 0, valuetype=kind)])
    with casacore.table(str(tmp_path / "a.tab"), description, nrow=3, ack=False) as table:
        table.putcol("A", np.array([1, -2, 30000]))
    _assert_equal(children, [tmp_path / "a.tab"])


def _block_values(path: Path, column: str, max_bytes: int) -> list[tuple[int, tuple[int, ...] | None, Any]]:
    table = CasacoreReader().open(path)
    try:
        found = []
        for block in table.blocks(column, max_bytes=max_bytes):
            assert block.values is None or block.values.nbytes <= max(max_bytes, 16)
            values = None if block.values is None else block.values.reshape(-1).tolist()
            found.append((block.first_row, block.shape, values))
        return found
    finally:
        table.close()


@pytest.mark.parametrize("max_bytes", [16, 48, 100, 1000])
@pytest.mark.parametrize("column", [f"{layout}_dcomplex" for layout in "sfv"])
def test_blocks_are_bounded_and_hold_all_values(tmp_path: Path, column: str, max_bytes: int) -> None:
    path = _all_types(tmp_path / "types.tab", ("dcomplex",))
    whole, cut = _block_values(path, column, 10**9), _block_values(path, column, max_bytes)
    assert [value for *_, values in cut for value in values or []] == [
        value for *_, values in whole for value in values or []
    ]
    assert [row for row, *_ in cut] == sorted(row for row, *_ in cut)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 50))
def test_slabs_follow_each_other_in_storage_order(sides: list[int], max_values: int) -> None:
    cell = np.arange(np.prod(sides)).reshape(sides[::-1])
    numbers: list[int] = []
    for start, stop in blocks._slabs(tuple(sides), max_values):
        part = cell[tuple(slice(a, b) for a, b in zip(start[::-1], stop[::-1], strict=True))]
        assert part.size <= max_values
        numbers += part.ravel().tolist()
    assert numbers == cell.ravel().tolist()


def test_a_cell_larger_than_a_block_comes_in_parts(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(5, 3, 40, 30)).astype("float32")
    description = casacore.maketabdesc([casacore.makearrcoldesc("map", 0.0, ndim=4, valuetype="float")])
    with casacore.table(str(tmp_path / "a.im"), description, nrow=1, ack=False) as table:
        table.putcell("map", 0, values)
    parts = _block_values(tmp_path / "a.im", "map", 30 * 40 * 4)
    assert len(parts) == 15
    assert {(row, shape) for row, shape, _ in parts} == {(0, (30, 40, 3, 5))}
    assert [value for *_, part in parts for value in part] == values.ravel().tolist()


def test_undefined_cells_are_told_apart_from_empty_ones(tmp_path: Path) -> None:
    path = _all_types(tmp_path / "types.tab", ("float",))
    shapes = [(row, shape) for row, shape, _ in _block_values(path, "v_float", 10**6)]
    assert shapes == [(0, (4,)), (1, None), (2, (3, 2)), (4, (3, 0)), (5, (2, 3))]
    assert _block_values(path, "never_float", 10**6) == [(0, None, None)]


def test_references_to_tables_are_paths_and_nested_ones_too(tmp_path: Path) -> None:
    sub = _all_types(tmp_path / "sub.tab", ("int",))
    path = _all_types(tmp_path / "main.tab", ("int",))
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.putkeyword("SUB", f"Table: {sub}")
        table.putkeyword("masks", {"mask0": {"mask": f"Table: {sub}"}})
    opened = CasacoreReader().open(path)
    assert opened.keywords["SUB"] == sub
    assert opened.keywords["masks"]["mask0"]["mask"] == sub
    assert opened.columns["f_int"] == Column("f_int", "int32", 2, (3, 2), {})
    opened.close()
    opened.close()


def test_text_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    description = casacore.maketabdesc([casacore.makescacoldesc("NAME", "")])
    with casacore.table(str(tmp_path / "a.tab"), description, nrow=1, ack=False) as table:
        table.putcell("NAME", 0, "MARKED")
    values = tmp_path / "a.tab" / "table.f0"
    values.write_bytes(values.read_bytes().replace(b"MARKED", b"M\xfcller"))
    with pytest.raises(DigestError, match=r"Column NAME of .*a\.tab cannot be read"):
        measure(tmp_path / "a.tab", CasacoreReader, fits_reader)


@pytest.mark.observations
@pytest.mark.parametrize("name", ["eht_m87/SR1_M87_2017_101_lo.uvfits", "vlba_m87_2006/mojave.uvfits"])
def test_real_uvfits_files_are_measured(observations: Path, tmp_path: Path, name: str) -> None:
    measured = measure(observations / name, CasacoreReader, fits_reader)
    assert measured.kind == "FITS"
    assert measured.tree is not None
    assert measured.tree["hdus"][0]["sketch"]["count"] > 10_000
    copy = tmp_path / "copy.uvfits"
    shutil.copyfile(observations / name, copy)
    with copy.open("r+b") as stream:
        stream.seek(-2880 * 3, 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    assert _digest(copy) != measured.content_digest


@pytest.mark.observations
def test_a_miriad_data_set_is_a_directory(observations: Path, tmp_path: Path) -> None:
    with tarfile.open(observations / "atca_miriad" / "atca_miriad.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    measured = measure(tmp_path, CasacoreReader, fits_reader)
    assert measured.kind == "Directory"
    assert measured.tree is not None
    assert any(name.endswith("visdata") for name in measured.tree["members"])


def test_the_fast_reader_is_preferred() -> None:
    assert table_reader().name == "python-casacore"


def test_without_any_library_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pip install python-casacore"):
        table_reader()
    with pytest.raises(MissingDependency, match="pip install astropy"):
        fits_reader()


@pytest.mark.casa
def test_without_python_casacore_casatools_is_used_and_that_is_said_once(
    python_without: Any, casa_site_config: Any, tmp_path: Path
) -> None:
    path = _all_types(tmp_path / "types.tab", ("float", "string"))
    script = (
        "import sys; from pathlib import Path; from casaprov.digests.measurement import measure; "
        "from casaprov.readers.installed import fits_reader, table_reader; table_reader(); "
        "sys.stdout.write(measure(Path(sys.argv[1]), table_reader, fits_reader).content_digest)"
    )
    python = python_without("python-casacore", "casacore")
    done = subprocess.run([python, "-c", script, path], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(_digest(path))
    assert done.stderr.count("python-casacore is not installed") == 1


def test_without_sqlite_digests_are_kept_for_the_session_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    script = (
        "import sys; from pathlib import Path; sys.modules['sqlite3'] = None; "
        "from casaprov.readers.installed import open_digester; digester = open_digester(); "
        "measured = {digester.measure(Path(sys.argv[1])).content_digest for _ in range(2)}; "
        "digester.close(); sys.stdout.write(f'{digester.cached_bytes()} {measured.pop()} {measured}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.txt"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"0 {_digest(tmp_path / 'a.txt')} set()"
    assert done.stderr.count("Digests are kept for this session only: SQLite cannot be loaded") == 1
    assert done.stderr.count("load casaprov before CASA") == 1


def test_the_reader_logs_nothing_where_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="casaprov"):
        table_reader()
    assert caplog.records == []
