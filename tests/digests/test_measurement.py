"""Content digests: what changes them, and what must not."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from casacore import tables as casacore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casaprov.digests.measurement import Measurement, measure
from casaprov.digests.table import table_node
from casaprov.digests.tree import content_digest
from casaprov.errors import DigestError, MissingDependency
from casaprov.files.stamps import stamp
from casaprov.formats.tables import Block, Column, Runs, Storage, Table
from casaprov.hashing import BLOCK_BYTES, Digest
from casaprov.readers.casacore_tables import CasacoreReader
from casaprov.readers.installed import fits_reader

Maker = Callable[..., Path]


def _measure(path: Path) -> Measurement:
    measured = measure(path, CasacoreReader, fits_reader)
    if measured.tree is not None:
        assert content_digest(json.loads(json.dumps(measured.tree))) == measured.content_digest
    return measured


def _digest(path: Path) -> str:
    return _measure(path).content_digest


def _columns(order: int = 1) -> list[Any]:
    return [
        casacore.makearrcoldesc("DATA", 0j, ndim=2, valuetype="complex"),
        casacore.makearrcoldesc("FLAG", False, ndim=2),
        casacore.makearrcoldesc("MODEL", 0.0, ndim=-1),
        casacore.makescacoldesc("TIME", 0.0),
        casacore.makescacoldesc("NAME", ""),
    ][::order]


def _fill(table: Any) -> None:
    rng = np.random.default_rng(3)
    table.putcol("DATA", (rng.normal(size=(5, 8, 2)) + 1j * rng.normal(size=(5, 8, 2))).astype("complex64"))
    table.putcol("FLAG", rng.normal(size=(5, 8, 2)) > 1)
    table.putcell("MODEL", 1, rng.normal(size=3))
    table.putcell("MODEL", 2, rng.normal(size=(2, 2)))
    table.putcol("TIME", np.arange(5.0))
    table.putcol("NAME", ["3C286", "", "Müller", "a", "b"])
    table.putcolkeyword("TIME", "QuantumUnits", ["s"])
    table.putkeyword("VERSION", 2.0)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Make a table with all kinds of columns; keyword arguments go to casacore."""

    def make(name: str = "a.tab", *, order: int = 1, kind: str = "", **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        with casacore.table(str(path), casacore.maketabdesc(_columns(order)), nrow=5, ack=False, **options) as table:
            _fill(table)
            table.putinfo({"type": kind, "subType": "", "readme": "written by a test"})
        return path

    return make


def _edit(path: Path, change: Callable[[Any], None]) -> str:
    with casacore.table(str(path), readonly=False, ack=False) as table:
        change(table)
    return _digest(path)


def _tiled(*shape: int) -> dict[str, Any]:
    spec = {"DEFAULTTILESHAPE": list(shape)}
    return {"*1": {"NAME": "T", "TYPE": "TiledShapeStMan", "COLUMNS": ["DATA"], "SPEC": spec}}


# -- what does not change a digest ---------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"name": "elsewhere/b.tab"},
        {"order": -1},
        {"endian": "big"},
        {"dminfo": _tiled(2, 4, 3)},
        {"dminfo": _tiled(1, 8, 5)},
        {"dminfo": {"*1": {"NAME": "I", "TYPE": "IncrementalStMan", "COLUMNS": ["TIME", "NAME"], "SPEC": {}}}},
    ],
    ids=["folder and name", "column order", "endianness", "tiles", "other tiles", "storage manager"],
)
def test_the_layout_does_not_count(make: Maker, options: dict[str, Any]) -> None:
    reference = make("reference.tab")
    assert _digest(make(**options)) == _digest(reference)


def test_locks_readme_and_garbage_do_not_count(make: Maker) -> None:
    path = make()
    before = _digest(path)
    (path / "table.lock").write_bytes(b"other")
    (path / ".DS_Store").write_bytes(b"left by a Mac")
    info = path / "table.info"
    info.write_text(info.read_text().replace("written by a test", "written by somebody else"))
    assert _digest(path) == before


def test_measuring_changes_nothing_and_leaves_nothing_open(make: Maker) -> None:
    path = make()
    before = stamp(path)
    _digest(path)
    assert stamp(path) == before
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if fd.exists() and str(path) in str(fd.readlink())]


def _sub_table(path: Path, name: str, message: str) -> None:
    sub = path / name
    description = casacore.maketabdesc([casacore.makescacoldesc("MESSAGE", "")])
    with casacore.table(str(sub), description, nrow=1, ack=False) as table:
        table.putcell("MESSAGE", 0, message)
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.putkeyword(name, f"Table: {sub}")


@pytest.mark.parametrize("name", ["HISTORY", "logtable"])
def test_histories_do_not_count(make: Maker, name: str) -> None:
    path, other = make("a.tab"), make("b.tab")
    _sub_table(path, name, "at ten")
    assert _digest(path) == _digest(other)


def test_other_sub_tables_do(make: Maker) -> None:
    path, same, other = make("a.tab"), make("b.tab"), make("c.tab")
    for table, message in ((path, "x"), (same, "x"), (other, "y")):
        _sub_table(table, "ANTENNA", message)
    assert _digest(path) == _digest(same)
    assert _digest(path) != _digest(other)
    node = _measure(path).tree
    assert node is not None
    assert node["table"]["tables"]["ANTENNA"]["columns"]["MESSAGE"]["type"] == "string"


def test_a_sub_table_that_is_not_there_is_told_apart(make: Maker) -> None:
    path, whole = make("a.tab"), make("b.tab")
    _sub_table(whole, "ANTENNA", "x")
    _sub_table(path, "ANTENNA", "x")
    shutil.rmtree(path / "ANTENNA")
    measured = _measure(path)
    assert measured.tree is not None
    assert measured.tree["table"]["tables"] == {"ANTENNA": None}
    assert measured.content_digest != _digest(whole)


def test_a_selection_kept_inside_its_table_is_measured(make: Maker) -> None:
    path = make()
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.sort("TIME desc", name=str(path / "SORTED_TABLE")).close()
        table.putkeyword("SORTED_TABLE", f"Table: {path / 'SORTED_TABLE'}")
    measured = _measure(path)
    assert measured.tree is not None
    assert measured.tree["table"]["tables"]["SORTED_TABLE"]["rows"] == 5


def test_a_reference_back_to_a_table_ends(tmp_path: Path) -> None:
    (tmp_path / "table.dat").write_bytes(b"")
    node = table_node(tmp_path, _memory([None], keywords={"AGAIN": tmp_path}))
    assert node.tables == {"AGAIN": None}


def test_the_casa_version_of_calibration_tables_does_not_count(make: Maker) -> None:
    path = make(kind="Calibration")
    first = _edit(path, lambda table: table.putkeywords({"CASA_Version": "6.7.0-31", "MSName": "x.ms"}))
    assert _edit(path, lambda table: table.putkeyword("CASA_Version", "6.7.5-18")) == first
    assert _edit(path, lambda table: table.putkeyword("MSName", "/data/tonight/x.ms")) == first
    assert _edit(path, lambda table: table.putkeyword("MSName", "y.ms")) != first
    assert _measure(path).kind == "CalibrationTable"


def test_what_tclean_measures_of_the_computer_does_not_count(make: Maker) -> None:
    path = make(kind="Image")
    first = _edit(path, lambda table: table.putkeyword("miscinfo", {"INSTRUME": "VLA", "memavail": 18.4}))
    assert (
        _edit(path, lambda table: table.putkeyword("miscinfo", {"INSTRUME": "VLA", "memreq": 0.1, "mpiprocs": 4}))
        == first
    )
    assert _edit(path, lambda table: table.putkeyword("miscinfo", {"INSTRUME": "EVLA", "memavail": 18.4})) != first
    assert _measure(path).kind == "Image"


def test_the_folder_in_an_absolute_path_does_not_count(make: Maker) -> None:
    path = make()
    first = _edit(path, lambda table: table.putkeyword("model", {"images": ["/home/a/model.im"], "unit": "/beam"}))
    assert (
        _edit(path, lambda table: table.putkeyword("model", {"images": ["/tmp/x/model.im"], "unit": "/beam"})) == first
    )
    assert (
        _edit(path, lambda table: table.putkeyword("model", {"images": ["/tmp/x/other.im"], "unit": "/beam"})) != first
    )
    assert (
        _edit(path, lambda table: table.putkeyword("model", {"images": ["/tmp/x/model.im"], "unit": "beam"})) != first
    )


# -- what does ------------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 4), channel=st.integers(0, 7), part=st.integers(0, 1), bit=st.integers(0, 31))
def test_one_bit_of_one_visibility_counts(make: Maker, row: int, channel: int, part: int, bit: int) -> None:
    path = make()
    before = _digest(path)

    def flip(table: Any) -> None:
        cell = table.getcell("DATA", row)
        words = cell.view("uint32").reshape(8, 2, 2)
        words[channel, 1, part] ^= np.uint32(1 << bit)
        if not np.isfinite(cell).all():
            words[channel, 1, part] = 0
        table.putcell("DATA", row, cell)

    after = _edit(path, flip)
    shutil.rmtree(path)
    assert after != before


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 4), channel=st.integers(0, 7))
def test_one_flag_counts(make: Maker, row: int, channel: int) -> None:
    path = make()
    before = _digest(path)

    def flip(table: Any) -> None:
        cell = table.getcell("FLAG", row)
        cell[channel, 0] ^= True
        table.putcell("FLAG", row, cell)

    after = _edit(path, flip)
    shutil.rmtree(path)
    assert after != before


def _retype(table: Any) -> None:
    table.removekeyword("VERSION")
    table.putkeyword("VERSION", 2)


CHANGES: dict[str, Callable[[Any], None]] = {
    "row order": lambda table: table.putcol("TIME", table.getcol("TIME")[::-1]),
    "a string": lambda table: table.putcell("NAME", 1, "x"),
    "text moved to the next cell": lambda table: table.putcol("NAME", ["3C28", "6", "Müller", "a", "b"]),
    "the shape of a cell": lambda table: table.putcell("MODEL", 2, table.getcell("MODEL", 2).reshape(4)),
    "a cell becomes defined": lambda table: table.putcell("MODEL", 0, np.zeros(0)),
    "minus zero": lambda table: table.putcell("TIME", 0, -0.0),
    "a row more": lambda table: table.addrows(1),
    "a column less": lambda table: table.removecols("FLAG"),
    "a column's name": lambda table: table.renamecol("TIME", "TIME2"),
    "a unit": lambda table: table.putcolkeyword("TIME", "QuantumUnits", ["d"]),
    "a keyword": lambda table: table.putkeyword("EQUINOX", 2000.0),
    "a keyword's value": lambda table: table.putkeyword("VERSION", 3.0),
    "a keyword's type": _retype,
    "the table's type": lambda table: table.putinfo({"type": "Image", "subType": "", "readme": ""}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_content_counts(make: Maker, change: Callable[[Any], None]) -> None:
    path = make()
    before = _digest(path)
    assert _edit(path, change) != before


def test_the_type_of_a_column_counts(tmp_path: Path) -> None:
    digests = set()
    for kind in ("int", "uint", "float", "double", "complex", "boolean", "string"):
        description = casacore.maketabdesc([casacore.makearrcoldesc("A", 0, ndim=1, valuetype=kind)])
        casacore.table(str(tmp_path / kind), description, nrow=1, ack=False).close()
        digests.add(_digest(tmp_path / kind))
    assert len(digests) == 7


# -- cutting ----------------------------------------------------------------------


@dataclass
class MemoryTable:
    """A table in memory that is cut into blocks at given places: at these row counts, long cells in parts."""

    columns: Mapping[str, Column]
    cells: Mapping[str, list[np.ndarray[Any, Any] | None]]
    step: int = 1
    parts: int = 1
    path: Path = Path("memory")
    type: str = "Measurement Set"
    subtype: str = ""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    name: str = "memory"
    rows: int = 0

    def __post_init__(self) -> None:
        self.rows = len(next(iter(self.cells.values())))

    def open(self, path: Path) -> Table:
        return self

    def blocks(self, column: str, *, max_bytes: int) -> Iterator[Block]:
        cells = self.cells[column]
        row = 0
        while row < len(cells):
            taken = [cells[row]]
            while (
                len(taken) < self.step and row + len(taken) < len(cells) and _alike(cells[row + len(taken)], taken[0])
            ):
                taken.append(cells[row + len(taken)])
            yield from self._block(row, taken)
            row += len(taken)

    def runs(self, column: str) -> Runs:
        shapes = [None if cell is None else cell.shape[::-1] for cell in self.cells[column]]
        return [(len(list(run)), shape) for shape, run in groupby(shapes)]

    def stretch(
        self, column: str, runs: Runs, first_row: int, first: int, count: int, *, max_bytes: int
    ) -> Iterator[np.ndarray[Any, Any]]:
        values = [cell.reshape(-1) for cell in self.cells[column][first_row:] if cell is not None]
        stream = np.concatenate([*values, np.empty(0, self.columns[column].type)])[first : first + count]
        piece = max_bytes if self.step == 1 else self.step + self.parts
        yield from (stream[start : start + piece] for start in range(0, count, piece))

    def storage(self) -> Mapping[str, Storage]:
        return {}

    def _block(self, row: int, taken: list[np.ndarray[Any, Any] | None]) -> Iterator[Block]:
        values = [cell for cell in taken if cell is not None]
        if not values:
            yield Block(row, len(taken), None, None)
        elif self.parts > 1 and len(taken) == 1:
            for part in np.array_split(values[0].reshape(-1), self.parts):
                yield Block(row, 1, values[0].shape[::-1], part)
        else:
            yield Block(row, len(taken), values[0].shape[::-1], np.stack(values))

    def close(self) -> None:
        """There is nothing to close."""


def _alike(one: np.ndarray[Any, Any] | None, other: np.ndarray[Any, Any] | None) -> bool:
    return (one is None) == (other is None) and (one is None or other is None or one.shape == other.shape)


def _memory(cells: list[np.ndarray[Any, Any] | None], **options: Any) -> MemoryTable:
    return MemoryTable({"A": Column("A", "float32", -1)}, {"A": cells}, **options)


CELLS = st.lists(
    st.none() | st.integers(0, 6).map(lambda n: np.arange(n, dtype="float32")) | st.just(np.ones((2, 3), "float32"))
)


@given(CELLS, st.integers(1, 8), st.integers(1, 4))
def test_cutting_into_blocks_does_not_count(cells: list[np.ndarray[Any, Any] | None], step: int, parts: int) -> None:
    assert table_node(Path(), _memory(cells, step=step, parts=parts)) == table_node(Path(), _memory(cells))


def test_values_larger_than_a_hash_block_are_measured() -> None:
    cell = np.zeros(BLOCK_BYTES // 4 + 1, "float32")
    other = cell.copy()
    other[-1] = 1
    assert table_node(Path(), _memory([cell])).digest != table_node(Path(), _memory([other])).digest


def test_golden_digest_of_a_table() -> None:
    strings = np.array(["3C286", "é"], dtype=object)
    record = np.array({"unit": "Jy", "values": np.array([[1, 2, 3], [4, 5, 6]], dtype="int32")}, dtype=object)
    table = MemoryTable(
        {
            "DATA": Column("DATA", "complex64", 2, keywords={"UNIT": "Jy"}),
            "FLAG": Column("FLAG", "bool", 1),
            "NAME": Column("NAME", "string", 1),
            "MODEL": Column("MODEL", "record", 0),
        },
        {
            "DATA": [np.arange(6).reshape(3, 2).astype("complex64") * (1 + 0.5j), None],
            "FLAG": [np.array([True, False]), np.zeros(0, bool)],
            "NAME": [strings, strings],
            "MODEL": [record, record],
        },
        keywords={
            "VERSION": 2.0,
            "N": 1,
            "OK": True,
            "C": 1 - 2j,
            "NAN": float("nan"),
            "EMPTY": np.zeros((0, 3)),
            "HISTORY": Path("x"),
        },
    )
    node = table_node(Path("golden.ms"), table)
    assert {name: column.digest for name, column in node.columns.items()} == {
        "DATA": "sha256:98cdd55f1f16ac4b75f9d6bbe1c28f44432d537f2f1821fd3fd45652fbe2077a",
        "FLAG": "sha256:27d349838d264625856afadf1de47f5c7a5ff474f7fd5260cf957c60bebf6db3",
        "NAME": "sha256:bb7fffd4134ec05c424c209daea7c62047c64a729301b051c62f340bbba3a3bf",
        "MODEL": "sha256:4ebc897542951452a67bcc48213d5381b36b376cbfb20c5582d4f8862be65f0d",
    }
    assert node.outline.keywords == "sha256:9efa5960bfb376ee231dcbfd49eff644e039a3dd07a66ea7724c69783e7ad7f0"
    assert node.digest == "sha256:e8bd95559990c19c2cf910a64dca265602c38ed0ff5c378faa080b12e583ebcd"
    assert node.to_json()["columns"]["DATA"]["sketch"]["samples"][1] == [1.0, 0.5]


def _by_hand(*preimage: Any) -> str:
    text = json.dumps(preimage, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _values_by_hand(stream: bytes) -> str:
    return _by_hand("casaprov/values/1", len(stream), [hashlib.sha256(stream).hexdigest()])


def test_the_documented_preimages_are_what_is_hashed() -> None:
    texts = np.array(["a", "é"], dtype=object)
    columns = {"DATA": Column("DATA", "complex64", 1, keywords={"UNIT": "Jy"}), "NAME": Column("NAME", "string", 1)}
    data = np.array([1 + 2j], "complex64")
    table = MemoryTable(columns, {"DATA": [data, data, None], "NAME": [texts, texts, texts]})
    table.keywords = {"ANTENNA": Path("/x/ANTENNA"), "A": np.array([[1, 2, 3]]), "X": float("inf")}
    node = table_node(Path(), table)
    numbers = _values_by_hand(struct.pack("<4f", 1, 2, 1, 2))
    strings = _values_by_hand(struct.pack("<I1sI2s", 1, b"a", 2, "é".encode()) * 3)
    column = _by_hand("casaprov/column/1", "complex64", [[2, [1]], [1, None]], numbers)
    names = _by_hand("casaprov/column/1", "string", [[3, [2]]], strings)
    unit = _by_hand("casaprov/keywords/1", ["record", {"UNIT": ["str", "Jy"]}])
    keywords = _by_hand(
        "casaprov/keywords/1",
        ["record", {"ANTENNA": ["table", "ANTENNA"], "A": ["array", "int", [3, 1], [1, 2, 3]], "X": ["float", "inf"]}],
    )
    assert {name: leaf.digest for name, leaf in node.columns.items()} == {"DATA": column, "NAME": names}
    assert (node.columns["DATA"].keywords, node.outline.keywords) == (unit, keywords)
    assert node.digest == _by_hand(
        "casaprov/table/1", "Measurement Set", "", 3, keywords, {"DATA": [column, unit], "NAME": [names, None]},
        {"ANTENNA": None},
    )  # fmt: skip


# -- files and folders ---------------------------------------------------------------


def test_a_plain_file_is_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc")
    abc = Digest("sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    assert _measure(tmp_path / "a.txt") == Measurement(
        kind="File",
        content_digest=abc,
        size_bytes=3,
        byte_digest=abc,
    )


def test_golden_digest_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "one").write_bytes(b"1")
    (folder / "two").write_bytes(b"2")
    (folder / ".DS_Store").write_bytes(b"left by a Mac")
    (folder / "link").symlink_to("/somewhere/else")
    measured = _measure(folder)
    assert measured.kind == "Directory"
    assert measured.tree is not None
    assert list(measured.tree["members"]) == ["link", "sub/one", "two"]
    assert measured.content_digest == "sha256:fb03083c168dbe3eae9ef22ed0981bc0574eae324afe37d9b3f24d3eabf73998"


def test_tables_in_a_folder_are_measured_as_tables(make: Maker, tmp_path: Path) -> None:
    first, second = make("one/in.tab"), make("two/in.tab", endian="big")
    assert first.joinpath("table.f0").read_bytes() != second.joinpath("table.f0").read_bytes()
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two")


def test_the_time_when_flags_were_saved_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "x.ms.flagversions"
    folder.mkdir()
    listing = folder / "FLAG_VERSION_LIST"
    digests = []
    for text in ("10:00:00", "11:30:59"):
        listing.write_text(f"applycal_1 : Flags autosave on 2026-05-01 {text}\nmine : before lunch\n")
        digests.append(_digest(folder))
    listing.write_text("applycal_2 : Flags autosave on 2026-05-01 10:00:00\nmine : before lunch\n")
    assert digests[0] == digests[1] != _digest(folder)


def test_what_is_not_there_or_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(DigestError, match=r"There is no file or table .*nothing"):
        _measure(tmp_path / "nothing")
    (tmp_path / "broken.ms").mkdir()
    (tmp_path / "broken.ms" / "table.dat").write_bytes(b"no table")
    with pytest.raises(DigestError, match=r"broken\.ms cannot be opened as a table"):
        _measure(tmp_path / "broken.ms")


def test_a_reader_is_asked_for_only_if_there_is_a_table(tmp_path: Path) -> None:
    def missing() -> Any:
        raise MissingDependency("nothing is installed")

    (tmp_path / "a").write_bytes(b"x")
    assert measure(tmp_path, missing, missing).kind == "Directory"


def test_trees_that_were_edited_or_are_unknown_are_refused(make: Maker) -> None:
    path = make()
    _sub_table(path, "ANTENNA", "x")
    tree = _measure(path).tree
    assert tree is not None
    tree["table"]["tables"]["ANTENNA"]["rows"] = 2
    with pytest.raises(DigestError, match="sub-table ANTENNA"):
        content_digest(tree)
    with pytest.raises(DigestError, match="format 'casaprov/tree/9'"):
        content_digest({"format": "casaprov/tree/9"})


# -- FITS -----------------------------------------------------------------------------


def _write_fits(path: Path, edit: Callable[[fits.Header], None] = lambda _: None, first: float = 0.0) -> Path:
    data = np.arange(12, dtype=">f4").reshape(3, 4)
    data[0, 0] = first
    primary = fits.PrimaryHDU(data)
    primary.header["BUNIT"] = "Jy/beam"
    primary.header["CRVAL1"] = 1.5
    primary.header["DATE-OBS"] = "1995-04-13"
    edit(primary.header)
    table = fits.BinTableHDU.from_columns([fits.Column("ANNAME", "8A", array=["VA01", "VA02"])], name="AIPS AN")
    fits.HDUList([primary, table]).writeto(path, overwrite=True)
    return path


def _traces(header: fits.Header) -> None:
    header["DATE"] = "2026-05-01T10:00:00"
    header["ORIGIN"] = "CASA 6.7.5-18"
    header["HISTORY"] = "CASA START LOGTABLE"
    header["COMMENT"] = "written by a test"
    header.add_blank("")
    header["CHECKSUM"] = "abc"


def test_traces_of_writing_a_fits_file_do_not_count(tmp_path: Path) -> None:
    plain, traced = _measure(_write_fits(tmp_path / "a.fits")), _measure(_write_fits(tmp_path / "b.fits", _traces))
    assert traced.byte_digest != plain.byte_digest
    assert traced.content_digest == plain.content_digest
    assert plain.kind == "FITS"


@pytest.mark.parametrize(
    ("keyword", "value"), [("BUNIT", "K"), ("CRVAL1", 2), ("DATE-OBS", "1995-04-14"), ("NEW", True)]
)
def test_cards_of_science_count(tmp_path: Path, keyword: str, value: Any) -> None:
    def edit(header: fits.Header) -> None:
        header[keyword] = value

    assert _digest(_write_fits(tmp_path / "a.fits", edit)) != _digest(_write_fits(tmp_path / "b.fits"))


def test_one_pixel_counts(tmp_path: Path) -> None:
    assert _digest(_write_fits(tmp_path / "a.fits", first=1e-30)) != _digest(_write_fits(tmp_path / "b.fits"))


def test_golden_digest_of_a_fits_file(tmp_path: Path) -> None:
    measured = _measure(_write_fits(tmp_path / "a.fits"))
    assert measured.tree is not None
    assert [hdu["name"] for hdu in measured.tree["hdus"]] == ["PRIMARY", "AIPS AN"]
    assert measured.tree["hdus"][0]["sketch"]["samples"] == [float(n) for n in range(12)]
    assert measured.content_digest == "sha256:ba7a7b1015f128f6e6849ad55d39be843a869584373e521e4883bf26fb005da6"


@pytest.mark.parametrize("keep", [100, 2880 + 10, 2880 * 3 + 10])
def test_a_truncated_fits_file_is_told(tmp_path: Path, keep: int) -> None:
    path = _write_fits(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DigestError, match=r"a\.fits"):
        _measure(path)
